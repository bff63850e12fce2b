//! What the packaged unit has systemd give to the daemon, read from the unit's own text.

#![allow(unsafe_code)]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::Stop;

const UNIT: &str = include_str!("../../packaging/berth.service");
/// Settings of a service that its process does not carry on.
const NOT_CARRIED_ON: [&str; 14] = [
    "Type",
    "NotifyAccess",
    "ExecStart",
    "Restart",
    "RestartSec",
    "Delegate",
    "KillMode",
    "TimeoutStopSec",
    "TimeoutStartSec",
    "StateDirectory",
    "StateDirectoryMode",
    "ConfigurationDirectory",
    "ConfigurationDirectoryMode",
    "TasksMax",
];

/// Something that a process carries on to those it begins.
enum Setting {
    Mask(libc::mode_t),
    OomScore(i32),
    Limit(libc::__rlimit_resource_t, u64),
    Nice(i32),
}

impl Setting {
    /// A setting that is not known here is one that nobody has tried.
    fn of(line: &str) -> Result<Option<Self>, Stop> {
        let unknown = || Stop::Failed(format!("no test knows what {line:?} of the unit gives to the daemon"));
        let (key, value) = line.split_once('=').ok_or_else(unknown)?;
        let limit = || if value == "infinity" { Ok(libc::RLIM_INFINITY) } else { value.parse() };
        Ok(Some(match key {
            "UMask" => Self::Mask(libc::mode_t::from_str_radix(value, 8)?),
            "OOMScoreAdjust" => Self::OomScore(value.parse()?),
            "Nice" => Self::Nice(value.parse()?),
            "LimitNOFILE" => Self::Limit(libc::RLIMIT_NOFILE, limit()?),
            "LimitNPROC" => Self::Limit(libc::RLIMIT_NPROC, limit()?),
            _ if NOT_CARRIED_ON.contains(&key) => return Ok(None),
            _ => return Err(unknown()),
        }))
    }

    /// Takes it on, as far as the host lets it.
    fn apply(&self) {
        // SAFETY: plain numbers, and one structure that lives across the call.
        unsafe {
            match *self {
                Self::Mask(mask) => drop(libc::umask(mask)),
                Self::OomScore(score) => drop(std::fs::write("/proc/self/oom_score_adj", score.to_string())),
                Self::Nice(value) => drop(libc::setpriority(libc::PRIO_PROCESS, 0, value)),
                Self::Limit(resource, value) => {
                    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
                    libc::setrlimit(resource, &raw const limit);
                }
            }
        }
    }
}

/// Has the command begin as systemd begins the daemon: with what the unit says, and what every service has.
pub fn begin_as_service(command: &mut Command) -> Result<(), Stop> {
    let service = UNIT.split_once("[Service]").and_then(|(_, rest)| rest.split_once("[Install]"));
    let lines = service.ok_or("the unit has no such parts")?.0.lines();
    let lines = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let settings: Vec<Setting> = lines.filter_map(|line| Setting::of(line).transpose()).collect::<Result<_, _>>()?;
    command.env("INVOCATION_ID", "0123456789abcdef0123456789abcdef").env("JOURNAL_STREAM", "8:1");
    // SAFETY: system calls and a write to /proc between fork and exec.
    unsafe {
        command.pre_exec(move || {
            settings.iter().for_each(Setting::apply);
            // `IgnoreSIGPIPE=` is yes where nothing else is said.
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            Ok(())
        });
    }
    Ok(())
}
