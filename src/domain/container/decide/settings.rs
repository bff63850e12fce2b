//! What is set on a container.

use super::{ANY, Decision, limits_make_sense, made, not_busy, not_held};
use crate::domain::container::{Container, Rejection};
use crate::events::{ContainerEvent, LimitChange, RestartPolicy};
use crate::types::{HostName, Managed, Name};

pub(super) fn change_limits(state: &Container, change: LimitChange) -> Decision {
    let record = made(state)?;
    not_busy(state)?;
    let present = record.configuration.limits;
    let wanted = present.with(change);
    if wanted == present {
        return Ok(vec![]);
    }
    limits_make_sense(wanted, record.configuration.disk)?;
    if wanted.disk < present.disk {
        return Err(Rejection::DiskShrinks { present: present.disk, size: wanted.disk });
    }
    if wanted.disk > present.disk {
        not_held(state, ANY, None)?;
    }
    let requested = ContainerEvent::LimitChangeRequested { change };
    let host_has_work = wanted.disk != present.disk || state.init().is_some();
    Ok(if host_has_work { vec![requested] } else { vec![requested, ContainerEvent::LimitsSet { limits: wanted }] })
}

pub(super) fn rename(state: &Container, name: &Name) -> Decision {
    let record = made(state)?;
    not_busy(state)?;
    Ok(if record.name == *name { vec![] } else { vec![ContainerEvent::RenameRequested { name: name.clone() }] })
}

pub(super) fn set_autostart(state: &Container, autostart: bool) -> Decision {
    let present = made(state)?.configuration.autostart;
    Ok(if present == autostart { vec![] } else { vec![ContainerEvent::AutostartSet { autostart }] })
}

pub(super) fn set_restart(state: &Container, policy: RestartPolicy) -> Decision {
    let present = made(state)?.configuration.restart;
    Ok(if present == policy { vec![] } else { vec![ContainerEvent::RestartPolicySet { policy }] })
}

pub(super) fn set_host_name(state: &Container, hostname: &HostName) -> Decision {
    let same = made(state)?.configuration.hostname == *hostname;
    Ok(if same { vec![] } else { vec![ContainerEvent::HostNameSet { hostname: hostname.clone() }] })
}

pub(super) fn set_nesting(state: &Container, nesting: bool) -> Decision {
    let same = made(state)?.configuration.nesting == nesting;
    Ok(if same { vec![] } else { vec![ContainerEvent::NestingSet { nesting }] })
}

pub(super) fn set_managed(state: &Container, managed: &Managed) -> Decision {
    let same = made(state)?.configuration.managed == *managed;
    Ok(if same { vec![] } else { vec![ContainerEvent::ManagedFilesSet { managed: managed.clone() }] })
}

pub(super) fn set_label(state: &Container, key: &str, value: &str) -> Decision {
    let same = made(state)?.configuration.labels.get(key).is_some_and(|present| present == value);
    Ok(if same { vec![] } else { vec![ContainerEvent::LabelSet { key: key.to_owned(), value: value.to_owned() }] })
}

pub(super) fn remove_label(state: &Container, key: &str) -> Decision {
    let present = made(state)?.configuration.labels.contains_key(key);
    Ok(if present { vec![ContainerEvent::LabelRemoved { key: key.to_owned() }] } else { vec![] })
}
