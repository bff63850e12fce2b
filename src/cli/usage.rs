//! Command lines that make no sense, told as every other error is: what, why, what to type, and a stable code.
//!
//! The parser knows all of that but says it in a form of its own; here it is put into [`Failure`]. The words were not
//! understood, so what they say of the form of output is looked for by hand.

use std::num::{IntErrorKind, ParseIntError};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use super::failure::Failure;
use crate::types::{BytePath, suggest};

/// How many words that may have been meant are told.
const SUGGESTIONS_MAX: usize = 3;

/// Returns what the parser holds against a command line.
pub fn failure(error: &Error, path: &str, root: &Command) -> Failure {
    let (code, message) = match error.kind() {
        ErrorKind::ValueValidation => ("usage.value", wrong_value(error)),
        ErrorKind::InvalidValue => ("usage.value", no_such_value(error)),
        ErrorKind::UnknownArgument => ("usage.option", unknown_argument(error)),
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand);
            ("usage.command", format!("there is no command {word:?} under {path:?}"))
        }
        ErrorKind::MissingRequiredArgument => {
            ("usage.missing", format!("{} is missing", text(error, ContextKind::InvalidArg)))
        }
        ErrorKind::ArgumentConflict => ("usage.conflict", conflict(error)),
        ErrorKind::InvalidUtf8 => ("usage.utf8", "the command line is not UTF-8".to_owned()),
        _ => ("usage.other", first_line(error)),
    };
    let failure = Failure::usage(code, message);
    if let Some(hint) = foreign(root, path, &text(error, ContextKind::InvalidSubcommand)) {
        return failure.hinted(hint);
    }
    if let Some(noun) = noun_with(root, path, &text(error, ContextKind::InvalidSubcommand)) {
        return failure.hinted(format!("berth {noun} {} --help", text(error, ContextKind::InvalidSubcommand)));
    }
    match suggestion(error) {
        Some(words) => failure.hinted(format!("did you mean {words}?")),
        None => failure,
    }
}

/// Behind which noun, if any, other tools' word for a command is typed, the word, and what it is here.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("", "run", "berth container create NAME --template TEMPLATE --start"),
    ("", "launch", "berth container create NAME --template TEMPLATE --start"),
    ("", "top", "berth ps"),
    ("", "ls", "berth ps"),
    ("", "rm", "berth container delete NAME"),
    ("", "kill", "berth stop NAME --kill"),
    ("", "inspect", "berth container show NAME"),
    ("", "images", "berth template list"),
    ("", "snapshot", "berth backup run NAME"),
    ("", "stat", "berth ps"),
    ("", "stats", "berth ps"),
    ("container", "stat", "berth container show NAME"),
    ("container", "stats", "berth container show NAME"),
    ("container", "kill", "berth stop NAME --kill"),
    ("container", "restore", "berth backup restore NAME@latest --in-place"),
    ("container", "resize", "berth container set NAME --disk SIZE"),
    ("schedule", "run", "berth schedule run-now NAME"),
];
/// What other tools call a verb, and what it is here with every noun that has it.
const FOREIGN_VERBS: &[(&str, &str)] = &[
    ("ls", "list"),
    ("rm", "delete"),
    ("remove", "delete"),
    ("inspect", "show"),
    ("info", "show"),
    ("new", "create"),
    ("add", "create"),
    ("destroy", "delete"),
    ("freeze", "pause"),
    ("thaw", "resume"),
    ("unfreeze", "resume"),
    ("unpause", "resume"),
];

/// Other tools, typed out of habit. None of them is a slip for a command that is alike.
const TOOLS: &[&str] = &["docker", "podman", "incus", "lxc", "lxd", "pct", "qm", "vzdump", "pvesm", "restic", "borg"];

/// Says what a word of another tool is here.
fn foreign(root: &Command, path: &str, word: &str) -> Option<String> {
    if TOOLS.contains(&word) {
        return Some(format!("{path} --help"));
    }
    let noun = path.strip_prefix("berth").unwrap_or(path).trim_start();
    let whole = FOREIGN.iter().find(|(place, foreign, _)| *place == noun && *foreign == word);
    if let Some((_, _, here)) = whole {
        return Some((*here).to_owned());
    }
    let (_, verb) = FOREIGN_VERBS.iter().find(|(foreign, _)| *foreign == word)?;
    let at = if noun.is_empty() { root } else { root.find_subcommand(noun)? };
    let has_it = at.find_subcommand(verb).is_some();
    if has_it {
        Some(format!("did you mean {verb}?"))
    } else {
        noun_with(root, path, verb).map(|noun| format!("berth {noun} {verb} NAME"))
    }
}

