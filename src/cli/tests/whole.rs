//! The command line against the real API, log and actors, on a simulated host; then with nobody listening.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::{Said, berth};
use crate::api::tests::{Daemon, run};
use crate::cli::root::Root;

/// Runs a test in a thread of its own, since the command line has a runtime of its own.
async fn beside(daemon: &Daemon, test: impl FnOnce(PathBuf) + Send + 'static) {
    let state = daemon.folder.path().join("state");
    let instance = json!({"instance": "0a1b2c3d", "run_dir": daemon.folder.path(), "socket": daemon.socket, "pid": 1});
    std::fs::write(state.join("instance.json"), instance.to_string()).unwrap();
    let work = std::thread::spawn(move || test(state));
    while !work.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    work.join().expect("the test went well");
}

fn well(state: &Path, line: &str) -> String {
    let said = berth(state, line);
    assert!(said.ended(0), "{line}: {said:?}");
    said.out
}

fn badly(state: &Path, line: &str, code: u8) -> Said {
    let said = berth(state, line);
    assert!(said.ended(code), "{line}: {said:?}");
    said
}

fn populate(state: &Path) {
    well(state, "template create tiny --from-host");
    well(state, "network create default");
    well(state, "container create web1 --template tiny --memory 512M --label tier=front --start");
    // The last thing that happens by itself: from here on nothing comes between two looks.
    while !well(state, "event list -o json").contains("ContainerReady") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn what_breaks_in_the_middle_of_a_file_is_told_behind_what_came() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            well(&state, "store create vault /srv/vault");
            well(&state, "backup run web1");
            assert_eq!(well(&state, "backup cat web1@latest /etc/motd").len(), 1_000_000);
            let said = badly(&state, "backup cat web1@latest /cut", 3);
            assert_eq!(said.out.len(), 264_000, "whole pieces of it come");
            let told = "error: /cut in backup aaaa cannot be read: pack bbbb is damaged  [backup.damaged]";
            assert!(said.err.starts_with(told) && said.err.contains("berth backup verify"), "{}", said.err);
        })
        .await;
    });
}

#[test]
fn the_undo_that_is_told_takes_back_what_was_done() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            let told = well(&state, "container set web1 --memory 2G --cpus 1.5 --label a=b --remove-label tier");
            let undo = told.split_once("Undo: berth --state ").unwrap().1.split_once(' ').unwrap().1.trim_end();
            well(&state, undo);
            let row: Value = serde_json::from_str(&well(&state, "container show web1 -o json")).unwrap();
            let configuration = &row["configuration"];
            assert_eq!(configuration["limits"]["memory"], 512 << 20);
            assert_eq!(configuration["limits"]["cpus"], Value::Null);
            assert_eq!(configuration["labels"], json!({"tier": "front"}));
        })
        .await;
    });
}

#[test]
fn every_noun_lists_and_shows_what_the_daemon_has() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            well(&state, "store create main /srv/backup");
            well(&state, "backup run web1 --note first");
            well(&state, "schedule create nightly --cron '@daily' --action backup --select 'web*'");
            for line in [
                "ps --all",
                "ps --label tier=front --in-state running --template tiny",
                "container history web1",
                "template list",
                "template show tiny",
                "network show default",
                "store show main",
                "backup list web1",
                "backup show web1@latest",
                "backup coverage",
                "schedule list",
                "schedule next nightly",
                "operation list --open",
                "event list --container web1 --since 1h --kind '*Requested'",
                "event show 5",
                "node status",
                "ps --as-of 10",
            ] {
                assert!(!well(&state, line).is_empty(), "{line}");
                assert!(!well(&state, &format!("{line} -o json")).is_empty(), "{line}");
            }
            let restored = well(&state, "backup restore web1@latest --in-place -y");
            // As it is printed: it runs again after the restore.
            well(&state, "container start web1");
            let undo = restored.split_once("Undo: ").unwrap().1.trim_end();
            for command in undo.split(" && ") {
                let words = command.strip_prefix("berth --state ").unwrap().split_once(' ').unwrap().1;
                well(&state, &format!("{words} -y"));
            }
        })
        .await;
    });
}

