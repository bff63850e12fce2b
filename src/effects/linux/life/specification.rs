//! What a supervisor is told of its container: the order that it finds in its runtime directory.

use super::supervisor::control_socket;
use crate::domain::effect::{Failure, InitSignal, RunSpecification};
use crate::effects::command_line::CommandLine;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::effects::linux::network::{Resolver, resolv_conf};
use crate::events::{InitKind, Limits};
use crate::kernel::cgroup::own_paths;
use crate::kernel::etc::Names;
use crate::shim::protocol::{self, CgroupPlace, Disk, Init, Network, Readiness, Spec, VERSION};
use crate::types::{ContainerId, Cpus, Fingerprint, Size};

/// How much of a console is kept.
const CONSOLE_BYTES_MAX: u64 = 4 << 20;

impl LinuxHost {
    /// Returns the order, and what of it is not as it should be.
    pub(in crate::effects::linux) fn specification(
        &self,
        run: &RunSpecification,
    ) -> Result<(Spec, Vec<String>), Failure> {
        let directory = self.runtime_of(run.container);
        let (init, readiness) = self.init_of(run)?;
        let configuration = &run.configuration;
        let resolver = run.lease.as_ref().map(|_| resolv_conf());
        let warning = resolver.as_ref().and_then(Resolver::warning);
        let spec = Spec {
            version: VERSION,
            id: run.container.to_string(),
            control_socket: control_socket(&directory),
            session_socket: self.options.paths.session_socket(run.container),
            session_group: self.options.group,
            disk: self.shim_disk(run.container),
            container: Some(protocol::Container {
                names: Names {
                    hostname: configuration.hostname.clone(),
                    address: run.lease.as_ref().map(|lease| lease.address),
                    resolv_conf: resolver.map(|resolver| resolver.text),
                    managed: configuration.managed.clone(),
                },
                ids: run.ids,
                lowers: vec![self.options.paths.template_root(configuration.template)],
                init,
                environment: vec![],
                nesting: configuration.nesting,
                network: Network::Own,
                renew: run.first,
            }),
            cgroup: Some(self.cgroup_place(run.container)),
            limits: shim_limits(&configuration.limits),
            readiness,
            log_bytes_max: CONSOLE_BYTES_MAX,
        };
        Ok((spec, warning.into_iter().collect()))
    }

    fn init_of(&self, run: &RunSpecification) -> Result<(Init, Readiness), Failure> {
        if let Some(fingerprint) = run.configuration.command {
            return Ok((Init::Builtin { argv: self.command_line(fingerprint)? }, Readiness::Exec));
        }
        let kind =
            run.init.ok_or_else(|| Failure::permanent("the template has no init and the container no command"))?;
        let readiness = if kind == InitKind::Systemd { Readiness::Notify } else { Readiness::Exec };
        let stop_signal = stop_signal(InitSignal::Of(kind));
        Ok((Init::Own { argv: vec!["/sbin/init".to_owned()], stop_signal }, readiness))
    }

    fn command_line(&self, fingerprint: Fingerprint) -> Result<Vec<String>, Failure> {
        let path = self.options.paths.command(fingerprint);
        let lost = |why: &str| {
            Failure::permanent(format!(
                "the command line of the container, {}, {why}: it cannot start any more; its files can still be backed up and \
                 restored into a directory",
                path.display()
            ))
        };
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(lost("is gone: it was redacted or lost"));
            }
            read => read.map_err(cannot("read", path.display()))?,
        };
        let line = CommandLine::read(&bytes, fingerprint).ok_or_else(|| lost("is not what was recorded"))?;
        Ok(line.argv)
    }

    pub(in crate::effects::linux) fn cgroup_place(&self, container: ContainerId) -> CgroupPlace {
        CgroupPlace {
            parent: self.options.cgroup_parent.clone(),
            below: own_paths().unwrap_or_default(),
            name: format!("berth-{}/{container}", self.options.instance),
        }
    }

    pub(in crate::effects::linux) fn shim_disk(&self, container: ContainerId) -> Disk {
        let image = self.options.paths.disk_image(container);
        if image.exists() {
            let options = "noinit_itable".to_owned();
            return Disk::Image { path: image, filesystem: "ext4".to_owned(), options };
        }
        Disk::Directory { path: self.options.paths.disk_directory(container) }
    }
}

/// Returns the signal that asks an init to power off: systemd(1) SIGRTMIN+3, busybox init SIGUSR2, others SIGTERM.
pub(in crate::effects::linux) fn stop_signal(signal: InitSignal) -> i32 {
    const SIGUSR2: i32 = 12;
    const SIGTERM: i32 = 15;
    const SIGRTMIN_PLUS_3: i32 = 37;
    match signal {
        InitSignal::Of(InitKind::Systemd) => SIGRTMIN_PLUS_3,
        InitSignal::Of(InitKind::Busybox) => SIGUSR2,
        InitSignal::Of(InitKind::Openrc | InitKind::Other) | InitSignal::Terminate => SIGTERM,
    }
}

pub(in crate::effects::linux) fn shim_limits(limits: &Limits) -> protocol::Limits {
    let memory = limits.memory.map(Size::as_bytes);
    protocol::Limits {
        memory,
        memory_and_swap: memory,
        cpu_millis: limits.cpus.map(Cpus::as_millis),
        cpu_weight: None,
        pids: limits.pids,
    }
}
