//! Zstandard around every piece, and no more than it is worth; on every processor, because nothing else of a backup takes
//! as long.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use zstd::bulk;

use crate::repository::error::{Error, Result};

/// The level of compression: three quarters of a first backup is this, and more buys little (measured).
const LEVEL: i32 = 3;
/// A piece that does not shrink by one part in that many is kept as it is.
const WORTH: usize = 32;
/// The most threads of one press.
const THREADS_MAX: usize = 8;
/// The most bytes that wait in a press, for each of its threads.
const AHEAD: usize = 4 << 20;

/// Compresses pieces with one context.
pub struct Compressor {
    context: Option<bulk::Compressor<'static>>,
}

impl Compressor {
    /// Makes a context; without one (no memory) pieces are kept as they are.
    pub fn new() -> Self {
        Self { context: bulk::Compressor::new(LEVEL).ok() }
    }

    /// Compresses a piece if that is worth it.
    pub fn deflate(&mut self, raw: Vec<u8>) -> Deflated {
        let length = raw.len();
        let small = self.context.as_mut().and_then(|context| context.compress(&raw).ok());
        match small.filter(|small| small.len() + length / WORTH < length) {
            Some(bytes) => Deflated { bytes, length, is_small: true },
            None => Deflated { bytes: raw, length, is_small: false },
        }
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

/// Is a piece as it will be sealed.
pub struct Deflated {
    /// Its bytes, compressed or as they were.
    pub bytes: Vec<u8>,
    /// How many bytes it has once inflated.
    pub length: usize,
    /// Whether they are compressed.
    pub is_small: bool,
}

type Job = (Vec<u8>, SyncSender<Deflated>);

/// Compresses pieces on threads of its own and gives each back, with what belongs to it, in the order in which they came:
/// the same contents make the same packs, however many processors there are.
pub struct Press<T> {
    jobs: Sender<Job>,
    waiting: VecDeque<(T, usize, Receiver<Deflated>)>,
    bytes: usize,
    bytes_max: usize,
}

impl<T> Press<T> {
    /// Begins with a thread for each processor; they end with the press.
    pub fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let (jobs, inbox) = channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..threads {
            let inbox = Arc::clone(&inbox);
            // One that cannot be made leaves the work to the others, or to who asks.
            let _ = thread::Builder::new().name("compress".to_owned()).spawn(move || work(&inbox));
        }
        Self { jobs, waiting: VecDeque::new(), bytes: 0, bytes_max: threads * AHEAD }
    }

    /// Hands over a piece and what belongs to it.
    pub fn push(&mut self, belonging: T, raw: Vec<u8>) {
        let (answer, receiver) = sync_channel(1);
        let length = raw.len();
        self.bytes += length;
        self.waiting.push_back((belonging, length, receiver));
        if let Err(refused) = self.jobs.send((raw, answer)) {
            let (raw, answer) = refused.0;
            let _ = answer.send(Compressor::new().deflate(raw));
        }
    }

    /// Returns the oldest piece if enough others wait behind it.
    ///
    /// # Errors
    /// The thread that had it is gone.
    pub fn pop_if_full(&mut self) -> Result<Option<(T, Deflated)>> {
        if self.bytes > self.bytes_max { self.pop() } else { Ok(None) }
    }

    /// Returns the oldest piece, as soon as it is compressed; nothing once all were given back.
    ///
    /// # Errors
    /// The thread that had it is gone.
    pub fn pop(&mut self) -> Result<Option<(T, Deflated)>> {
        let Some((belonging, length, receiver)) = self.waiting.pop_front() else { return Ok(None) };
        self.bytes -= length;
        let gone = |_| Error::io("compress", "a piece")(io::Error::other("its thread is gone"));
        Ok(Some((belonging, receiver.recv().map_err(gone)?)))
    }
}

fn work(inbox: &Mutex<Receiver<Job>>) {
    let mut compressor = Compressor::new();
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((raw, answer)) = next else { return };
        let _ = answer.send(compressor.deflate(raw)); // nobody waits for a backup that was given up
    }
}

/// Returns the `length` bytes that were compressed; nothing if they are not exactly as many.
pub fn inflate(small: &[u8], length: usize) -> Option<Vec<u8>> {
    bulk::decompress(small, length).ok().filter(|raw| raw.len() == length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces that take very different times.
    fn piece(number: usize) -> Vec<u8> {
        let length = if number.is_multiple_of(3) { 1 << 20 } else { 100 + number };
        (0..length).map(|at| (at / (number + 1)) as u8).collect()
    }

    #[test]
    fn pieces_come_back_whole_and_in_their_order() {
        let mut press = Press::new();
        let mut back = Vec::new();
        for number in 0..60 {
            press.push(number, piece(number));
            back.extend(std::iter::from_fn(|| press.pop_if_full().unwrap()));
            assert!(press.bytes <= press.bytes_max, "more waits than may");
        }
        back.extend(std::iter::from_fn(|| press.pop().unwrap()));
        assert!(back.iter().any(|(_, piece)| piece.is_small));
        for (expected, (number, deflated)) in back.into_iter().enumerate() {
            let Deflated { bytes, length, is_small } = deflated;
            let raw = if is_small { inflate(&bytes, length).unwrap() } else { bytes };
            assert_eq!((number, raw), (expected, piece(expected)));
        }
    }

    #[test]
    fn what_does_not_shrink_is_kept_as_it_is() {
        let random: [u8; 64] = crate::repository::keys::random().unwrap();
        let kept = Compressor::new().deflate(random.to_vec());
        assert_eq!((kept.is_small, kept.bytes.as_slice(), kept.length), (false, random.as_slice(), 64));
    }

    #[test]
    fn without_a_thread_the_work_is_done_all_the_same() {
        let mut press = Press { jobs: channel().0, waiting: VecDeque::new(), bytes: 0, bytes_max: 0 };
        press.push((), piece(3));
        let ((), deflated) = press.pop().unwrap().unwrap();
        assert!(deflated.is_small);
        assert!(press.pop().unwrap().is_none());
    }
}