#[test]
fn refusals_of_the_daemon_have_their_exit_codes() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            assert!(badly(&state, "container show wbe1", 5).err.contains("did you mean web1?"));
            badly(&state, "container delete web1", 6);
            badly(&state, "start web1 web9", 3);
            badly(&state, "container delete web1 web9 -y", 6);
            badly(&state, "ps --as-of nonsense", 2);
            badly(&state, "container create web1 --template tiny", 6);
            badly(&state, "operation cancel zzzz", 5);
        })
        .await;
    });
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_bound_that_it_breaks() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            well(&state, "store create vault /srv/vault");
            well(&state, "backup run web1");
            let schedule = "schedule create nightly --cron '0 3 * * *' --action backup --select all";
            let said = badly(&state, &format!("{schedule} --jitter 30d"), 2);
            assert!(
                said.err.contains("the jitter 4w2d is longer than 1d, the shortest time between two"),
                "{}",
                said.err
            );
            well(&state, &format!("{schedule} --jitter 1d"));
            let said = badly(&state, "container update-check --all --parallel 100000", 2);
            assert!(said.err.contains("100000 at the same time are too many; 64 are the most"), "{}", said.err);
            let said = badly(&state, "event list --stream foo/bar", 2);
            assert!(!said.err.contains("Bad Request") && said.err.contains("[request.query]"), "{}", said.err);
            let said = badly(&state, "backup files web1@latest /nope", 5);
            assert!(said.err.contains("there is nothing at \"/nope\" in backup"), "{}", said.err);
            for line in ["stop ''", "container show ''", "template show ''", "operation show ''", "exec '' -- id"] {
                assert!(
                    badly(&state, line, 2).err.starts_with("error: a name cannot be empty  [usage.empty]"),
                    "{line}"
                );
            }
            assert!(badly(&state, "ps --label ''", 2).err.contains("label"), "it would show all of them");
        })
        .await;
    });
}

#[test]
fn several_that_are_deleted_come_back_by_pattern_and_what_is_final_has_no_undo() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            for name in ["old1", "old2"] {
                well(&state, &format!("container create {name} --template tiny"));
            }
            assert!(well(&state, "container delete 'old*' -y").contains("container undelete old2"));
            let said = badly(&state, "template delete tiny -y", 6);
            let (told, hint) = ("deleted container old1", "berth container list --all --template tiny");
            assert!(said.err.contains(told) && said.err.contains(hint), "{}", said.err);
            let said = well(&state, "container undelete 'old*'");
            assert!(said.contains("old1: taken back") && said.contains("old2: taken back"), "{said}");
            let said = well(&state, "container delete old1 --grave 0s");
            assert!(said.starts_with("old1: deleted for good") && !said.contains("Undo"), "{said}");
        })
        .await;
    });
}

#[test]
fn whoever_deletes_a_template_hears_which_backups_need_it() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            well(&state, "store create vault /srv/vault");
            well(&state, "backup run web1");
            well(&state, "container stop web1");
            well(&state, "container delete web1");
            well(&state, "container purge web1 -y");
            assert!(well(&state, "template show tiny").contains("1 backup to be restored as a container"));
            for line in ["template delete tiny --dry-run", "template delete tiny -y"] {
                let said = berth(&state, line);
                assert!(said.ended(0) && said.err.contains("1 backup needs tiny"), "{line}: {said:?}");
                assert!(said.err.contains("--into DIR"), "{line}: {said:?}");
                if line.ends_with("--dry-run") {
                    assert!(badly(&state, "template delete tiny", 2).err.contains("-y"), "nobody can be asked");
                }
            }
        })
        .await;
    });
}

fn help_of_limit(list: &str) -> String {
    let mut root = Root::command();
    root.build();
    let mut command = &root;
    for word in list.split(' ') {
        command = command.find_subcommand(word).unwrap();
    }
    let limit = command.get_arguments().find(|argument| argument.get_long() == Some("limit"));
    limit.unwrap().get_help().unwrap().to_string()
}

