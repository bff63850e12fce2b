//! `berth container enter`: a shell inside.

use clap::Args;

use crate::cli::change::RecordOptions;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::session::{self, Wish};

/// Takes bash where there is one; every system has sh. The prompt says where one is, unless the system's own files set
/// another one.
const ANY_SHELL: &str = r#"command -v bash >/dev/null 2>&1 && export PS1='\u@\h:\w\$ ' && exec bash -l
sign='$'; [ "$(id -u)" = 0 ] && sign='#'
export PS1="$USER@$(uname -n):\$PWD$sign "; exec sh -l"#;

/// Open a shell in a container
///
/// The exit code is the shell's own. Who entered, and when, is recorded.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  berth enter web1\n  berth enter web1 --user www-data --shell /bin/sh")]
pub struct Arguments {
    /// The container
    #[arg(value_name = "NAME", add = complete::containers())]
    name: String,
    /// The user inside, root by default
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// The shell, bash or sh by default
    #[arg(long, value_name = "PATH")]
    shell: Option<String>,
    #[command(flatten)]
    record: RecordOptions,
}

/// Runs the verb.
pub fn run(context: &mut Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let argv = match &arguments.shell {
        Some(shell) => vec![shell.clone()],
        None => ["/bin/sh", "-c", ANY_SHELL].map(str::to_owned).to_vec(),
    };
    let term = std::env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
    let wish = Wish {
        argv,
        environment: vec![format!("TERM={term}")],
        user: arguments.user.clone(),
        directory: None,
        terminal: None,
    };
    session::run(context, &arguments.name, wish, &arguments.record)
}
