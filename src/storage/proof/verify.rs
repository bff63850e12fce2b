//! Verification: reads everything again and says in words what that shows and what it does not.
//!
//! It needs only the file; a checkpoint kept elsewhere and the public key make it strong. Without them a log can only
//! be consistent with itself: whoever rewrote all of it would pass.

mod structure;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::checkpoint::{CheckpointError, SignedCheckpoint, VerifierKey, origin};
use super::leaf::{Header, Salt, annex_commitment, commitment};
use super::merkle::{Frontier, Hash};
use super::report::{Evidence, Finding, VerifyReport};
use crate::events::{Context, EventReference};
use crate::storage::error::ReadError;
use crate::storage::reader::{PAGE, Reader, Session};
use crate::storage::row::{self, Words};
use crate::types::{CLOCK_SLACK, LogId, NodeId, OperationId, Position, Principal, StreamName, Timestamp, Version};

/// Verifies a log against itself and against what the verifier brings.
///
/// # Errors
///
/// Only if the file cannot be opened at all; damage inside it is a finding.
pub fn verify(reader: &Reader, evidence: &Evidence) -> Result<VerifyReport, ReadError> {
    let seals = reader.checkpoints();
    let mut audit = Audit::new(reader.log(), evidence);
    match seals {
        Ok(notes) => notes.iter().for_each(|note| audit.expect(note, false)),
        Err(error) => audit.unreadable(&error),
    }
    if let Some(note) = &evidence.checkpoint {
        audit.expect(note, true);
    }
    // Two looks at the same file that know nothing of each other, beside each other.
    let before = audit.report.findings.len();
    let structure = std::thread::scope(|scope| {
        let structure = scope.spawn(|| reader.query(structure::structure));
        audit.walk(reader);
        structure.join()
    });
    match structure.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(flaws) => drop(audit.report.findings.splice(before..before, flaws)),
        Err(error) => audit.unreadable(&error),
    }
    Ok(audit.finish())
}

/// Is a root that the tree must have at some size.
struct Seal {
    root: Hash,
    sealed_at: Timestamp,
    outside: bool,
    /// Whether it proves anything of itself: another key's in the log does not.
    counts: bool,
}

struct Audit<'a> {
    report: VerifyReport,
    key: Option<&'a VerifierKey>,
    seals: BTreeMap<u64, Vec<Seal>>,
    /// The checkpoints of other keys in the log, by their sizes, with what is wrong with each.
    strange: BTreeMap<u64, Finding>,
    /// The tree over the stored leaves.
    tree: Frontier,
    /// The tree over the leaves that follow from the contents, once they differ.
    computed: Option<Frontier>,
    last: Position,
    recorded_at: Timestamp,
    fitted: u64,
    /// Whether roots can still be compared: not beyond a hole or the first that differs.
    comparable: bool,
    goes_on: bool,
    streams: HashMap<i64, (StreamName, Version)>,
    kinds: HashMap<i64, String>,
    context: Context,
    context_ids: [i64; 3],
    cause: Option<i64>,
    scratch: Vec<u8>,
}

impl<'a> Audit<'a> {
    fn new(log: LogId, evidence: &'a Evidence) -> Self {
        let key = evidence.key.as_ref();
        let report = VerifyReport {
            log,
            events: 0,
            root: Hash::default(),
            redacted: 0,
            archived: 0,
            sealed: None,
            outside: None,
            key: key.map(|key| key.name().to_owned()),
            derived: false,
            strange: 0,
            findings: Vec::new(),
        };
        Self {
            report,
            key,
            seals: BTreeMap::new(),
            strange: BTreeMap::new(),
            tree: Frontier::default(),
            computed: None,
            last: Position::default(),
            recorded_at: Timestamp::from_micros(i64::MIN),
            fitted: 0,
            comparable: true,
            goes_on: true,
            streams: HashMap::new(),
            kinds: HashMap::new(),
            context: empty_context(),
            context_ids: [0; 3],
            cause: None,
            scratch: Vec::new(),
        }
    }

    /// Goes through all events.
    fn walk(&mut self, reader: &Reader) {
        self.compare();
        while self.goes_on {
            let walked = reader.with(|session| Ok(self.page(session)));
            if let Err(error) = walked.and_then(|page| page.map_err(|source| row::read_error(reader.path(), source))) {
                self.unreadable(&error);
            }
        }
    }

    fn unreadable(&mut self, error: &ReadError) {
        self.goes_on = false;
        let finding = Finding::Unreadable { position: self.last, reason: error.to_string() };
        self.report.findings.push(finding);
    }

    /// Takes note of what a checkpoint says, if it says it of this log and its signature holds.
    fn expect(&mut self, note: &str, outside: bool) {
        let (name, told) = (named(note, outside), |name, reason| Finding::Checkpoint { name, reason });
        match self.check_note(note) {
            Ok((signed, None)) => self.seal(&signed, outside, true),
            // A node whose key was lost goes on with another one: what that one signs later bears out what was signed before.
            Ok((signed, Some(reason))) if !outside => {
                self.strange.insert(signed.checkpoint.size, told(name, reason));
                self.seal(&signed, false, false);
            }
            Ok((_, Some(reason))) | Err(reason) => self.report.findings.push(told(name, reason)),
        }
    }