#[test]
fn what_is_cut_or_cannot_be_meant_is_said() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            for number in 0..50 {
                well(&state, &format!("container set web1 --memory {}M", 100 + number));
            }
            for (list, most) in [("operation list", 50), ("event list", 100)] {
                let told = format!("The newest {most} are shown");
                let more = format!("More: the same with --limit {}", most * 10);
                assert!(well(&state, list).contains(&told) && well(&state, list).contains(&more), "{list}");
                assert!(!well(&state, &format!("{list} --limit {most}")).contains(&told), "{list}: it was asked for");
                assert!(!well(&state, &format!("{list} -o json")).contains(&told), "{list}");
                assert!(help_of_limit(list).contains(&format!("without it {most}")), "{list}");
            }
            assert!(well(&state, "event list --after 0").contains("More: --after 100"));
            let said = badly(&state, "container set web1 memory=1G", 2);
            assert!(said.err.contains("\"memory=1G\" is no container name"), "{said:?}");
            assert!(said.err.contains("Write it as an option:  --memory 1G"), "{said:?}");
            assert!(!badly(&state, "container set web1 colour=red", 2).err.contains("--colour"));
            well(&state, "container create idle --template tiny --pids 77");
            let shown = well(&state, "container show idle");
            assert!(
                shown.lines().any(|line| line.trim_start().starts_with("processes") && line.ends_with("– / 77")),
                "{shown}"
            );
        })
        .await;
    });
}

#[test]
fn with_the_daemon_down_the_record_is_read_and_says_so() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            let lines = [
                "ps",
                "container show web1",
                "container history web1",
                "template list",
                "network show default",
                "store list",
                "backup list",
                "backup coverage",
                "schedule list",
                "operation list --limit 3",
                "event list --container web1 --since 1h",
                "event show 5",
                "node status",
            ];
            let live: Value = serde_json::from_str(&well(&state, "event list -o json")).unwrap();
            std::fs::remove_file(state.join("instance.json")).unwrap();
            for line in lines {
                assert!(well(&state, line).contains("as recorded; daemon down"), "{line}");
            }
            let down: Value = serde_json::from_str(&well(&state, "event list -o json")).unwrap();
            assert_eq!((&down["items"], &down["schema"]), (&live["items"], &live["schema"]));
            assert!(
                down["daemon"].as_str().unwrap().starts_with("down, did not end in order; its last event is of 20")
            );
            badly(&state, "container show wbe1", 5);
            badly(&state, "start web1", 8);
            badly(&state, "logs web1", 8);
        })
        .await;
    });
}

