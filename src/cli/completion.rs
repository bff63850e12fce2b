//! `berth completion`: what a shell has to know.

use std::ffi::{OsStr, OsString};

use clap::{Args, Command, ValueEnum};
use clap_complete::env::Shells;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// Print what makes a shell complete commands, options and live names
///
/// Names come from the daemon at the moment of the key press; it is given 200 ms.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth completion bash > /etc/bash_completion.d/berth\n  \
    berth completion zsh > /usr/local/share/zsh/site-functions/_berth\n  berth completion fish > ~/.config/fish/completions/berth.fish")]
pub struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Is a shell that can be taught.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Zsh,
}

/// Where bash and zsh say which word is wanted.
const INDEX_VARIABLE: &str = "_CLAP_COMPLETE_INDEX";
/// Bash ends words at an `@`, and would complete the rest as the name of a host.
const BASH_WORDS: &str = "# web1@latest is one word.\nCOMP_WORDBREAKS=${COMP_WORDBREAKS//@/}\n";

/// Returns the tree of commands for the word that a shell wants completed: with options only where it begins as one, or
/// where nothing else fits.
pub fn tree(root: Command, arguments: &[OsString]) -> Command {
    let index = std::env::var(INDEX_VARIABLE).ok().and_then(|index| index.parse().ok());
    if word(arguments, index).as_encoded_bytes().starts_with(b"-") { root } else { without_options(root) }
}

/// Some shells say which word it is, with the others it is the last.
fn word(arguments: &[OsString], index: Option<usize>) -> &OsStr {
    let mut words = arguments.iter().skip_while(|word| *word != "--").skip(1);
    let word = match index {
        Some(index) => words.nth(index),
        None => words.last(),
    };
    word.map_or(OsStr::new(""), OsString::as_os_str)
}

/// What is hidden is completed where nothing else is.
fn without_options(mut root: Command) -> Command {
    root.build();
    hide(root)
}

fn hide(command: Command) -> Command {
    let command = command.mut_args(|argument| if argument.is_positional() { argument } else { argument.hide(true) });
    command.mut_subcommands(hide)
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = match arguments.shell {
        Shell::Bash => "bash",
        Shell::Elvish => "elvish",
        Shell::Fish => "fish",
        Shell::Zsh => "zsh",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let known =
        shells.completer(name).ok_or_else(|| Failure::usage("usage.shell", format!("no such shell: {name}")))?;
    known.write_registration("COMPLETE", "berth", "berth", "berth", &mut script)?;
    if matches!(arguments.shell, Shell::Bash) {
        script.extend_from_slice(BASH_WORDS.as_bytes());
    }
    context.screen.write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_one_that_the_shell_names_or_the_last() {
        let arguments: Vec<OsString> = ["berth", "--", "berth", "start", "-", "web1"].map(OsString::from).into();
        assert_eq!(word(&arguments, Some(2)), "-");
        assert_eq!(word(&arguments, None), "web1");
        assert_eq!(word(&arguments, Some(9)), "");
        assert_eq!(word(&arguments[..1], None), "");
    }

    #[test]
    fn options_stand_behind_names() {
        use clap::CommandFactory as _;
        let words = |line: &[&str]| {
            let line: Vec<OsString> = ["berth", "--"].iter().chain(line).map(OsString::from).collect();
            let mut root = tree(crate::cli::root::Root::command(), &line);
            let words = line[2..].to_vec();
            let place = words.len() - 1;
            let found = clap_complete::engine::complete(&mut root, words, place, None).unwrap();
            found.iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let verbs = words(&["berth", "template", ""]);
        assert!(
            verbs.iter().any(|verb| verb == "create") && !verbs.iter().any(|verb| verb.starts_with('-')),
            "{verbs:?}"
        );
        assert!(words(&["berth", "schedule", "create", "x", "--action", ""]).iter().all(|word| !word.starts_with('-')));
        let options = words(&["berth", "container", "start", "--"]);
        assert!(options.iter().any(|option| option == "--reason"), "{options:?}");
    }
}