/// Finds the noun whose verb was typed without it.
fn noun_with(root: &Command, path: &str, verb: &str) -> Option<String> {
    let has_it = |noun: &&Command| noun.get_subcommands().any(|known| known.get_name() == verb);
    let found = root.get_subcommands().find(has_it).filter(|_| path == "berth" && verb != "help");
    found.map(|noun| noun.get_name().to_owned())
}

/// Returns the command that a line of words is for, as far as it is one: `berth container create`.
pub fn path(root: &Command, words: &[String]) -> String {
    path_until(root, words, None)
}

/// Returns the command under which the parser did not know a word; what comes behind that word says nothing.
pub fn path_of(error: &Error, root: &Command, words: &[String]) -> String {
    let unknown = texts(error, ContextKind::InvalidSubcommand);
    path_until(root, words, unknown.first().map(String::as_str))
}

fn path_until(root: &Command, words: &[String], end: Option<&str>) -> String {
    let mut path = vec!["berth"];
    let mut command = root;
    let before = |word: &&String| *word != "--" && end != Some(word.as_str());
    let mut words = words.iter().skip(1).take_while(before);
    while let Some(word) = words.next() {
        if takes_next(command, root, word) {
            words.next();
        } else if let Some(next) = command.find_subcommand(word) {
            command = next;
            path.push(next.get_name());
        }
    }
    path.join(" ")
}

/// Says whether a word is an option whose value is the next word.
fn takes_next(command: &Command, root: &Command, word: &str) -> bool {
    let is_it = |option: &&Arg| match word.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long),
        None => option.get_short().is_some_and(|short| word.strip_prefix('-') == Some(short.to_string().as_str())),
    };
    let option = command.get_arguments().chain(root.get_arguments()).find(is_it);
    option.is_some_and(|option| option.get_action().takes_values())
}

/// Returns the short help of the command at that path.
pub fn help(root: &Command, path: &str) -> String {
    let mut command = root.clone();
    for name in path.split(' ').skip(1) {
        if let Some(next) = command.find_subcommand(name).cloned() {
            command = next;
        }
    }
    command.render_help().to_string()
}

/// Says whether a line of words asks for JSON.
pub fn wants_json(words: &[String]) -> bool {
    let own = || words.iter().take_while(|word| *word != "--");
    let is_json = |form: &str| matches!(form, "json" | "jsonl");
    let joined =
        |word: &str| ["--output=", "-o=", "-o"].iter().any(|name| word.strip_prefix(name).is_some_and(is_json));
    let apart =
        own().zip(own().skip(1)).any(|(name, form)| matches!(name.as_str(), "-o" | "--output") && is_json(form));
    apart || own().any(|word| word == "--json" || joined(word))
}

fn wrong_value(error: &Error) -> String {
    let source = std::error::Error::source(error);
    let why = match source.and_then(|source| source.downcast_ref::<ParseIntError>()) {
        Some(number) => no_number(&text(error, ContextKind::InvalidValue), *number.kind()),
        None => source.map_or_else(|| first_line(error), ToString::to_string),
    };
    format!("{}: {why}", argument(error))
}

fn no_number(value: &str, kind: IntErrorKind) -> String {
    match kind {
        IntErrorKind::Zero => "0 is too few; 1 is the least".to_owned(),
        IntErrorKind::PosOverflow => format!("{value:?} is too large a number"),
        _ => format!("cannot read {value:?} as a whole number"),
    }
}

fn no_such_value(error: &Error) -> String {
    let (argument, value) = (argument(error), text(error, ContextKind::InvalidValue));
    let known = texts(error, ContextKind::ValidValue).join(", ");
    match value.as_str() {
        "" if known.is_empty() => format!("{argument} has no value"),
        "" => format!("{argument} has no value; it takes one of {known}"),
        _ => format!("{argument}: {value:?} is none of {known}"),
    }
}

fn unknown_argument(error: &Error) -> String {
    let word = text(error, ContextKind::InvalidArg);
    let what = if word.starts_with('-') { "there is no option" } else { "nothing is expected where it says" };
    format!("{what} {word:?}")
}

fn conflict(error: &Error) -> String {
    let (argument, others) = (argument(error), texts(error, ContextKind::PriorArg));
    match others.as_slice() {
        [] => first_line(error),
        [other] if *other == argument => format!("{argument} is given more than once"),
        others => format!("{argument} cannot be used together with {}", others.join(", ")),
    }
}