#[test]
fn a_session_that_is_only_tried_is_told_as_every_change() {
    run(async |daemon| {
        beside(daemon, |state| {
            populate(&state);
            let told = well(&state, "exec web1 --dry-run -- true");
            assert!(told.starts_with("web1: would be recorded:\n  SessionOpened  session opened"), "{told}");
        })
        .await;
    });
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_like_every_error() {
    let state = tempfile::tempdir().unwrap();
    for (line, told) in [
        (
            "container set web1 --memory 2GB",
            "error: --memory: cannot read the size \"2GB\": berth counts in powers of two, so GB would be ambiguous; \
             write 2G (= 2 GiB)  [usage.value]\n  berth container set --help\n",
        ),
        (
            "ct set web1 --memory -1",
            "error: --memory: cannot read the size \"-1\"; write a whole or decimal number with K, M, G or T, like 512M \
             or 1.5G  [usage.value]\n  berth container set --help\n",
        ),
        (
            "container creat web1",
            "error: there is no command \"creat\" under \"berth container\"  [usage.command]\n  did you mean create?\n",
        ),
        (
            "set web1 --memory 1G",
            "error: there is no command \"set\" under \"berth\"  [usage.command]\n  berth container set --help\n",
        ),
        (
            "container ls",
            "error: there is no command \"ls\" under \"berth container\"  [usage.command]\n  did you mean list?\n",
        ),
        (
            "run debian",
            "error: there is no command \"run\" under \"berth\"  [usage.command]\n  \
             berth container create NAME --template TEMPLATE --start\n",
        ),
        (
            "schedule run nightly",
            "error: there is no command \"run\" under \"berth schedule\"  [usage.command]\n  \
             berth schedule run-now NAME\n",
        ),
        (
            "container set web1 --memory -5M",
            "error: --memory: cannot read the size \"-5M\"; write a whole or decimal number with K, M, G or T, like 512M \
             or 1.5G  [usage.value]\n  berth container set --help\n",
        ),
        (
            "container delete web1 --grave -1d",
            "error: --grave: cannot read the duration \"-1d\"; write 30s, 10m, 1h30m, 2d or 500ms  [usage.value]\n  \
             berth container delete --help\n",
        ),
        ("events --limit 0", "error: --limit: 0 is too few; 1 is the least  [usage.value]\n  berth events --help\n"),
        (
            "schedule next nightly --count 0",
            "error: --count: 0 is too few; 1 is the least  [usage.value]\n  berth schedule next --help\n",
        ),
        (
            "backup restore web1 --into /x --path ''",
            "error: --path: a path cannot be empty; / stands for all  [usage.value]\n  berth backup restore --help\n",
        ),
        (
            "container set web1 --label a=1 --remove-label a",
            "error: --label and --remove-label both name \"a\"; it is put on or taken off  [usage.conflict]\n  \
             berth container set --help\n",
        ),
        (
            "container create web1 -t b --network none --ip auto",
            "error: --ip is an address in a network, and --network none is none  [usage.conflict]\n  \
             berth container create --help\n",
        ),
        ("stop --all", "error: there is no option \"--all\"  [usage.option]\n  berth stop --help\n"),
        ("ps --labl x", "error: there is no option \"--labl\"  [usage.option]\n  did you mean --label?\n"),
        ("ps a b", "error: nothing is expected where it says \"b\"  [usage.option]\n  berth ps --help\n"),
        (
            "ps -o xml",
            "error: --output: \"xml\" is none of table, wide, json, jsonl, yaml, csv, name  [usage.value]\n  \
             berth ps --help\n",
        ),
        ("container rename web1", "error: <NEW> is missing  [usage.missing]\n  berth container rename --help\n"),
        (
            "stop web1 --kill --grace 3s",
            "error: --kill cannot be used together with --grace <SPAN>  [usage.conflict]\n  berth stop --help\n",
        ),
        (
            "container create web1 -t",
            "error: --template has no value  [usage.value]\n  berth container create --help\n",
        ),
    ] {
        let said = berth(state.path(), line);
        assert!(said.ended(2), "{line}: {said:?}");
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", told), "{line}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_in_json_where_that_is_wanted() {
    let state = tempfile::tempdir().unwrap();
    let said = berth(state.path(), "container set web1 --memory 2GB -o json");
    let told: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!((&told["code"], &told["exit"]), (&json!("usage.value"), &json!(2)));
    assert_eq!(told["hints"], json!(["berth container set --help"]));
}

#[test]
fn a_value_cannot_reach_the_terminal_as_it_is() {
    let state = tempfile::tempdir().unwrap();
    for line in
        ["ps \u{1b}[31m x", "ps --\u{1b}[31m", "\u{1b}[31m", "ps -o \u{1b}[31m", "ct set a --label k=\u{1b}[31m"]
    {
        let said = berth(state.path(), line);
        assert!(said.ended(2) && !said.err.contains('\u{1b}'), "{line:?}: {said:?}");
    }
}

#[test]
fn a_noun_alone_shows_what_can_be_done_with_it() {
    let state = tempfile::tempdir().unwrap();
    let said = berth(state.path(), "container");
    assert!(said.ended(2) && said.err.contains("Commands:") && said.err.contains("update-check"), "{said:?}");
}
