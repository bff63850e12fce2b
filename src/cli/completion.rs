//! `berth completion`: what a shell has to know.

use clap::{Args, ValueEnum};
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

/// Bash ends words at an `@`, and would complete the rest as the name of a host.
const BASH_WORDS: &str = "# web1@latest is one word.\nCOMP_WORDBREAKS=${COMP_WORDBREAKS//@/}\n";

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