fn suggestion(error: &Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedValue, ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg];
    let typed = [ContextKind::InvalidValue, ContextKind::InvalidSubcommand, ContextKind::InvalidArg]
        .into_iter()
        .find_map(|kind| texts(error, kind).into_iter().next().filter(|typed| !typed.is_empty()));
    let near = |word: &String| typed.as_deref().is_none_or(|typed| is_near(typed, word));
    let mut words: Vec<String> = kinds.into_iter().flat_map(|kind| texts(error, kind)).filter(near).collect();
    words.reverse(); // The nearest comes last.
    words.truncate(SUGGESTIONS_MAX);
    if words.is_empty() { None } else { Some(words.join(" or ")) }
}

/// The parser guesses by likeness alone, so that `set` becomes `stop`; here a guess is what a typing mistake leads to.
fn is_near(typed: &str, meant: &str) -> bool {
    let bare = |word: &str| word.trim_start_matches('-').split(['=', ' ']).next().unwrap_or_default().to_owned();
    let (typed, meant) = (bare(typed), bare(meant));
    typed.strip_prefix("un") != Some(&meant) && suggest(&typed, [meant.as_str()]).is_some()
}

/// Returns the option alone, `--memory` of `--memory <SIZE>`; what has no option is called by its place.
fn argument(error: &Error) -> String {
    let argument = text(error, ContextKind::InvalidArg);
    match argument.split_once(' ') {
        Some((option, _)) if option.starts_with('-') => option.to_owned(),
        _ => argument,
    }
}

fn text(error: &Error, kind: ContextKind) -> String {
    texts(error, kind).join(", ")
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Reads a path inside a container or a backup, which is not empty: bytes that are no UTF-8 become the escapes that they are shown with.
pub fn inside_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|path| {
        let shown =
            path.into_string().or_else(|path| BytePath::try_from(PathBuf::from(path)).map(|path| path.to_string()));
        match shown {
            Ok(path) if path.is_empty() => Err("a path cannot be empty; / stands for all".to_owned()),
            Ok(path) => Ok(path),
            Err(error) => Err(error.to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_what_a_typing_mistake_leads_to_is_suggested() {
        for (typed, meant) in [("strat", "start"), ("--memroy", "--memory"), ("contaner", "container"), ("pss", "ps")] {
            assert!(is_near(typed, meant), "{typed}");
        }
        for (typed, other) in
            [("set", "stop"), ("--all", "--kill"), ("delete", "defragment"), ("list", "logs"), ("unstop", "stop")]
        {
            assert!(!is_near(typed, other), "{typed}");
        }
    }

    #[test]
    fn the_value_of_an_option_is_no_command() {
        let root = <crate::cli::root::Root as clap::CommandFactory>::command();
        for (line, wanted) in [
            ("berth --state start container list", "berth container list"),
            ("berth container --state list show web1", "berth container show"),
            ("berth -o list container start web1", "berth container start"),
            ("berth --state=start container list", "berth container list"),
            ("berth -v start web1", "berth start"),
        ] {
            assert_eq!(path(&root, &words(line)), wanted, "{line}");
        }
    }

    #[test]
    fn a_word_of_another_tool_leads_to_nothing_that_does_something_else() {
        use clap::{CommandFactory as _, Parser as _};
        let mut root = crate::cli::root::Root::command();
        root.build();
        for (line, hint) in [
            ("berth pct start 100", "berth --help"),
            ("berth qm stop 100", "berth --help"),
            ("berth vzdump 100", "berth --help"),
            ("berth docker rm x", "berth --help"),
            ("berth stat web1", "berth ps"),
            ("berth stats", "berth ps"),
            ("berth unstop web1", "berth --help"),
            ("berth unpause web1", "berth container resume NAME"),
            ("berth destroy web1", "berth container delete NAME"),
            ("berth container unpause web1", "did you mean resume?"),
            ("berth ct restore web1", "berth backup restore NAME@latest --in-place"),
            ("berth ct resize web1", "berth container set NAME --disk SIZE"),
            ("berth ct stat web1", "berth container show NAME"),
            ("berth --state /x --json ct frobnicate start", "berth container --help"),
        ] {
            let words = words(line);
            let error = crate::cli::root::Root::try_parse_from(&words).unwrap_err();
            let path = path_of(&error, &root, &words);
            let Failure::Told(told) = failure(&error, &path, &root).or_help_of(&path) else { panic!("{line}") };
            assert_eq!(told.hints, [hint], "{line}");
        }
    }

    #[test]
    fn the_form_of_output_is_found_in_words_that_make_no_sense() {
        for line in [
            "berth ps -o json",
            "berth ps -ojsonl",
            "berth ps --output=json --x",
            "berth --output json x",
            "berth ps --json",
        ] {
            assert!(wants_json(&words(line)), "{line}");
        }
        for line in ["berth ps -o csv", "berth exec a -- -o json", "berth json -o"] {
            assert!(!wants_json(&words(line)), "{line}");
        }
    }
}
