//! Transcripts: what a user types and sees, against a real daemon.
//!
//! A transcript is a text: `$ berth …` is run, the lines below are what it prints (standard output, then standard
//! error), `? N` is its exit code where it is not 0. `[..]` fits anything within a line, a line `...` any lines.
//! `{ROOTFS}`, `{STORE}` and `{OUT}` are directories of the test.

#![allow(clippy::unwrap_used)]

mod daemon;
mod transcript;

use daemon::Daemon;

/// Says why nothing can be run here, if so.
fn missing() -> Option<&'static str> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        return Some("containers with disks of their own need root");
    }
    None
}

fn play(name: &str, text: &str) {
    if let Some(why) = missing() {
        eprintln!("skipped {name}: {why}");
        return;
    }
    let mut daemon = Daemon::start();
    for step in transcript::read(text) {
        if step.words == ["stop-daemon"] {
            daemon.stop();
            continue;
        }
        let said = daemon.berth(&step.words);
        if let Err(difference) = step.check(&said) {
            panic!("{name}: {difference}\nThe daemon said:\n{}", daemon.log());
        }
    }
}

#[test]
fn the_life_of_a_container() {
    play("container", include_str!("transcripts/container.txt"));
}

#[test]
fn errors_say_what_why_and_what_next() {
    play("errors", include_str!("transcripts/errors.txt"));
}

#[test]
fn backups_are_made_looked_into_and_restored() {
    play("backup", include_str!("transcripts/backup.txt"));
}

#[test]
fn schedules_tell_when_they_run() {
    play("schedule", include_str!("transcripts/schedule.txt"));
}

#[test]
fn the_record_can_be_read_with_the_daemon_down() {
    play("down", include_str!("transcripts/down.txt"));
}
