//! A law for every host: what takes something away, or only matters to what is there, is done when the thing is gone.

use std::sync::Arc;

use berth::domain::FailureKind;
use berth::domain::effect::{Facts, HostEffect, InitSignal};
use berth::effects::{Cancel, EffectContext, Host};
use berth::events::{InitKind, Limits};
use berth::types::{Category, ContainerId, NetworkId, OperationId, RunId, Size, StreamName, TemplateId};

pub fn context() -> EffectContext {
    EffectContext {
        stream: StreamName::new(Category::Container, "gone"),
        operation: OperationId::derived("gone"),
        step: "gone",
        cancel: Cancel::default(),
        progress: Arc::new(|_| ()),
    }
}

/// Tries the law on a container whose init has ended, or that never was; files of it may be there.
pub fn of_what_has_ended(host: &dyn Host, container: ContainerId) -> Result<(), String> {
    let limits = Limits { disk: Size::from_mib(64), memory: Some(Size::from_mib(64)), ..Limits::default() };
    let signal = InitSignal::Of(InitKind::Busybox);
    done(
        host,
        &[
            HostEffect::SignalInit { container, signal },
            HostEffect::EnsureResumed { container },
            HostEffect::EnsureLimits { container, limits },
            HostEffect::DiscardBackup { run: RunId::derived("gone"), container },
        ],
    )?;
    let told = host.perform(&HostEffect::SignalInit { container, signal }, &context());
    if !matches!(told, Ok(Facts::InitEnded { .. })) {
        return Err(format!("whoever waits for an init that has ended is not told: {told:?}"));
    }
    match host.perform(&HostEffect::EnsurePaused { container }, &context()) {
        Err(failure) if failure.kind != FailureKind::Transient => {}
        other => return Err(format!("what has ended does not stand still, and trying again does not help: {other:?}")),
    }
    done(host, &[HostEffect::EnsureStopped { container }])
}

/// Tries the law on things that never were.
pub fn of_what_never_was(host: &dyn Host) -> Result<(), String> {
    let (container, run) = (ContainerId::derived("never"), RunId::derived("never"));
    of_what_has_ended(host, container)?;
    done(
        host,
        &[
            HostEffect::RevertRoot { run, container },
            HostEffect::DiscardOldRoot { run, container },
            HostEffect::EnsureDiskGone { container },
            HostEffect::EnsureTemplateGone { template: TemplateId::derived("never") },
            HostEffect::EnsureNetworkGone { network: NetworkId::derived("never"), bridge: "btnever0".to_owned() },
        ],
    )?;
    undone(host, &HostEffect::FrozenPass { run, container })
}

/// Demands that an effect that cannot be takes back what it began, and that this works.
pub fn undone(host: &dyn Host, effect: &HostEffect) -> Result<(), String> {
    match host.perform(effect, &context()) {
        Err(failure) if !failure.reason.contains("not undone") => Ok(()),
        other => Err(format!("{}: {other:?}", effect.name())),
    }
}

/// Performs each effect twice.
fn done(host: &dyn Host, effects: &[HostEffect]) -> Result<(), String> {
    for effect in effects.iter().flat_map(|effect| [effect, effect]) {
        host.perform(effect, &context()).map_err(|failure| format!("{}: {failure}", effect.name()))?;
    }
    Ok(())
}
