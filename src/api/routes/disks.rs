//! What the disks of containers were promised, against what their file system has.

use crate::api::edge::Edge;
use crate::api::look::block;
use crate::api::problem::ApiResult;
use crate::api::resources::DiskRoom;
use crate::domain::{Refusal, RefusalClass};
use crate::effects::access::Access;
use crate::events::{DiskKind, RestoreTarget};
use crate::projections::query::{ContainerFilter, Moment, Query, QueryError};
use crate::projections::rows::{ContainerRow, ContainerState};
use crate::types::Size;

/// Counts what was promised and what is there; nothing where the file system cannot be asked.
///
/// # Errors
/// The read models cannot be read.
pub fn room(query: &Query, access: &dyn Access) -> Result<Option<DiskRoom>, QueryError> {
    let Some(free) = access.disk_space() else { return Ok(None) };
    let filter = ContainerFilter { all: true, ..ContainerFilter::default() };
    let mut room = DiskRoom { promised: 0, allocated: 0, to_come: 0, free };
    for row in query.containers(&filter, Moment::Now)?.iter().filter(|row| has_disk(row)) {
        let (promised, allocated) = (row.configuration.limits.disk.as_bytes(), access.disk_allocated(row.id));
        room.promised += promised;
        room.allocated += allocated;
        room.to_come += promised.saturating_sub(allocated);
    }
    Ok(Some(room))
}

fn has_disk(row: &ContainerRow) -> bool {
    let gone = matches!(row.rest, ContainerState::Purged | ContainerState::Failed);
    row.configuration.disk == DiskKind::Image && !gone
}

impl Edge {
    /// Looks whether a restore takes room that was promised. A new container's disk is one more promise; what goes into a disk,
    /// or beside them, takes of what the disks that are there may still grow by.
    ///
    /// # Errors
    /// As of [`Edge::promise`].
    pub async fn promise_restored(&self, target: &RestoreTarget, source: Option<&ContainerRow>) -> ApiResult<()> {
        let beside = match target {
            RestoreTarget::New { configuration, .. } if configuration.disk == DiskKind::Image => {
                return self.promise(configuration.limits.disk.as_bytes()).await;
            }
            RestoreTarget::New { .. } => false,
            RestoreTarget::InPlace { .. } => source.is_some_and(has_disk),
            RestoreTarget::Directory { into, .. } => {
                let (access, into) = (self.ports.access.clone(), into.clone());
                block(move || access.shares_disk_space(&into)).await?
            }
        };
        if beside { self.promise(0).await } else { Ok(()) }
    }

    /// Looks whether so many more bytes can be promised to disks: where there is less than was promised, that is told
    /// with the answer, or refused if the daemon was told to.
    ///
    /// # Errors
    /// It is refused, or cannot be counted.
    pub async fn promise(&self, bytes: u64) -> ApiResult<()> {
        let (query, access) = (self.ports.query.clone(), self.ports.access.clone());
        let Some(room) = block(move || room(&query, &*access)).await?? else { return Ok(()) };
        let to_come = room.to_come.saturating_add(bytes);
        if to_come <= room.free {
            return Ok(());
        }
        let (to_come, free) = (Size::from_bytes(to_come), Size::from_bytes(room.free));
        let included = if bytes > 0 { ", this one included" } else { "" };
        let told = format!("disks may still grow by {to_come}{included}, but their file system has {free} free");
        if self.ports.node.refuse_overcommit {
            let refusal = Refusal::new(RefusalClass::Limit, "disk.overcommit", told);
            return Err(refusal.hinted("make room, or promise less: berth node status").into());
        }
        if bytes <= room.free {
            self.warn([told]); // a disk that is larger than what is free is warned of for itself
        }
        Ok(())
    }
}
