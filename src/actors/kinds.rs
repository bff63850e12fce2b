//! Which aggregate lives in which kind of stream: the one place that lists them all.

use std::sync::Arc;

use super::message::{AskMessage, ReadAgain, Rest};
use super::registry::Registry;
use super::replica::{ReplayError, Replica};
use crate::domain::backup_group::BackupGroup;
use crate::domain::backup_job::BackupJob;
use crate::domain::batch::Batch;
use crate::domain::container::Container;
use crate::domain::directory::Directory;
use crate::domain::maintenance::Maintenance;
use crate::domain::network::Network;
use crate::domain::node::Node;
use crate::domain::restore_job::RestoreJob;
use crate::domain::schedule::Schedule;
use crate::domain::session::Session;
use crate::domain::store::Store;
use crate::domain::template::Template;
use crate::storage::{Reader, Snapshot};
use crate::types::{Category, StreamName};

/// Runs `$then` with `$kind` standing for the aggregate of a category.
macro_rules! with_aggregate {
    ($category:expr, $kind:ident => $then:expr) => {
        match $category {
            Category::Node => {
                type $kind = Node;
                $then
            }
            Category::Directory => {
                type $kind = Directory;
                $then
            }
            Category::Container => {
                type $kind = Container;
                $then
            }
            Category::Session => {
                type $kind = Session;
                $then
            }
            Category::Template => {
                type $kind = Template;
                $then
            }
            Category::Network => {
                type $kind = Network;
                $then
            }
            Category::Store => {
                type $kind = Store;
                $then
            }
            Category::BackupGroup => {
                type $kind = BackupGroup;
                $then
            }
            Category::BackupJob => {
                type $kind = BackupJob;
                $then
            }
            Category::RestoreJob => {
                type $kind = RestoreJob;
                $then
            }
            Category::Maintenance => {
                type $kind = Maintenance;
                $then
            }
            Category::Batch => {
                type $kind = Batch;
                $then
            }
            Category::Schedule => {
                type $kind = Schedule;
                $then
            }
        }
    };
}

/// Makes the actor of `stream` look at what it owes.
pub(super) fn wake(registry: &Arc<Registry>, stream: &StreamName) {
    with_aggregate!(stream.category(), Kind => registry.wake_shell::<Kind>(stream));
}

/// Hands an ask to the actor of `stream`.
pub(super) fn ask(registry: &Arc<Registry>, stream: &StreamName, message: AskMessage) {
    with_aggregate!(stream.category(), Kind => registry.ask_shell::<Kind>(stream, message));
}

/// Tells the actor of `stream`, if there is one, that the daemon is about to end.
pub(super) fn rest(registry: &Arc<Registry>, stream: &StreamName, message: Rest) {
    with_aggregate!(stream.category(), Kind => registry.tell_shell::<Kind, _>(stream, message));
}

/// Has the actor of `stream`, if there is one, read its stream again.
pub(super) fn read_again(registry: &Arc<Registry>, stream: &StreamName, message: ReadAgain) {
    with_aggregate!(stream.category(), Kind => registry.tell_shell::<Kind, _>(stream, message));
}

/// Says whether a snapshot holds another state than the facts before it make.
///
/// # Errors
/// The log cannot be read, or has facts that this version does not know.
pub fn differs(reader: &Reader, snapshot: Snapshot) -> Result<bool, ReplayError> {
    with_aggregate!(snapshot.stream.category(), Kind => Replica::<Kind>::differs(reader, snapshot))
}
