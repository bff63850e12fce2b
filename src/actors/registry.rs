//! Finds the actor of a stream, makes it when there is none, and makes it anew when it ended owing something.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::dev::channel::channel;
use actix::dev::{SendError, ToEnvelope};
use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message};
use tokio::sync::{mpsc, oneshot};

use super::house::House;
use super::kinds;
use super::message::{AskMessage, CommandError, Order, Perform, ReadAgain, ReadOn, Receipt, Rest, Wake};
use super::shell::{MAILBOX_CAPACITY, Shell};
use super::unrecorded::Unrecorded;
use crate::domain::Aggregate;
use crate::domain::effect::{Answer, Asked};
use crate::events::EventReference;
use crate::types::{Category, StreamName};

/// The key by which a rule names the node it runs on, whose id it does not know.
const SELF: &str = "self";
/// How long the actors may take to come to rest at the end: a snapshot less is no loss.
const REST_PATIENCE: Duration = Duration::from_secs(2);

/// Knows the actor of every live stream. They all run on one arbiter: no command hops between threads.
pub struct Registry {
    house: Arc<House>,
    arbiter: ArbiterHandle,
    addresses: Mutex<HashMap<StreamName, Box<dyn Any + Send>>>,
    closing: AtomicBool,
    pub(super) unrecorded: Unrecorded,
    revivals: Mutex<HashMap<StreamName, Revival>>,
}

/// Is when a broken actor goes on, and how long it is left alone for that.
struct Revival {
    due: Instant,
    pause: Duration,
}

impl Registry {
    /// Makes a registry whose actors run on `arbiter`.
    pub fn new(house: Arc<House>, arbiter: ArbiterHandle) -> Arc<Self> {
        Arc::new(Self {
            house,
            arbiter,
            addresses: Mutex::default(),
            closing: AtomicBool::new(false),
            unrecorded: Unrecorded::default(),
            revivals: Mutex::default(),
        })
    }

