//! Which function does which piece of work on templates, disks and what is inside of containers.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use super::host::LinuxHost;
use super::supervisor::shim_failure;
use super::template::{Verdict, Watch, ensure_template, ensure_template_gone, verify_template};
use super::update_check::{Output, update_check};
use super::{defragment, disk};
use crate::domain::effect::{Facts, Failure, FailureKind, HostEffect};
use crate::effects::steps::StepName;
use crate::effects::{EffectContext, Observation};
use crate::events::DiskKind;
use crate::shim::attach::{SessionStreams, attach};
use crate::shim::protocol::{Command, SessionTarget};
use crate::types::ContainerId;

impl LinuxHost {
    pub(super) fn template(
        &self,
        effect: &HostEffect,
        step: StepName,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let entries = std::cell::Cell::new(0_u64);
        let progress = |_: u64| {
            entries.set(entries.get() + 1);
            if entries.get().is_multiple_of(256) {
                context.report("copying", entries.get(), None);
            }
        };
        let watch = Watch { cancelled: &|| context.cancel.is_cancelled(), progress: &progress };
        let paths = &self.options.paths;
        match (effect, step) {
            (HostEffect::EnsureTemplate { template, source }, "copy") => {
                ensure_template(paths, *template, source, &watch).map(Facts::Template)
            }
            (HostEffect::EnsureTemplateGone { template }, _) => {
                ensure_template_gone(paths, *template)?;
                Ok(Facts::None)
            }
            (HostEffect::VerifyTemplate { template, digest }, _) => {
                Ok(match verify_template(paths, *template, digest, &watch)? {
                    Verdict::Intact => Facts::None,
                    Verdict::Drift { paths, count } => Facts::Drift { paths, count },
                })
            }
            _ => Ok(Facts::None),
        }
    }

    pub(super) fn disk(&self, effect: &HostEffect, step: StepName) -> Result<Facts, Failure> {
        let paths = &self.options.paths;
        match effect {
            HostEffect::EnsureDisk { container, kind, size } if step == "disk" => {
                disk::ensure_disk(paths, *container, *kind, *size)?;
            }
            HostEffect::EnsureDiskSize { container, kind, size } => {
                let reached = self.in_use(*container)?;
                let root = reached.as_ref().map(super::reach::Reached::disk);
                disk::ensure_disk_size(paths, *container, *kind, *size, root)?;
            }
            HostEffect::EnsureDiskGone { container } => {
                self.ensure_stopped(*container)?;
                disk::ensure_disk_gone(paths, *container)?;
            }
            _ => {}
        }
        Ok(Facts::None)
    }

    fn in_use(&self, container: ContainerId) -> Result<Option<super::reach::Reached>, Failure> {
        let running = matches!(self.look(container), Observation::Running { .. });
        if running { self.reach(container).map(Some) } else { Ok(None) }
    }

    pub(super) fn defragment(&self, container: ContainerId, context: &EffectContext) -> Result<Facts, Failure> {
        let image = self.options.paths.disk_image(container).exists();
        let kind = if image { DiskKind::Image } else { DiskKind::Directory };
        let reached = self.reach(container)?;
        context.report("defragmenting", 0, None);
        let cancelled = || context.cancel.is_cancelled();
        let result = defragment::defragment(&self.options.paths, container, kind, Some(reached.disk()), &cancelled);
        result.map(Facts::Maintenance)
    }

    pub(super) fn update_check(&self, container: ContainerId, context: &EffectContext) -> Result<Facts, Failure> {
        if !matches!(self.look(container), Observation::Running { .. }) {
            let reason = "the container does not run, and only the package manager inside knows what is pending";
            return Err(Failure { kind: FailureKind::NotApplicable, reason: reason.to_owned() });
        }
        context.report("asking the package manager", 0, None);
        update_check(&mut |argv| self.run_inside(container, argv)).map(Facts::Maintenance)
    }

    /// Runs a command inside and collects what it says.
    fn run_inside(&self, container: ContainerId, argv: &[&str]) -> Result<Output, Failure> {
        let broken =
            |error: &dyn std::fmt::Display| Failure::permanent(format!("cannot run {}: {error}", argv.join(" ")));
        let client = self.shim(container)?;
        let token = crate::types::RunId::from_bytes(crate::sys::random::bytes().map_err(|error| broken(&error))?);
        let command = Command {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            user: "root".to_owned(),
            directory: None,
            terminal: None,
            without_echo: false,
        };
        let target = SessionTarget::Command(command);
        client.open_session(&token.to_string(), None, target).map_err(shim_failure)?;
        let socket = self.options.paths.session_socket(container);
        let (session, streams) = attach(&socket, &token.to_string()).map_err(|error| broken(&error))?;
        let SessionStreams::Pipes { input, output, errors } = streams else {
            return Err(Failure::permanent("the supervisor gave a terminal where pipes were asked for"));
        };
        drop(input);
        let complaints = std::thread::spawn(move || read_all(errors));
        let stdout = read_all(output).map_err(|error| broken(&error))?;
        let stderr = complaints.join().unwrap_or_else(|_| Ok(vec![])).map_err(|error| broken(&error))?;
        let code = session.wait().map_err(|error| broken(&error))?;
        Ok(Output { code, stdout, stderr })
    }
}

fn read_all(stream: OwnedFd) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![];
    File::from(stream).read_to_end(&mut bytes)?;
    Ok(bytes)
}
