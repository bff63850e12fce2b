//! What a plan would do after a dry run: the same plan, walked with answers as they usually come.
//!
//! The first commit of a dry run is exact. The later steps are the plan's own, but what the world will say is assumed;
//! they are shown as *expected*.

use std::net::{IpAddr, Ipv4Addr};

use crate::actors::Replica;
use crate::domain::effect::{Action, Answer, Ask, Due, Effect, Facts, HostEffect, Outcome, Report};
use crate::domain::{Aggregate, Given};
use crate::events::{
    BackupOutcome, BackupSummary, InitKind, Lease, MaintenanceResult, ProcessIdentity, TemplateSummary,
};
use crate::storage::EventLog;
use crate::types::{Ipv4Subnet, LeftOut, MacAddress, NetworkId, Size, Span, StreamName};

/// The most steps that are foreseen.
const STEPS_MAX: usize = 40;

/// Walks the plan of `stream` from what is recorded and `facts`, and names its steps.
pub fn expected<A: Aggregate>(
    store: &dyn EventLog,
    stream: &StreamName,
    facts: &[A::Event],
    given: Given,
) -> Vec<String> {
    let mut state = Replica::<A>::read(store, stream).map(|replica| replica.state).unwrap_or_default();
    for fact in facts {
        state.evolve(fact, given);
    }
    let mut steps: Vec<String> = vec![];
    while let Some(effect) = state.next_effect().filter(|_| steps.len() < STEPS_MAX) {
        steps.push(words(&effect));
        let Some(outcome) = usual(&effect) else { break };
        let report = Report { operation: effect.operation, step: effect.step, attempt: 1, outcome };
        let given = Given { operation: effect.operation, at: given.at };
        let Ok(next) = state.decide(&A::Command::from(report), given) else { break };
        for fact in &next {
            state.evolve(fact, given);
        }
        if next.is_empty() || state.next_effect().as_ref() == Some(&effect) {
            break;
        }
    }
    steps
}

fn words(effect: &Effect) -> String {
    match &effect.action {
        Action::Wake(Due::Now) => effect.step.to_owned(),
        Action::Wake(Due::Soon(at)) => format!("{} (at the latest {at})", effect.step),
        Action::Wake(Due::Trusted(at)) => format!("{} (not before {at})", effect.step),
        Action::Ask(to, _) => format!("{} ({})", effect.step, to.category()),
        Action::Host(_) => format!("{} (host)", effect.step),
    }
}

/// Returns what the world usually says; nothing where the wait has no foreseeable end.
fn usual(effect: &Effect) -> Option<Outcome> {
    Some(match &effect.action {
        Action::Wake(_) => return None,
        Action::Ask(_, ask) => Outcome::Answered(answer(ask)?),
        Action::Host(work) => Outcome::Done(facts(work)),
    })
}

fn answer(ask: &Ask) -> Option<Answer> {
    Some(match ask {
        Ask::ClaimIdRange => Answer::IdRange { base: 0, count: 65_536 },
        Ask::ClaimTemplate => Answer::Template { digest: String::new(), init: Some(InitKind::Other) },
        Ask::LeaseAddress(_) => Answer::Lease(Box::new(lease()?)),
        Ask::AdmitBackup => Answer::Base(None),
        Ask::Hold(_) => return None, // what follows depends on what the container is
        _ => Answer::Accepted,
    })
}

fn lease() -> Option<Lease> {
    let address = Ipv4Addr::UNSPECIFIED;
    let subnet = Ipv4Subnet::around(address, 24)?;
    Some(Lease {
        network: NetworkId::from_bytes([0; 16]),
        bridge: String::new(),
        subnet: subnet.to_string().parse().ok()?,
        address: IpAddr::V4(address),
        gateway: IpAddr::V4(address),
        mac: "02:00:00:00:00:01".parse::<MacAddress>().ok()?,
    })
}

fn facts(work: &HostEffect) -> Facts {
    let size = Size::default();
    match work {
        HostEffect::EnsureTemplate { .. } => Facts::Template(TemplateSummary {
            digest: String::new(),
            size,
            entries: 0,
            init: None,
            system: None,
            taken_out: std::collections::BTreeMap::new(),
        }),
        HostEffect::EnsureRunning(_) => Facts::Started {
            init: ProcessIdentity { boot: String::new(), pid: 0, started: 0 },
            took: Span::default(),
            warnings: vec![],
            kept: vec![],
        },
        HostEffect::EnsureStore { .. } => {
            Facts::Repository { repository: String::new(), recovery_fingerprint: String::new() }
        }
        HostEffect::LivePass { .. } => Facts::LivePass { entries: 0, read: size },
        HostEffect::FrozenPass { .. } => Facts::FrozenPass { frozen: Span::default() },
        HostEffect::SealBackup(seal) => Facts::Sealed(Box::new(BackupSummary {
            backup: seal.backup,
            run: seal.run,
            container: seal.container,
            container_name: seal.container_name.clone(),
            store: seal.store,
            taken_at: crate::types::Timestamp::default(),
            mode: seal.mode,
            base: seal.base,
            outcome: BackupOutcome::Complete,
            entries: 0,
            read: size,
            new: size,
            stored: size,
            frozen: Span::default(),
            unreadable: 0,
            schedule: seal.schedule.clone(),
        })),
        HostEffect::RestoreFiles { .. } | HostEffect::ExtractFiles { .. } => {
            Facts::Restored { entries: 0, written: size, left_out: LeftOut::default(), trouble: None }
        }
        HostEffect::VerifyBackup { .. } => Facts::Maintenance(MaintenanceResult::Verified),
        HostEffect::Defragment { .. } => Facts::Maintenance(MaintenanceResult::Defragmented {
            fragments_before: 0,
            fragments_after: 0,
            allocated_before: size,
            allocated_after: size,
        }),
        _ => Facts::None,
    }
}
