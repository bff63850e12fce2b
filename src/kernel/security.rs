//! The two security profiles, entered by the same two functions for an init and for every later command alike.
//!
//! What protects is the id mapping, the kernel's own checks, the device list and these; masks over /proc are not
//! used, because root inside a user namespace can take them away.

use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Step as _};
use super::seccomp::{FilterOptions, filter};
use crate::sys::pass::{self, Pass};
use crate::sys::{capability, process, seccomp};

/// Everything but linux_immutable, sys_module, sys_rawio, sys_pacct, sys_time, mknod, audit_control and all numbers
/// from 32 on. A systemd boots to `running` with it; with sys_rawio two of its units fail.
const SYSTEM_CAPABILITIES: u64 = 0xb5ec_fdff;
/// What one that may nest has beside that: mknod. A host of containers makes nodes for the loop devices it opens; in a user
/// namespace it gives nothing, but runtimes such as docker end when they cannot pass it on.
const NESTING_CAPABILITIES: u64 = 1 << 27;
/// What single commands get elsewhere too: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
/// net_bind_service, net_raw, sys_chroot, audit_write, setfcap.
const COMMAND_CAPABILITIES: u64 = 0xa004_25fb;

/// Which kind of program runs in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole system with its own init.
    System,
    /// One command under the built-in init.
    Command,
}

/// What a process of the container may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// A system or a command.
    pub kind: Kind,
    /// Containers inside the container are allowed.
    pub nesting: bool,
    /// It is a host of containers: privileged and nesting, so that loop devices and device programs work as on a host.
    #[serde(default)]
    pub host: bool,
}

impl Profile {
    /// Returns the capabilities that are kept, as a bit set.
    pub fn capabilities(self) -> u64 {
        match self.kind {
            Kind::System if self.nesting => SYSTEM_CAPABILITIES | NESTING_CAPABILITIES,
            Kind::System => SYSTEM_CAPABILITIES,
            Kind::Command => COMMAND_CAPABILITIES,
        }
    }

    /// Tells whether set-user-id programs and file capabilities stay without effect.
    pub fn no_new_privileges(self) -> bool {
        self.kind == Kind::Command
    }

    fn filter_options(self) -> FilterOptions {
        let system = self.kind == Kind::System;
        let command = !system && !self.nesting;
        FilterOptions { nesting: self.nesting, host: self.host && system, command, unheard: false }
    }
}

/// Puts the first half of the profile on the calling process and all that it forks, for good: the system call filter. It goes
/// on while the process still has the host's privileges, since a container can fill the kernel's room for compiled filters,
/// and only whoever has those finds more. The process carries the pass for what it does until [`drop_capabilities`].
///
/// Returns the listener of a filter that asks; the supervisor is to have it before anything of the container's runs.
///
/// # Errors
/// Names the step that the kernel refused; the process must end then.
pub fn put_filter_on(profile: Profile) -> Result<Option<OwnedFd>, Failure> {
    if profile.no_new_privileges() {
        process::set_no_new_privileges().step("set no_new_privs")?;
    }
    let pass = Pass::draw().step("draw the pass of the launch")?;
    let listener = install(profile.filter_options(), pass).step("install the system call filter")?;
    pass.carry();
    Ok(listener)
}

/// Puts the other half on, inside, and lets go of the pass: what comes next is of the container's.
///
/// # Errors
/// The kernel refused; the process must end then.
pub fn drop_capabilities(profile: Profile) -> Result<(), Failure> {
    pass::forget();
    capability::keep_only(profile.capabilities()).step("drop capabilities")
}

/// Below a filter of the host's own that asks (Berth in a container of another runtime) the kernel takes no second one.
fn install(options: FilterOptions, pass: Pass) -> io::Result<Option<OwnedFd>> {
    if options.asks() {
        match seccomp::install_with_listener(&filter(options, pass)) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            listener => return listener.map(Some),
        }
    }
    seccomp::install(&filter(FilterOptions { unheard: true, ..options }, pass)).map(|()| None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::namespace::{self, Namespaces};

    #[test]
    fn below_a_filter_that_asks_another_refuses_by_itself() {
        if process::effective_user() != 0 {
            return; // only root installs filters
        }
        // Filters and capabilities are a thread's own.
        let tried = std::thread::spawn(|| {
            let profile = Profile { kind: Kind::System, nesting: false, host: false };
            let (first, second) = (put_filter_on(profile)?, put_filter_on(profile)?);
            drop_capabilities(profile)?;
            let refused = namespace::leave(Namespaces::USER).map_err(|error| error.kind());
            Ok::<_, Failure>((first.is_some(), second.is_some(), refused))
        });
        assert_eq!(tried.join().unwrap().unwrap(), (true, false, Err(io::ErrorKind::PermissionDenied)));
    }

    #[test]
    fn what_may_nest_can_pass_on_what_docker_gives_its_containers() {
        // Its fourteen, as in the containers of most runtimes.
        const DOCKER: u64 = 0xa804_25fb;
        let profile = |nesting| Profile { kind: Kind::System, nesting, host: false };
        assert_eq!(profile(true).capabilities() & DOCKER, DOCKER);
        assert_eq!(profile(false).capabilities(), SYSTEM_CAPABILITIES);
    }
}
