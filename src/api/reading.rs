//! Reads that are told before they are answered: consoles, files in backups, recovery keys. What cannot be told is not shown.

use super::edge::{Edge, Subject, draw};
use super::problem::{ApiError, ApiResult};
use crate::domain::session::{Command, Session};
use crate::domain::{Aggregate, Refusal, RefusalClass};
use crate::events::Reading;
use crate::types::{Category, ContainerId, SessionId, StreamName};

/// Records that the caller reads something of a container; the path stands in the annex.
pub(super) async fn tell(
    mut edge: Edge,
    container: ContainerId,
    reading: Reading,
    path: Option<&str>,
) -> ApiResult<()> {
    if let Some(path) = path {
        edge.annex.insert("path".to_owned(), path.into());
    }
    let id = SessionId::from_bytes(draw()?);
    let subject = Subject::new(StreamName::new(Category::Session, id), None::<&str>);
    record::<Session>(edge, &subject, Command::Read { id, container, reading }).await
}

/// Records a command that allows the caller to read; without the record there is nothing to read.
pub(super) async fn record<A: Aggregate + Unpin>(
    mut edge: Edge,
    subject: &Subject,
    command: A::Command,
) -> ApiResult<()> {
    if edge.is_dry_run() {
        return Err(ApiError::invalid("request.dry-run", "a reading is recorded or not done; there is nothing to try"));
    }
    edge.forget_key(); // each reading is one of its own
    match edge.give::<A>(subject, command, None).await {
        Ok(_) => Ok(()),
        Err(ApiError::Log(reason) | ApiError::Busy(reason)) => Err(untold(&reason).into()),
        Err(error) => Err(error),
    }
}

fn untold(reason: &str) -> Refusal {
    let message = format!("this is not shown, because it could not be recorded who read it: {reason}");
    Refusal::new(RefusalClass::Limit, "audit.not-recorded", message).hinted("berth doctor")
}
