//! Asks the package manager inside a container what is pending, and installs nothing.
//!
//! apt today: `apt-get update`, then a simulated `dist-upgrade` (apt-get(8), `-s`), whose `Inst` lines are its word on what
//! it would do. What a container answers is not trusted: lines are bounded, and odd ones are left out.

use crate::domain::effect::Failure;
use crate::events::{MaintenanceResult, PendingUpdate};

use super::failure::not_applicable;

/// The most updates that are recorded by name.
const LISTED_MAX: usize = 200;
/// The longest name or version that is believed.
const WORD_MAX: usize = 200;
const OTHERS: [(&str, &str); 6] = [
    ("dnf", "/usr/bin/dnf"),
    ("yum", "/usr/bin/yum"),
    ("zypper", "/usr/bin/zypper"),
    ("pacman", "/usr/bin/pacman"),
    ("apk", "/sbin/apk"),
    ("opkg", "/bin/opkg"),
];

/// Is what a command inside the container left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
}

/// Runs a command inside the container and waits for it.
pub type Run<'a> = &'a mut dyn FnMut(&[&str]) -> Result<Output, Failure>;

/// Asks what is pending.
///
/// # Errors
/// `NotApplicable` where no known package manager is; what running it says, and apt's own words where it fails.
pub fn update_check(run: Run<'_>) -> Result<MaintenanceResult, Failure> {
    if !is_there(run, "/usr/bin/apt-get")? {
        for (name, path) in OTHERS {
            if is_there(run, path)? {
                return Err(not_applicable(format!("the package manager {name} is not supported yet; apt is")));
            }
        }
        return Err(not_applicable("there is no package manager in the container"));
    }
    let update = apt(run, &["-q", "-o", "APT::Update::Error-Mode=any", "update"])?;
    let stale = (update.code != 0).then(|| complaint(&update));
    let simulated = apt(run, &["-q", "-s", "-o", "Debug::NoLocking=true", "dist-upgrade"])?;
    if simulated.code != 0 {
        return Err(Failure::permanent(format!("apt-get cannot say what is pending: {}", complaint(&simulated))));
    }
    let mut pending = pending_in(&String::from_utf8_lossy(&simulated.stdout));
    let (count, security) = (pending.len() as u64, pending.iter().filter(|update| update.security).count() as u64);
    pending.sort_by(|left, right| right.security.cmp(&left.security).then_with(|| left.package.cmp(&right.package)));
    pending.truncate(LISTED_MAX);
    Ok(MaintenanceResult::UpdatesListed { manager: "apt".to_owned(), pending, count, security, stale })
}

fn is_there(run: Run<'_>, path: &str) -> Result<bool, Failure> {
    Ok(run(&["/bin/sh", "-c", "test -x \"$1\"", "sh", path])?.code == 0)
}

fn apt(run: Run<'_>, arguments: &[&str]) -> Result<Output, Failure> {
    // Its messages in English, since they are read here.
    let start = ["/usr/bin/env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "/usr/bin/apt-get"];
    run(&[&start, arguments].concat())
}

/// Returns apt's errors, or else its warnings, on one line.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines =
        |start: &str| text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect::<Vec<_>>();
    let found = [lines("E:"), lines("W:")].into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match found.join(" ") {
        said if said.is_empty() => format!("it ended with code {}", output.code),
        said => said.chars().filter(|character| !character.is_control()).take(500).collect(),
    }
}

fn pending_in(text: &str) -> Vec<PendingUpdate> {
    text.lines().filter_map(pending).collect()
}

/// Reads `Inst NAME [INSTALLED] (CANDIDATE SUITE:VERSION/CODENAME [ARCHITECTURE]) …`; new packages have no installed version.
fn pending(line: &str) -> Option<PendingUpdate> {
    let (package, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let (before, inside) = rest.split_once('(')?;
    let (inside, _) = inside.split_once(')')?;
    let installed =
        before.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(version, _)| version);
    let (candidate, origins) = inside.split_once(' ').unwrap_or((inside, ""));
    let believable = |word: &str| word.len() <= WORD_MAX && word.bytes().all(|byte| byte.is_ascii_graphic());
    let wanted = !package.is_empty() && !candidate.is_empty();
    (wanted && [package, installed, candidate].into_iter().all(believable)).then(|| PendingUpdate {
        package: package.to_owned(),
        installed: installed.to_owned(),
        candidate: candidate.to_owned(),
        security: is_security(origins),
    })
}

