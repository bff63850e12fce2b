//! Ends: signals to the shim, children that are reaped, the exit of the first process, a creation that is undone.

use std::time::{Duration, Instant};

use super::protocol::{Event, Exit, ExitRecord, Failure};
use super::record;
use super::supervisor::{Life, Supervisor};
use super::unheard::{self, Unheard};
use crate::kernel::cgroup::Cgroup;
use crate::kernel::launch::{Init, SIGNALED};
use crate::sys::process::{self, Child, WaitStatus};
use crate::sys::signal;

/// How long a killed first process may take to be reaped.
const REAP_PATIENCE: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Takes signals to the shim: a child ended, or the host asks for an end, which is passed on to the container.
    pub(super) fn take_signals(&mut self) {
        while let Ok(Some(number)) = signal::next(&self.signals) {
            if number == signal::TERMINATE {
                self.ask_init_to_stop();
            }
        }
        self.reap();
    }

    fn ask_init_to_stop(&mut self) {
        let stop = match self.spec.container.as_ref().map(|container| &container.init) {
            Some(Init::Own { stop_signal, .. }) => *stop_signal,
            _ => signal::TERMINATE,
        };
        match &self.life {
            Life::Running { .. } => drop(self.signal_running(stop)),
            Life::New => self.ending = true,
            Life::Created { .. } | Life::Exited(_) => {}
        }
    }

    /// Sends a signal to the first process; one that it cannot hear yet is sent again later.
    pub(super) fn signal_running(&mut self, number: i32) -> std::io::Result<()> {
        let Life::Running { child, .. } = &self.life else { return Ok(()) };
        let heard = unheard::listens(child.pid, number);
        process::signal_pidfd(&child.pidfd, number)?;
        self.unheard = (!heard).then(|| Unheard::new(number, Instant::now()));
        Ok(())
    }

    /// Sends the signal again that was not heard so far, if its time has come.
    pub(super) fn signal_again(&mut self, now: Instant) {
        let Some(unheard) = self.unheard.filter(|unheard| unheard.next <= now) else { return };
        // One that stands still hears nothing: it is sent once it goes on.
        let heard = !self.freezer.is_frozen() && self.signal_running(unheard.number).is_ok() && self.unheard.is_none();
        self.unheard = (!heard && matches!(self.life, Life::Running { .. })).then(|| unheard.again(now));
    }

    /// Reaps every child that has ended. A command that is not reaped would keep the container from ending.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = process::reap() {
            if self.life.init().is_some_and(|(_, child)| child.pid == pid) {
                self.init_ended(status);
            } else {
                self.sessions.ended(pid, status);
            }
        }
    }

    /// Records the end of the first process: the kernel has killed everything else in its pid namespace.
    fn init_ended(&mut self, status: WaitStatus) {
        // Its last word may have come with its end.
        self.take_notification();
        let Some((init, _)) = self.life.init() else { return };
        // Only the built-in init has a command; of another one it would be a program of the container that says so.
        let is_builtin = matches!(self.spec.container.as_ref().map(|one| &one.init), Some(Init::Builtin { .. }));
        let mut record = ExitRecord {
            init: init.clone(),
            exit: exit_of(status, self.command_signal.filter(|_| is_builtin)),
            statistics: self.cgroup.as_ref().map(Cgroup::statistics).unwrap_or_default(),
            leftover: None,
        };
        if let Some(mut console) = self.console.take() {
            console.drain(&mut self.log);
        }
        self.freezer.clear();
        self.unheard = None;
        record.leftover = self.remove_cgroup().err();
        // Without the record a later daemon learns "exit unknown"; this one is told all the same.
        let _ = record::write(&self.directory, record::EXIT, &record);
        self.life = Life::Exited(record.clone());
        self.sessions.container_ended();
        self.announce(&Event::Exited(Box::new(record)));
    }

    /// Kills what is left in the cgroup and removes it.
    pub(super) fn remove_cgroup(&self) -> Result<(), Failure> {
        match &self.cgroup {
            Some(cgroup) if cgroup.exists() => {
                cgroup.kill()?;
                cgroup.thaw()?;
                cgroup.remove()?;
                cgroup.remove_empty_parent();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends a first process that was never started, with all that was made for it.
    pub(super) fn undo_creation(&mut self) {
        if let Life::Created { child, .. } = std::mem::replace(&mut self.life, Life::New) {
            self.end_child(&child);
            self.announce(&Event::CreationUndone);
        }
    }

    /// Kills and reaps a child of a launch that came to nothing, and removes its cgroup.
    pub(super) fn end_child(&mut self, child: &Child) {
        let _ = process::signal_pidfd(&child.pidfd, signal::KILL);
        self.reap_until(child.pid);
        self.console = None;
        // What stays is found by the daemon by the name of the cgroup.
        let _ = self.remove_cgroup();
        self.alone_since = Instant::now();
    }

    fn reap_until(&mut self, wanted: i32) {
        let deadline = Instant::now() + REAP_PATIENCE;
        while Instant::now() < deadline {
            match process::reap() {
                Ok(Some((pid, _))) if pid == wanted => return,
                Ok(Some((pid, status))) => self.sessions.ended(pid, status),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// The kernel ends the init of a pid namespace by `SIGHUP` for a restart and by `SIGINT` for halt and power-off
/// (reboot(2), "Behavior inside PID namespaces").
fn exit_of(status: WaitStatus, command_signal: Option<i32>) -> Exit {
    match status {
        WaitStatus::Signaled(signal::HANGUP) => Exit::Reboot,
        WaitStatus::Signaled(signal::INTERRUPT) => Exit::PowerOff,
        WaitStatus::Signaled(number) => Exit::Signaled { number },
        WaitStatus::Exited(code) => match command_signal {
            Some(number) if code.checked_sub(number) == Some(SIGNALED) => Exit::CommandSignaled { number },
            _ => Exit::Exited { code },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_a_signal_only_where_it_fits_what_was_said() {
        let ended = |code, said| exit_of(WaitStatus::Exited(code), said);
        assert_eq!(ended(137, Some(9)), Exit::CommandSignaled { number: 9 });
        for (code, said) in [(0, Some(-128)), (0, Some(i32::MAX)), (255, Some(i32::MIN)), (137, Some(15)), (137, None)]
        {
            let plain = if said == Some(-128) { ended(1, said) } else { ended(code, said) };
            assert!(matches!(plain, Exit::Exited { .. }), "{code} {said:?}");
        }
    }
}
