//! Subscriptions: history first, then what is committed, without a gap and without a repetition.
//!
//! The writer broadcasts each batch after its commit. A subscription counts positions: what it has is skipped, what
//! it misses (because it began late or reads slowly) is paged from disk. So a slow reader costs nobody memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use super::error::ReadError;
use super::reader::{PAGE, Reader};
use crate::events::Envelope;
use crate::types::Position;

/// Is what one transaction appended.
pub type Batch = Arc<Vec<Arc<Envelope>>>;
/// Is how often a blocking wait with a deadline looks for news.
const POLL: Duration = Duration::from_millis(5);

/// Reads the past for a subscription.
pub trait Pages: Send + Sync + 'static {
    /// Reads events after a position.
    fn page(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError>;
}

impl Pages for Reader {
    fn page(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        self.read_all(after, limit)
    }
}

/// Says why a subscription has nothing more to tell.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The log was closed; everything it had was delivered.
    #[error("the log is closed")]
    Closed,
    /// The past cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Delivers every event after a position, each once and in order.
pub struct Subscription {
    pages: Arc<dyn Pages>,
    live: broadcast::Receiver<Batch>,
    last: Position,
    ready: VecDeque<Arc<Envelope>>,
    behind: bool,
    closed: bool,
}

impl Subscription {
    /// Makes a subscription of a source of the past and a channel of the present.
    ///
    /// The channel must have been subscribed to before; then nothing committed since can be missed.
    pub fn new(pages: Arc<dyn Pages>, live: broadcast::Receiver<Batch>, after: Position) -> Self {
        Self { pages, live, last: after, ready: VecDeque::new(), behind: true, closed: false }
    }

    /// Returns the position of the event delivered last.
    pub const fn position(&self) -> Position {
        self.last
    }

    /// Waits for the next event. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The log was closed, or the past cannot be read; the latter may be tried again.
    pub async fn next(&mut self) -> Result<Arc<Envelope>, SubscriptionError> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            if self.behind {
                let (pages, last) = (Arc::clone(&self.pages), self.last);
                let page = tokio::task::spawn_blocking(move || pages.page(last, PAGE)).await;
                self.accept_page(page.map_err(|_| SubscriptionError::Closed)??);
                continue;
            }
            self.check_open()?;
            let news = self.live.recv().await;
            self.accept(news);
        }
    }

    /// Waits for the next event on a thread that may block (never on one that runs futures).
    pub fn blocking_next(&mut self) -> Result<Arc<Envelope>, SubscriptionError> {
        loop {
            if let Some(event) = self.fetch()? {
                return Ok(event);
            }
            self.check_open()?;
            let news = self.live.blocking_recv();
            self.accept(news);
        }
    }

    /// Returns the next event if there is one by now; reads the disk but waits for nobody.
    pub fn try_next(&mut self) -> Result<Option<Arc<Envelope>>, SubscriptionError> {
        loop {
            if let Some(event) = self.fetch()? {
                return Ok(Some(event));
            }
            self.check_open()?;
            match self.live.try_recv() {
                Ok(batch) => self.accept(Ok(batch)),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Lagged(missed)) => self.accept(Err(RecvError::Lagged(missed))),
                Err(TryRecvError::Closed) => self.accept(Err(RecvError::Closed)),
            }
        }
    }

    /// Waits at most `patience` for the next event, on a thread that may block.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Arc<Envelope>>, SubscriptionError> {
        let started = std::time::Instant::now();
        loop {
            match self.try_next()? {
                Some(event) => return Ok(Some(event)),
                None if started.elapsed() >= patience => return Ok(None),
                None => std::thread::sleep(POLL.min(patience)),
            }
        }
    }

    fn take(&mut self) -> Option<Arc<Envelope>> {
        let event = self.ready.pop_front()?;
        self.last = event.position;
        Some(event)
    }

    fn fetch(&mut self) -> Result<Option<Arc<Envelope>>, SubscriptionError> {
        if self.ready.is_empty() && self.behind {
            let page = self.pages.page(self.last, PAGE)?;
            self.accept_page(page);
        }
        Ok(self.take())
    }

    fn check_open(&self) -> Result<(), SubscriptionError> {
        if self.closed { Err(SubscriptionError::Closed) } else { Ok(()) }
    }

    fn accept_page(&mut self, page: Vec<Envelope>) {
        self.behind = page.len() == PAGE;
        self.ready.extend(page.into_iter().map(Arc::new));
    }

    fn accept(&mut self, news: Result<Batch, RecvError>) {
        match news {
            Ok(batch) => {
                let fresh: Vec<_> = batch.iter().filter(|event| event.position > self.last).cloned().collect();
                match fresh.first() {
                    Some(first) if first.position == self.last.next() => self.ready.extend(fresh),
                    Some(_) => self.behind = true, // a hole: the disk has it
                    None => {}
                }
            }
            Err(RecvError::Lagged(_)) => self.behind = true,
            Err(RecvError::Closed) => {
                self.behind = true;
                self.closed = true;
            }
        }
    }
}