    fn seal(&mut self, signed: &SignedCheckpoint, outside: bool, counts: bool) {
        let (size, root, sealed_at) = (signed.checkpoint.size, signed.checkpoint.root, signed.checkpoint.sealed_at);
        self.seals.entry(size).or_default().push(Seal { root, sealed_at, outside, counts });
    }

    /// Reads a note of this log, and says why it is none of the key's, if it is another one's.
    fn check_note(&self, note: &str) -> Result<(SignedCheckpoint, Option<String>), String> {
        let signed = SignedCheckpoint::parse(note).map_err(|error| error.to_string())?;
        if signed.checkpoint.origin != origin(self.report.log) {
            return Err(format!("it is of another log, {}", signed.checkpoint.origin));
        }
        match self.key.map(|key| signed.verify(key)) {
            None | Some(Ok(())) => Ok((signed, None)),
            Some(Err(error @ CheckpointError::NotSigned { .. })) => Ok((signed, Some(error.to_string()))),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    /// Reads and checks the next page.
    fn page(&mut self, session: &mut Session) -> rusqlite::Result<()> {
        let Session { connection, words } = session;
        let sql = "SELECT position, stream, version, kind, schema, recorded_at, wall_clock, boot, principal, operation,
                   cause_stream, cause_version, node, body_salt, body, segment, body_commitment, annex,
                   annex_commitment, leaf FROM events WHERE position > ?1 ORDER BY position LIMIT ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([self.last.stored(), PAGE as i64])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            self.event(connection, words, row)?;
        }
        self.goes_on = count == PAGE;
        Ok(())
    }

    fn event(&mut self, connection: &Connection, words: &mut Words, row: &Row<'_>) -> rusqlite::Result<()> {
        let position = Position::new(row.get::<_, i64>(0)? as u64);
        if position != self.last.next() {
            let last = Position::new(position.get() - 1);
            self.report.findings.push(Finding::Missing { first: self.last.next(), last });
            self.comparable = false;
        }
        self.last = position;
        self.report.events += 1;
        let stored = row.get::<_, Hash>(19).unwrap_or_default();
        let computed = match self.leaf(connection, words, row, position) {
            Ok(leaf) => leaf,
            Err(error) if error.sqlite_error_code().is_some() => return Err(error),
            Err(error) => {
                self.alter(position, &error.to_string());
                Hash::default()
            }
        };
        if stored != computed && self.report.findings.last().is_none_or(|found| !found.is_at(position)) {
            self.alter(position, "its content does not fit its hash");
        }
        self.grow(stored, computed);
        self.compare();
        Ok(())
    }

    fn alter(&mut self, position: Position, what: &str) {
        self.report.findings.push(Finding::Altered { position, what: what.to_owned() });
    }

    fn grow(&mut self, stored: Hash, computed: Hash) {
        if stored != computed && self.computed.is_none() {
            self.computed = Some(self.tree.clone());
        }
        self.tree.push(stored);
        if let Some(tree) = &mut self.computed {
            tree.push(computed);
        }
    }

    /// Computes the leaf that the content calls for, and checks order and commitments on the way.
    fn leaf(
        &mut self,
        connection: &Connection,
        words: &mut Words,
        row: &Row<'_>,
        position: Position,
    ) -> rusqlite::Result<Hash> {
        let recorded_at = Timestamp::from_micros(row.get(5)?);
        let version = Version::new(row.get::<_, i64>(2)? as u64);
        let stream = row.get(1)?;
        self.check_order(connection, words, stream, version, recorded_at, position)?;
        self.read_context(connection, words, row)?;
        let salt: Salt = row.get(13)?;
        let body = self.body(connection, words, row, &salt, position)?;
        let annex = self.annex(row, position)?;
        let kind = match self.kinds.entry(row.get(3)?) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => {
                let word = words.kind(connection, *slot.key())?;
                slot.insert(word)
            }
        };
        let Some((stream, _)) = self.streams.get(&stream) else { return Ok(Hash::default()) };
        let header = Header {
            log: &self.report.log,
            stream,
            version,
            kind,
            schema: row.get(4)?,
            recorded_at,
            context: &self.context,
            body: &body,
            annex: annex.as_ref(),
        };
        Ok(header.leaf(&mut self.scratch))
    }