    /// Returns what the actors share.
    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// Ends the daemon in order: from now on nothing new is begun and nobody is made anew; long streams get a snapshot.
    pub async fn close(self: &Arc<Self>) {
        self.closing.store(true, Ordering::Release);
        let live: Vec<_> = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let (rest, mut rested) = mpsc::unbounded_channel();
        for stream in &live {
            kinds::rest(self, stream, Rest { done: rest.clone() });
        }
        drop(rest);
        let _ = tokio::time::timeout(REST_PATIENCE, rested.recv()).await; // over when every message is gone
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Says whether the daemon is ending.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Says whether actors may act on what the log says.
    fn goes_on(&self) -> bool {
        !self.is_closing() && self.house.log.refuses().is_none()
    }

    /// Gives an order to the aggregate of a stream.
    ///
    /// # Errors
    /// The rules refuse, the log does not take it, or too many wait for the same stream.
    pub async fn perform<A: Aggregate + Unpin>(
        self: &Arc<Self>,
        stream: &StreamName,
        order: Order<A::Command>,
    ) -> Result<Receipt<A::Event>, CommandError> {
        if let Some(error) = self.house.log.refuses() {
            return Err(CommandError::Log(error)); // an actor would go on with what this history says is open
        }
        self.make_up(stream).await?;
        self.give::<A>(stream, order).await
    }

    pub(super) async fn give<A: Aggregate + Unpin>(
        self: &Arc<Self>,
        stream: &StreamName,
        order: Order<A::Command>,
    ) -> Result<Receipt<A::Event>, CommandError> {
        let (reply, answer) = oneshot::channel();
        let perform = Perform::<A> { order, reply };
        let sent = self.with_address(stream, |address: &Addr<Shell<A>>| {
            address.try_send(perform).map_err(|error| matches!(error, SendError::Full(_)))
        });
        match sent {
            Ok(()) => answer.await.unwrap_or(Err(CommandError::Stopping)),
            Err(true) => Err(CommandError::Busy { stream: stream.to_string() }),
            Err(false) => Err(CommandError::Stopping),
        }
    }

    /// Makes the actor of a stream look at what it owes.
    pub fn wake(self: &Arc<Self>, stream: &StreamName) {
        if self.goes_on() {
            kinds::wake(self, &self.resolve(stream));
        }
    }

    /// Makes the actor of a stream take in what somebody else wrote there, before the commands that follow: the log itself
    /// records the steps of the clock.
    pub fn read_on(self: &Arc<Self>, stream: &StreamName) {
        if self.goes_on() {
            kinds::read_on(self, &self.resolve(stream));
        }
    }

    /// Asks the aggregate of a stream; what it took once is answered the second time, and changes nothing.
    ///
    /// # Errors
    /// The rules refuse, the log does not take it, or too many wait for the same stream.
    pub async fn ask(
        self: &Arc<Self>,
        to: &StreamName,
        asked: Asked,
        causation: Option<EventReference>,
    ) -> Result<Answer, CommandError> {
        self.make_up(to).await?;
        let (reply, answer) = oneshot::channel();
        kinds::ask(self, &self.resolve(to), AskMessage { asked, causation, reply });
        answer.await.unwrap_or(Err(CommandError::Stopping))
    }

    /// Says whether a stream's actor is to begin nothing now, whatever its state owes.
    pub(super) fn holds_back(&self, stream: &StreamName) -> bool {
        let is_due = |revival: &Revival| revival.due <= Instant::now();
        self.unrecorded.is_in(stream) || !self.revivals().get(stream).is_none_or(is_due)
    }

    fn revivals(&self) -> std::sync::MutexGuard<'_, HashMap<StreamName, Revival>> {
        self.revivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts this node's id where a rule wrote `self`.
    fn resolve(&self, stream: &StreamName) -> StreamName {
        if stream.category() == Category::Node && stream.key() == SELF {
            return StreamName::new(Category::Node, self.house.node);
        }
        stream.clone()
    }

    pub(super) fn ask_shell<A: Aggregate + Unpin>(self: &Arc<Self>, stream: &StreamName, message: AskMessage) {
        let sent = self.with_address(stream, |address: &Addr<Shell<A>>| {
            address.try_send(message).map_err(|(SendError::Full(back) | SendError::Closed(back))| back.reply)
        });
        if let Err(reply) = sent {
            let _ = reply.send(Err(CommandError::Busy { stream: stream.to_string() }));
        }
    }

    pub(super) fn wake_shell<A: Aggregate + Unpin>(self: &Arc<Self>, stream: &StreamName) {
        self.with_address(stream, |address: &Addr<Shell<A>>| address.do_send(Wake));
    }

    pub(super) fn read_on_shell<A: Aggregate + Unpin>(self: &Arc<Self>, stream: &StreamName) {
        self.with_address(stream, |address: &Addr<Shell<A>>| address.do_send(ReadOn));
    }

    /// Has actors read their streams again from the beginning: those that are parked, and those of `distrusted` streams,
    /// whose state came from a snapshot that the log does not bear out.
    pub fn read_again(self: &Arc<Self>, distrusted: &[StreamName]) {
        let live: Vec<_> = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        for stream in &live {
            kinds::read_again(self, stream, ReadAgain { distrusted: distrusted.contains(stream) });
        }
    }

    /// Tells the actor of a stream, if there is one; nobody is made for it.
    pub(super) fn tell_shell<A: Aggregate + Unpin, M>(&self, stream: &StreamName, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Shell<A>: Handler<M>,
        <Shell<A> as Actor>::Context: ToEnvelope<Shell<A>, M>,
    {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = addresses.get(stream).and_then(|address| address.downcast_ref::<Addr<Shell<A>>>()) {
            let _ = address.try_send(message);
        }
    }

    /// Sends by the one address there is: each clone of an address may put one message more into a full mailbox.
    fn with_address<A: Aggregate + Unpin, T>(
        self: &Arc<Self>,
        stream: &StreamName,
        send: impl FnOnce(&Addr<Shell<A>>) -> T,
    ) -> T {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = addresses.get(stream).and_then(|address| address.downcast_ref::<Addr<Shell<A>>>());
        if let Some(address) = known.filter(|address| address.connected()) {
            return send(address);
        }
        let (name, registry) = (stream.clone(), Arc::clone(self));
        // Not `start_in_arbiter`: its mailbox has sixteen places until the actor has begun.
        let (sender, receiver) = channel::<Shell<A>>(MAILBOX_CAPACITY);
        self.arbiter.spawn_fn(move || drop(Context::with_receiver(receiver).run(Shell::new(name, registry))));
        let address = Addr::new(sender);
        let sent = send(&address);
        addresses.insert(stream.clone(), Box::new(address));
        sent
    }

    /// Takes note that a stream was written: what broke its actor is over.
    pub(super) fn goes_well(&self, stream: &StreamName) {
        self.revivals().remove(stream);
    }

    /// Makes the actor of a stream anew after it broke down. As long as nothing of it can be recorded that takes longer each
    /// time: an actor that goes on does its work on the host again.
    pub(super) fn revive(self: &Arc<Self>, stream: StreamName) {
        if self.is_closing() {
            return;
        }
        let (registry, retry) = (Arc::clone(self), self.house.retry);
        let mut revivals = self.revivals();
        let last = revivals.get(&stream);
        if last.is_some_and(|last| last.due > Instant::now()) {
            return; // whoever asks in vain meanwhile neither hurries nor delays it
        }
        let pause = last.map_or(retry.revival, |last| (last.pause * 2).min(retry.pause_max));
        revivals.insert(stream.clone(), Revival { due: Instant::now() + pause, pause });
        drop(revivals);
        self.arbiter.spawn(async move {
            tokio::time::sleep(pause).await;
            registry.wake(&stream);
        });
    }
}
