//! The tour: what a new user runs first, on this machine, on one whose system has no init, and without root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::check;
use crate::fixture::{Answer, run_within};
use crate::harness::{Outcome, PROGRAM, misses, need, remains, scratch};
use crate::state_directory::{NOBODY, give_to_nobody};

/// All at once, because each spends most of its time waiting for the minute to pass.
pub const TESTS: &[crate::harness::Test] = &[("the tour, here, without an init and without root", tours)];

/// It waits for the next minute, and a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(400);
const WHOLE: &str = "Every step of the tour was run.";

fn tours() -> Outcome {
    let tours = [("here", here as fn(&Path) -> Outcome), ("no-init", without_init), ("no-root", without_root)];
    let all = tours.map(|(name, tour)| (name, thread::spawn(move || tour(&place(name)?))));
    for (name, tour) in all {
        let outcome = tour.join().map_err(|_| format!("the tour {name} panicked"))?;
        outcome?;
    }
    Ok(())
}

fn place(name: &str) -> Result<PathBuf, std::io::Error> {
    let place = scratch().join(format!("tour-{name}"));
    fs::create_dir_all(&place)?;
    Ok(place)
}

fn here(place: &Path) -> Outcome {
    let told = tour(place, Command::new(PROGRAM))?;
    check!(told.out.contains(WHOLE) != misses("start-containers"), "{told:?}");
    Ok(())
}

/// A container image with a compiler has no init, as a rule: the tour's containers run a command then.
fn without_init(place: &Path) -> Outcome {
    if need(&["start-containers"]).is_err() {
        return Ok(());
    }
    let hide = "for init in /sbin/init /usr/sbin/init; do [ ! -e $init ] || mount --bind /dev/null $init; done";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-ec", &format!("{hide}; exec \"$@\""), "sh", PROGRAM]);
    let told = tour(place, command)?;
    check!(told.out.contains("has no init") && told.out.contains(WHOLE), "{told:?}");
    Ok(())
}

fn without_root(place: &Path) -> Outcome {
    if need(&["root"]).is_err() {
        return Ok(()); // then the first one was without root
    }
    let program = place.join("berth");
    fs::copy(PROGRAM, &program)?;
    fs::set_permissions(scratch(), fs::Permissions::from_mode(0o711))?;
    give_to_nobody(place)?;
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    command.args(ids).args(["--clear-groups", "--"]).arg(&program).env("HOME", place);
    let told = tour(place, command)?;
    check!(told.out.contains("Left out: starting containers"), "{told:?}");
    Ok(())
}

/// Runs a tour that has to end well and to leave nothing.
fn tour(place: &Path, mut command: Command) -> Result<Answer, crate::harness::Stop> {
    let told = run_within(command.arg("tour").env("TMPDIR", place).env_remove("BERTH_STATE"), PATIENCE)?;
    let instance = told.out.lines().find_map(|line| line.trim().strip_prefix("instance "));
    check!(told.code == 0 && instance.is_some(), "{}\n{}", told.out, told.err);
    remains::remember(instance.unwrap_or_default().trim());
    let left: Vec<_> = fs::read_dir(place)?.flatten().map(|entry| entry.file_name()).collect();
    check!(left.iter().all(|name| name == "berth"), "left behind: {left:?}");
    Ok(told)
}