/// Debian says `Debian-Security:12/stable-security`, Ubuntu `Ubuntu:22.04/jammy-security`.
fn is_security(origins: &str) -> bool {
    origins.split([',', ' ']).map(str::trim).any(|origin| {
        let (label, suite) = origin.split_once('/').unwrap_or((origin, ""));
        let label = label.split(':').next().unwrap_or_default().to_ascii_lowercase();
        label.ends_with("-security") || suite.ends_with("-security") || suite == "security"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIMULATION: &str = "NOTE: This is only a simulation!\nReading package lists...\n\
        Inst base-files [12.4+deb12u9] (12.4+deb12u10 Debian:12.10/stable [amd64])\n\
        Inst libssl3 [3.0.15-1~deb12u1] (3.0.16-1~deb12u1 Debian-Security:12/stable-security [amd64]) []\n\
        Inst linux-new (6.1.1 Debian:12/stable [amd64])\nConf base-files (12.4+deb12u10 Debian:12.10/stable [amd64])\n";

    fn container(has: &'static str, update: i32) -> impl FnMut(&[&str]) -> Result<Output, Failure> {
        move |argv| {
            let output =
                |code, stdout: &str, stderr: &str| Output { code, stdout: stdout.into(), stderr: stderr.into() };
            Ok(match argv {
                ["/bin/sh", .., path] => output(i32::from(!path.ends_with(has)), "", ""),
                [.., "update"] => output(update, "", "W: odd\nE: Failed to fetch http://x\n"),
                [.., "dist-upgrade"] => output(0, SIMULATION, ""),
                other => panic!("{other:?}"),
            })
        }
    }

    #[test]
    fn pending_updates_are_listed_security_first() {
        let checked = update_check(&mut container("apt-get", 0)).unwrap();
        let MaintenanceResult::UpdatesListed { manager, pending, count, security, stale } = checked else { panic!() };
        assert_eq!((manager.as_str(), count, security, stale), ("apt", 3, 1, None));
        let names: Vec<_> = pending.iter().map(|update| update.package.as_str()).collect();
        assert_eq!(names, ["libssl3", "base-files", "linux-new"]);
        assert_eq!((pending[1].installed.as_str(), pending[2].installed.as_str()), ("12.4+deb12u9", ""));
    }

    #[test]
    fn lists_that_cannot_be_renewed_are_used_and_said_to_be_stale() {
        let checked = update_check(&mut container("apt-get", 100)).unwrap();
        let MaintenanceResult::UpdatesListed { count: 3, stale: Some(stale), .. } = checked else {
            panic!("{checked:?}")
        };
        assert_eq!(stale, "E: Failed to fetch http://x");
    }

    #[test]
    fn other_package_managers_are_named_and_none_is_said() {
        let failure = update_check(&mut container("pacman", 0)).unwrap_err();
        assert_eq!(failure.reason, "the package manager pacman is not supported yet; apt is");
        let failure = update_check(&mut container("nothing", 0)).unwrap_err();
        assert_eq!(failure.kind, crate::domain::effect::FailureKind::NotApplicable);
    }

    proptest! {
        #[test]
        fn every_update_survives_the_line_apt_prints(package in "[a-z][a-z0-9+.-]{1,20}", from in "[0-9][0-9a-z.+~:-]{0,12}",
            to in "[0-9][0-9a-z.+~:-]{0,12}", security: bool) {
            let origin = if security { "Debian-Security:12/stable-security" } else { "Debian:12.1/stable, Local:x/y" };
            let line = format!("Inst {package} [{from}] ({to} {origin} [amd64])");
            let wanted = PendingUpdate { package, installed: from, candidate: to, security };
            prop_assert_eq!(pending(&line), Some(wanted));
        }

        #[test]
        fn no_output_makes_it_panic(text in "(Inst |Conf )?[ -~\u{0}-\u{20}()\\[\\]]{0,120}") {
            let _ = pending_in(&text);
        }
    }
}
