//! What the simulated host tells of its work, for each effect that has something to tell.

use super::World;
use crate::domain::effect::{Facts, HostEffect, SealSpecification};
use crate::events::{BackupOutcome, BackupSummary, InitKind, MaintenanceResult, TakenOut, TemplateSummary};
use crate::types::{LeftOut, Size, Span, Timestamp};

pub(super) fn facts(world: &World, effect: &HostEffect) -> Facts {
    match effect {
        HostEffect::EnsureTemplate { .. } => Facts::Template(TemplateSummary {
            digest: "simulated".to_owned(),
            size: Size::from_mib(1),
            entries: 1,
            init: Some(InitKind::Busybox),
            system: None,
            taken_out: [("the machine id".to_owned(), taken_out())].into(),
        }),
        HostEffect::EnsureRunning(run) => {
            // An init that has ended meanwhile did begin: its end is told on its own.
            let ended = world.exits.get(&run.container).map(|(init, _)| init);
            let init = world.inits.get(&run.container).or(ended);
            init.map_or(Facts::None, |init| Facts::Started {
                init: init.clone(),
                took: Span::from_micros(1_000),
                warnings: vec![],
                kept: vec![],
            })
        }
        HostEffect::EnsureStore { .. } => {
            Facts::Repository { repository: "simulated".to_owned(), recovery_fingerprint: "simulated".to_owned() }
        }
        HostEffect::LivePass { .. } => Facts::LivePass { entries: 1, read: Size::from_bytes(1) },
        HostEffect::FrozenPass { .. } => Facts::FrozenPass { frozen: Span::from_micros(1_000) },
        HostEffect::SealBackup(seal) => Facts::Sealed(Box::new(summary(seal))),
        HostEffect::RestoreFiles { .. } | HostEffect::ExtractFiles { .. } => {
            Facts::Restored { entries: 1, written: Size::from_bytes(1), left_out: LeftOut::default(), trouble: None }
        }
        HostEffect::Defragment { .. } => Facts::Maintenance(MaintenanceResult::Defragmented {
            fragments_before: 2,
            fragments_after: 1,
            allocated_before: Size::from_mib(2),
            allocated_after: Size::from_mib(1),
        }),
        HostEffect::UpdateCheck { .. } => Facts::Maintenance(MaintenanceResult::UpdatesListed {
            manager: "simulated".to_owned(),
            pending: vec![],
            count: 0,
            security: 0,
            stale: None,
        }),
        HostEffect::VerifyBackup { .. } => Facts::Maintenance(MaintenanceResult::Verified),
        _ => Facts::None,
    }
}

fn taken_out() -> TakenOut {
    TakenOut { count: 1, paths: vec!["/etc/machine-id".to_owned()] }
}

fn summary(seal: &SealSpecification) -> BackupSummary {
    BackupSummary {
        backup: seal.backup,
        run: seal.run,
        container: seal.container,
        container_name: seal.container_name.clone(),
        store: seal.store,
        taken_at: Timestamp::from_micros(0),
        mode: seal.mode,
        base: seal.base,
        outcome: BackupOutcome::Complete,
        entries: 1,
        read: Size::from_bytes(1),
        new: Size::from_bytes(1),
        stored: Size::from_bytes(1),
        frozen: Span::from_micros(1_000),
        unreadable: 0,
        schedule: seal.schedule.clone(),
    }
}
