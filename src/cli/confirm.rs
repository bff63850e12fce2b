//! Questions before acts that are hard to take back: yes or no for moderate ones, the name itself for severe ones.
//!
//! A prompt is never required: `-y` answers, `--no-input` and a missing terminal refuse.

use std::io;

use super::context::Context;
use super::failure::Failure;

/// Asks whether to go on; anything but yes ends the command.
///
/// # Errors
/// The answer is no, or nobody can be asked.
pub fn yes_or_no(context: &mut Context<'_>, question: &str) -> Result<(), Failure> {
    if context.yes {
        return Ok(());
    }
    let answer = ask(context, &format!("{question} [y/N] "))?;
    if is_yes(&answer) { Ok(()) } else { Err(declined()) }
}

/// Asks for the name of what will be gone for good.
///
/// # Errors
/// Another text, or nobody can be asked.
pub fn typed_name(context: &mut Context<'_>, question: &str, name: &str) -> Result<(), Failure> {
    if context.yes {
        return Ok(());
    }
    let answer = ask(context, &format!("{question}\nType {name:?} to go on: "))?;
    if answer.trim() == name { Ok(()) } else { Err(declined()) }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn ask(context: &mut Context<'_>, prompt: &str) -> Result<String, Failure> {
    if context.no_input || !context.screen.in_is_terminal {
        let why = if context.no_input { "--no-input is set" } else { "standard input is no terminal" };
        return Err(Failure::usage("usage.confirmation", format!("this needs a confirmation, and {why}"))
            .hinted("Add -y to confirm it on the command line."));
    }
    context.screen.alarm(prompt);
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::usage("usage.confirmation", error.to_string()))?;
    Ok(answer)
}

fn declined() -> Failure {
    Failure::new(super::exit::Exit::Failed, "declined", "not confirmed; nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes("YES"));
        assert!(!is_yes("\n") && !is_yes("yep") && !is_yes("n"));
    }
}
