//! Laws of the tree of commands: what every leaf has, and that every example in the help is one.

use clap::{Command, CommandFactory as _, Parser as _};

use crate::cli::root::Root;

/// Reads that show the present alone: what they show is not recorded, or is the record itself.
const READS_WITHOUT_PAST: &[&str] = &["logs", "cat", "follow", "wait", "recovery-key"];
/// Leaves that neither read the log nor change anything that is in it.
const NEITHER: &[&str] = &[
    "node rebuild",
    "node sweep-leftovers",
    "doctor",
    "daemon",
    "tour",
    "completion",
    "exit-codes",
    "audit verify",
    "audit checkpoint",
];
const READS: &[&str] = &["list", "show", "history", "files", "coverage", "next", "status", "ps", "events"];

/// Returns every leaf with its path, and its own names alone.
fn leaves() -> Vec<(String, Command)> {
    let mut root = Root::command();
    root.build();
    let mut found = Vec::new();
    walk(&root, "", &mut found);
    found
}

fn walk(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let path = format!("{path} {}", child.get_name());
        if child.has_subcommands() {
            walk(child, &path, found);
        } else {
            found.push((path.trim_start().to_owned(), child.clone()));
        }
    }
}

fn has(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_long() == Some(option))
}

fn verb(path: &str) -> &str {
    path.rsplit(' ').next().unwrap()
}

fn is_read(path: &str) -> bool {
    READS.contains(&verb(path)) || READS_WITHOUT_PAST.contains(&verb(path))
}

fn is_neither(path: &str) -> bool {
    NEITHER.contains(&path)
}

#[test]
fn no_line_of_help_is_wider_than_the_narrowest_usual_terminal() {
    for (path, mut command) in leaves() {
        for line in command.clone().term_width(80).render_long_help().to_string().lines() {
            assert!(crate::cli::output::display_width(line) <= 80, "{path}: {line}");
        }
        let usage = command.render_usage().to_string().replace("Usage: berth ", "");
        assert!(usage.starts_with(&path) || !usage.contains('\n'), "{path}: {usage}");
    }
}

#[test]
fn clap_finds_nothing_wrong_with_the_tree() {
    Root::command().debug_assert();
}

#[test]
fn every_leaf_takes_a_form_of_output() {
    let leaves = leaves();
    assert!(leaves.len() > 60, "{}", leaves.len());
    for (path, command) in &leaves {
        let output = command.get_arguments().find(|argument| argument.get_long() == Some("output"));
        assert_eq!(output.and_then(clap::Arg::get_short), Some('o'), "{path}");
        assert!(has(command, "state"), "{path}");
    }
}

#[test]
fn every_change_can_be_tried_and_explained_and_every_read_looks_back() {
    for (path, command) in leaves().into_iter().filter(|(path, _)| !is_neither(path)) {
        if is_read(&path) {
            assert_eq!(has(&command, "as-of"), !READS_WITHOUT_PAST.contains(&verb(&path)), "{path}");
            assert!(!has(&command, "dry-run"), "{path}");
            continue;
        }
        assert!(has(&command, "dry-run") && has(&command, "reason"), "{path}");
        let waits = !["exec", "enter", "accept-history"].contains(&verb(&path));
        assert_eq!(has(&command, "no-wait") && has(&command, "timeout"), waits, "{path}");
    }
}

#[test]
fn every_line_of_help_is_there_and_ends_without_a_full_stop() {
    for (path, command) in leaves() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.ends_with('.'), "{path}: {about:?}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{path} {}: {help:?}", argument.get_id());
        }
    }
}

#[test]
fn what_stands_in_its_place_is_told_before_the_options() {
    for (path, command) in leaves() {
        for argument in command.get_positionals() {
            assert_eq!(argument.get_help_heading(), None, "{path} {}", argument.get_id());
        }
    }
}

#[test]
fn every_leaf_has_examples_and_they_parse() {
    for (path, command) in leaves().into_iter().filter(|(path, _)| path != "exit-codes") {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  berth ")).collect();
        assert!(!examples.is_empty(), "{path}: {help:?}");
        for example in examples {
            let words = split(&format!("berth {}", example.split(" > ").next().unwrap()));
            if let Err(error) = Root::try_parse_from(&words) {
                panic!("{path}: {words:?}: {error}");
            }
        }
    }
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    for (path, mut command) in leaves() {
        let help = command.render_long_help().to_string();
        // A usage line and an example are typed as they are.
        let own = help.lines().filter(|line| !line.starts_with("Usage: ") && !line.starts_with("  berth "));
        let long: Vec<&str> = own.filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{path}: {long:?}");
    }
}

#[test]
fn every_group_has_examples_and_they_parse() {
    let mut root = Root::command();
    root.build();
    for group in root.get_subcommands().filter(|command| command.has_subcommands() && command.get_name() != "help") {
        let help = group.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  berth ")).collect();
        assert!(!examples.is_empty(), "{}", group.get_name());
        for example in examples {
            let words = split(&format!("berth {example}"));
            assert!(Root::try_parse_from(&words).is_ok(), "{words:?}");
        }
    }
}

#[test]
fn nouns_have_their_short_forms_and_verbs_their_hoisted_ones() {
    for (short, long) in [
        ("ct list", "container list"),
        ("bk list", "backup list"),
        ("sch list", "schedule list"),
        ("net list", "network list"),
        ("tpl list", "template list"),
        ("op list", "operation list"),
        ("ev list", "event list"),
        ("ps", "container list"),
        ("events", "event list"),
        ("start web1", "container start web1"),
        ("stop web1", "container stop web1"),
        ("enter web1", "container enter web1"),
        ("exec web1 -- true", "container exec web1 -- true"),
        ("logs web1", "container logs web1"),
    ] {
        for line in [short, long] {
            let words = split(&format!("berth {line}"));
            assert!(Root::try_parse_from(&words).is_ok(), "{line}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    for line in [
        "container set web1 --memory 2GB",
        "container create web1",
        "container create web1 --template t --start --no-wait",
        "container stop web1 --kill --grace 3s",
        "backup restore b7f3 --to a --in-place",
        "backup restore b7f3",
        "backup restore b7f3 --to new --path /etc",
        "backup run",
        "backup run web1 --all",
        "schedule create n --cron '61 * * * *' --action backup --select all",
        "schedule create n --cron '@daily' --zone Mars/Base --action backup --select all",
        "template create t",
        "template create t --from-host --from-dir /x",
        "exec web1",
        "ps -o xml",
        "ps --json -o csv",
        "ps -y --no-input",
        "event show first",
    ] {
        let words = split(&format!("berth {line}"));
        let error = Root::try_parse_from(&words).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

/// Splits a line into words as a shell does, quotes alone.
pub fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            other => {
                word.push(other);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}