    fn check_order(
        &mut self,
        connection: &Connection,
        words: &mut Words,
        stream: i64,
        version: Version,
        recorded_at: Timestamp,
        position: Position,
    ) -> rusqlite::Result<()> {
        let known = match self.streams.entry(stream) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => slot.insert((words.stream(connection, stream)?, Version::default())),
        };
        let before = std::mem::replace(&mut known.1, version);
        let reason = if version != before.next() && self.comparable {
            Some(format!("version {version} of {} comes after {before}", known.0))
        } else if recorded_at < self.recorded_at && self.recorded_at.since(recorded_at) <= CLOCK_SLACK {
            // What goes back further is another epoch of the clock, told by an event.
            Some(format!("it was recorded at {recorded_at}, before the one in front of it"))
        } else {
            None
        };
        self.recorded_at = recorded_at;
        if let Some(reason) = reason {
            self.report.findings.push(Finding::OutOfPlace { position, reason });
        }
        Ok(())
    }

    /// Fills in the context; what is the same as in the event before is not read again.
    fn read_context(&mut self, connection: &Connection, words: &mut Words, row: &Row<'_>) -> rusqlite::Result<()> {
        let ids = [row.get(7)?, row.get(8)?, row.get(12)?];
        if ids != self.context_ids {
            self.context.boot = words.boot(connection, ids[0])?;
            self.context.principal = words.principal(connection, ids[1])?;
            self.context.node = words.node(connection, ids[2])?;
            self.context_ids = ids;
        }
        self.context.wall_clock = Timestamp::from_micros(row.get(6)?);
        self.context.operation = OperationId::from_bytes(row.get(9)?);
        let cause = row.get::<_, Option<i64>>(10)?;
        if cause != self.cause {
            let named = cause.map(|stream| words.stream(connection, stream)).transpose()?;
            self.context.causation = named.map(|stream| EventReference { stream, version: Version::default() });
            self.cause = cause;
        }
        if let Some(cause) = &mut self.context.causation {
            cause.version = Version::new(row.get::<_, i64>(11)? as u64);
        }
        Ok(())
    }

    /// Returns the commitment to the body; an archived one is read from its segment and must fit.
    fn body(
        &mut self,
        connection: &Connection,
        words: &mut Words,
        row: &Row<'_>,
        salt: &Salt,
        position: Position,
    ) -> rusqlite::Result<Hash> {
        if let ValueRef::Blob(body) = row.get_ref(14)? {
            return Ok(commitment(salt, body));
        }
        self.report.archived += 1;
        let stored: Hash = row.get(16)?;
        let body = words.archived(connection, row.get(15)?, position)?;
        if commitment(salt, &body) != stored {
            self.alter(position, "its archived body does not fit its hash");
        }
        Ok(stored)
    }

    fn annex(&mut self, row: &Row<'_>, position: Position) -> rusqlite::Result<Option<Hash>> {
        let stored: Option<Hash> = row.get(18)?;
        match row.get_ref(17)? {
            ValueRef::Null => self.report.redacted += u64::from(stored.is_some()),
            annex => {
                if stored != Some(annex_commitment(annex.as_blob()?)) {
                    self.alter(position, "its annex does not fit its hash");
                }
            }
        }
        Ok(stored)
    }

    /// Compares the roots with the checkpoints of this size.
    fn compare(&mut self) {
        if !self.comparable {
            return;
        }
        let size = self.tree.size();
        for seal in self.seals.remove(&size).unwrap_or_default() {
            let root = self.tree.root();
            let fits = root == seal.root || self.computed.as_ref().is_some_and(|tree| tree.root() == seal.root);
            if fits {
                self.fitted = size;
                if !seal.counts {
                    continue;
                }
                let place = if seal.outside { &mut self.report.outside } else { &mut self.report.sealed };
                *place = Some((size, seal.sealed_at));
            } else if self.comparable {
                let (first, last) = (Position::new(self.fitted + 1), Position::new(size));
                self.report.findings.push(Finding::Rewritten { first, last, sealed_at: seal.sealed_at });
                self.comparable = false;
            }
        }
    }

    fn finish(mut self) -> VerifyReport {
        self.report.root = self.tree.root();
        let beyond = self.seals.split_off(&(self.last.get() + 1));
        if let Some((sealed, seal)) = beyond.last_key_value().and_then(|(size, all)| Some((*size, all.first()?))) {
            let finding = Finding::CutOff { head: self.last, sealed, sealed_at: seal.sealed_at };
            self.report.findings.push(finding);
        }
        let proven = self.report.sealed.into_iter().chain(self.report.outside).map(|(size, _)| size).max().unwrap_or(0);
        let unproven = self.strange.split_off(&(proven + 1));
        self.report.strange = self.strange.len() as u64;
        self.report.findings.extend(unproven.into_values());
        self.report
    }
}

/// Names a checkpoint by the size that it says.
fn named(note: &str, outside: bool) -> String {
    let place = if outside { "that was given" } else { "in the log" };
    let line = note.lines().nth(1).unwrap_or_default().chars().take(20).collect::<String>();
    format!("{line:?} {place}")
}

fn empty_context() -> Context {
    Context {
        wall_clock: Timestamp::default(),
        boot: String::new(),
        principal: Principal { who: String::new(), how: String::new() },
        operation: OperationId::from_bytes([0; 16]),
        causation: None,
        node: NodeId::from_bytes([0; 16]),
    }
}
