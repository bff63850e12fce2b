//! Waiting for an operation: the daemon owns the work, this only watches it.
//!
//! The watch survives a restart of the daemon: it connects again for a minute and goes on where it was.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::progress::Progress;
use super::screen::Screen;
use crate::api::client::{Client, ClientError, EventStream, ServerEvent, Target};
use crate::api::resources::{WaitOutcome, WaitPhase};
use crate::projections::rows::OperationState;
use crate::types::{Span, terminal_safe};

/// How long a daemon that went away is waited for.
const AWAY_MAX: Duration = Duration::from_mins(1);
const RETRY_EVERY: Duration = Duration::from_millis(300);
/// How often the bar moves without news.
const TICK: Duration = Duration::from_millis(500);

/// Says how a wait ended.
#[derive(Debug)]
pub enum Waited {
    /// The operation is over; it was watched that long.
    Over(WaitOutcome, Span),
    /// Ctrl-C.
    Detached,
    /// The time is over.
    TimedOut,
}

/// Waits until an operation is over, Ctrl-C is pressed, or the time is over.
///
/// # Errors
/// There is no such operation, or the daemon stays away.
pub fn wait(
    context: &mut Context<'_>,
    client: &Client,
    operation: &str,
    subject: &str,
    timeout: Option<Span>,
) -> Result<Waited, Failure> {
    let target = Target::new("/v1/operations").segment(operation).segment("wait");
    let mut watch = Watch {
        client,
        target,
        last_id: None,
        stream: None,
        progress: Progress::of(subject),
        verbose: context.verbose > 0,
    };
    let waited = context.until_interrupted(async |screen| {
        let deadline = timeout.map(|span| Instant::now() + span.as_duration());
        tokio::select! {
            outcome = watch.run(screen) => outcome,
            () = passed(deadline) => Ok(Waited::TimedOut),
        }
    })?;
    waited.unwrap_or(Ok(Waited::Detached))
}

/// Is what can be done about an operation under way, and the command for it without `berth`.
pub type WayOut = (&'static str, String);

/// Returns the way out of most operations.
pub fn call_off(operation: &str) -> WayOut {
    ("Call it off", format!("operation cancel {operation}"))
}

/// Tells that nobody waits for an operation any more and how to come back to it; returns `exit`.
pub fn left(context: &mut Context<'_>, subject: &str, operation: &str, out: &WayOut, exit: Exit) -> Exit {
    let why = if exit == Exit::Timeout { "not done in time" } else { "detached" };
    let (word, command) = out;
    let lines = [
        format!("{subject}: {why}; the daemon goes on with it"),
        format!("  Wait for it:  {}", context.command(&format!("operation wait {operation}"))),
        format!("  {word}:  {}", context.command(command)),
    ];
    let text = lines.iter().fold(String::new(), |text, line| text + &terminal_safe(line) + "\n");
    context.screen.alarm(&text);
    exit
}

/// Tells of each member of an operation on many how it went, unless all went well, which its end says.
///
/// # Errors
/// Nobody reads.
pub fn tell_members(context: &mut Context<'_>, outcome: &WaitOutcome) -> Result<(), Failure> {
    if outcome.state == OperationState::Done || !context.format.is_for_people() {
        return Ok(());
    }
    for member in &outcome.members {
        let reason = member.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        context.screen.line(&format!("{}: {}{reason}", member.name, member.state))?;
    }
    Ok(())
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

struct Watch<'a> {
    client: &'a Client,
    target: Target,
    last_id: Option<String>,
    stream: Option<EventStream>,
    progress: Progress,
    verbose: bool,
}

impl Watch<'_> {
    async fn run(&mut self, screen: &mut Screen) -> Result<Waited, Failure> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await; // The first comes at once: short work needs no bar.
        self.connect(screen).await?;
        loop {
            let news = tokio::select! {
                news = next(&mut self.stream) => Some(news),
                _ = ticks.tick() => None,
            };
            match news {
                None => self.show(screen),
                Some(Ok(Some(event))) => {
                    if let Some(outcome) = self.take(&event, screen)? {
                        return Ok(Waited::Over(outcome, self.progress.elapsed()));
                    }
                }
                Some(Ok(None) | Err(ClientError::Broken(_))) => self.connect(screen).await?,
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    async fn connect(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        let began = Instant::now();
        let mut told = false;
        loop {
            match self.client.events(&self.target, self.last_id.as_deref()).await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(ClientError::Down | ClientError::Broken(_)) if began.elapsed() < AWAY_MAX => {
                    if !std::mem::replace(&mut told, true) {
                        screen.note("the daemon went away; waiting for it to come back");
                    }
                    sleep(RETRY_EVERY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, event: &ServerEvent, screen: &mut Screen) -> Result<Option<WaitOutcome>, Failure> {
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
        match event.kind.as_str() {
            "phase" => {
                let phase: WaitPhase = read(event)?;
                self.progress.phase(&phase);
                if self.verbose {
                    screen.note(&format!("{} {}", phase.position, phase.sentence));
                }
            }
            "progress" => self.progress.amount(&read(event)?),
            "outcome" => return read(event).map(Some),
            _ => {} // A newer daemon may say more.
        }
        Ok(None)
    }

    fn show(&mut self, screen: &mut Screen) {
        if screen.err_is_terminal {
            let bar = self.progress.bar(screen.width());
            screen.progress(&bar);
        } else if let Some(line) = self.progress.line_if_due() {
            screen.progress(&line);
        }
    }
}

async fn next(stream: &mut Option<EventStream>) -> Result<Option<ServerEvent>, ClientError> {
    match stream {
        Some(stream) => stream.next().await,
        None => Ok(None),
    }
}

fn read<T: DeserializeOwned>(event: &ServerEvent) -> Result<T, Failure> {
    serde_json::from_str(&event.data).map_err(|error| {
        Failure::new(Exit::Failed, "daemon.foreign", format!("cannot understand the event {:?}: {error}", event.kind))
    })
}
