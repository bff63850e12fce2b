//! Which function does which piece of work on templates, disks and what is inside of containers.

use std::time::{Duration, Instant};

use super::host::LinuxHost;
use super::template::{Verdict, Watch, ensure_template, ensure_template_gone, verify_template};
use super::update_check::update_check;
use super::{defragment, disk};
use crate::domain::effect::{Facts, Failure, FailureKind, HostEffect};
use crate::effects::steps::StepName;
use crate::effects::{EffectContext, Observation};
use crate::events::DiskKind;
use crate::types::ContainerId;

/// How long a whole check may take: refreshing the lists waits for mirrors, but a container may also never answer.
const UPDATE_CHECK_PATIENCE: Duration = Duration::from_mins(10);

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
                let root = reached.as_ref().map(crate::effects::linux::life::reach::Reached::disk);
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

    fn in_use(&self, container: ContainerId) -> Result<Option<crate::effects::linux::life::reach::Reached>, Failure> {
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
            return Err(Failure::new(FailureKind::NotApplicable, reason));
        }
        context.report("asking the package manager", 0, None);
        let (deadline, cancelled) = (Instant::now() + UPDATE_CHECK_PATIENCE, || context.cancel.is_cancelled());
        let run = &mut |argv: &[&str]| self.run_inside(container, argv, deadline, &cancelled);
        update_check(run).map(Facts::Maintenance)
    }
}
