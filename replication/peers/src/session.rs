//! One connection of the peers protocol after its hello: what to send, what was learnt, what arrived.
//! It is woken by bytes, by changes in the tables and by its two timers; it never waits for anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proxy_table::{DataType, Key, KeyType, Stored, Table, Value};

use crate::teach::Lesson;
use crate::{
    Definition, Dictionary, EntryCodec, MAX_MESSAGE, Message, Nonsense, UpdateKind, read_message,
    write_message,
};

/// Entries sent in one go; the shell writes them out before it asks for more.
pub const UPDATE_BATCH: usize = 200;
/// After this long without anything else to say a heartbeat is sent.
pub const HEARTBEAT_MS: u64 = 3_000;
/// A peer that says nothing for two of these in a row is gone.
pub const SILENCE_MS: u64 = 5_000;
/// Changes of a table are sent at most so often: what changes meanwhile goes in one batch, each key once.
const GATHER_MS: u64 = 2;
/// Most tables one peer may define.
const MAX_TABLES: usize = 4_096;
/// A message with its class, type and length.
const MAX_FRAMED: usize = MAX_MESSAGE + 16;

/// The tables a session carries; shared with the proxy that changes them.
pub type Tables = Arc<[Arc<Table>]>;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'i> {
    /// The peer sent this; cut anywhere.
    Bytes(&'i [u8]),
    /// Ask the peer to teach everything.
    Ask,
    /// Whether this node knows all there is to know, for the end of a lesson.
    Complete(bool),
}

/// What happened, for the caller. What is to be sent comes from [`Session::poll_transmit`] instead, so
/// that a slow wire never keeps a caller from reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Merge this entry.
    Learned(Learned),
    /// The peer asks to be taught everything.
    Asked,
    /// The peer has taught what it knows; `true`: it says that is everything.
    Taught(bool),
    /// Close.
    End(End),
}

/// An entry as a peer has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Place in [`Tables`].
    pub table: usize,
    /// The entry.
    pub key: Key,
    /// Its values, by type.
    pub values: Vec<(DataType, Value)>,
    /// Milliseconds it has left, where the peer said.
    pub remaining_ms: Option<u64>,
    /// Part of a lesson, and not a change that happened now: the last change here that the peer was sure to
    /// know when it was asked.
    pub lesson: Option<u64>,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer's bytes are not the protocol's.
    Nonsense(Nonsense),
    /// The peer says that about ours.
    Refused,
    /// The peer has been silent for too long.
    Silent,
}

/// Which timer a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Say something, so that the peer knows we live.
    Heartbeat,
    /// Look whether the peer said something.
    Silence,
    /// Send what has changed since the last batch.
    Gather,
}

/// A table as the peer numbers it.
#[derive(Debug)]
struct Theirs {
    ours: Option<usize>,
    key: KeyType,
    columns: Vec<Stored>,
    last: u32,
    acknowledged: u32,
}

/// How far one of our tables has been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// Everything up to here has been sent, or is gone.
    pushed: u64,
    /// The last one that was really sent.
    sent: u64,
    /// The peer has everything up to here.
    acked: u64,
}

impl Cursor {
    fn at(update: u64) -> Self {
        Self { pushed: update, sent: update, acked: update }
    }

    /// What nobody can acknowledge, because it was gone before it was sent, is not waited for.
    fn settle(&mut self) {
        if self.acked >= self.sent {
            self.acked = self.pushed;
        }
    }
}

/// One session.
pub struct Session {
    tables: Tables,
    cursors: Vec<Cursor>,
    theirs: BTreeMap<u64, Theirs>,
    /// Number of the table that updates are about: theirs, coming in.
    current: Option<u64>,
    /// Place of the table that was defined last: ours, going out.
    defined: Option<usize>,
    sent: Dictionary,
    known: Dictionary,
    timed: bool,
    complete: bool,
    /// While the peer teaches: per table, the last change here that it was sure to know when it was asked.
    learning: Option<Vec<u64>>,
    lesson: Option<Lesson>,
    inbox: Vec<u8>,
    control: Vec<u8>,
    outputs: VecDeque<Output>,
    ended: bool,
    heartbeat_ms: u64,
    silence_ms: u64,
    /// When the next batch of changes may leave, and whether one waits for that.
    gather_ms: u64,
    gathers: bool,
    heard: bool,
    now_ms: u64,
}

impl Session {
    /// A session whose hello is done. `minor`: the version both sides speak, 2.x. `acked`: per table, the
    /// last update the peer is known to have (from an earlier session), or nothing.
    #[must_use]
    pub fn new(tables: Tables, minor: u8, acked: &[u64], now_ms: u64) -> Self {
        let cursor = |i: usize| acked.get(i).map_or(Cursor::default(), |a| Cursor::at(*a));
        Self {
            cursors: (0..tables.len()).map(cursor).collect(),
            tables,
            theirs: BTreeMap::new(),
            current: None,
            defined: None,
            sent: Dictionary::default(),
            known: Dictionary::default(),
            timed: minor > 0,
            complete: false,
            learning: None,
            lesson: None,
            inbox: Vec::new(),
            control: Vec::new(),
            outputs: VecDeque::new(),
            ended: false,
            heartbeat_ms: now_ms + HEARTBEAT_MS,
            silence_ms: now_ms + SILENCE_MS,
            gather_ms: now_ms,
            gathers: false,
            heard: true,
            now_ms,
        }
    }

    /// Per table, the last update the peer has acknowledged: for the next session with it.
    #[must_use]
    pub fn acked(&self) -> Vec<u64> {
        self.cursors.iter().map(|c| c.acked).collect()
    }

    /// Updates the peer has not acknowledged yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let behind =
            |(table, cursor): (&Arc<Table>, &Cursor)| table.last_update().saturating_sub(cursor.acked);
        self.tables.iter().zip(&self.cursors).map(behind).sum()
    }

    /// When to call [`Session::handle_timeout`], and for which timer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(u64, Timer)> {
        let timers = [
            Some((self.heartbeat_ms, Timer::Heartbeat)),
            Some((self.silence_ms, Timer::Silence)),
            self.gathers.then_some((self.gather_ms, Timer::Gather)),
        ];
        timers.into_iter().flatten().min_by_key(|(deadline, _)| *deadline).filter(|_| !self.ended)
    }

    /// A deadline has passed; waking early is harmless.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if now_ms >= self.silence_ms {
            if !self.heard {
                self.end(End::Silent);
            }
            self.heard = false;
            self.silence_ms = now_ms + SILENCE_MS;
        }
        if now_ms >= self.heartbeat_ms {
            write_message(&Message::Heartbeat, &mut self.control);
            self.heartbeat_ms = now_ms + HEARTBEAT_MS;
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now_ms: u64, input: Input<'_>) {
        self.now_ms = now_ms;
        if self.ended {
            return;
        }
        match input {
            Input::Ask => {
                self.learning = Some(self.acked());
                write_message(&Message::ResyncRequest, &mut self.control);
            }
            Input::Complete(complete) => self.complete = complete,
            Input::Bytes(bytes) => {
                self.heard = true;
                self.inbox.extend_from_slice(bytes);
                if let Err(end) = self.read() {
                    self.end(end);
                }
                self.acknowledge();
            }
        }
    }

    /// What happened; call until `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What to send next; call when the last bytes are on their way, until `None`, and again after every
    /// input, timeout or change of a table.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.control);
        if bytes.is_empty() {
            if self.lesson.is_some() {
                self.teach(&mut bytes);
            } else {
                self.push(&mut bytes);
            }
        }
        if bytes.is_empty() {
            return None;
        }
        self.heartbeat_ms = self.now_ms + HEARTBEAT_MS;
        Some(bytes)
    }

    fn end(&mut self, end: End) {
        self.ended = true;
        self.outputs.push_back(Output::End(end));
    }

    fn read(&mut self) -> Result<(), End> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        while let Some((message, used)) = read_message(rest).map_err(End::Nonsense)? {
            self.hear(&message)?;
            rest = &rest[used..];
        }
        if rest.len() > MAX_FRAMED {
            return Err(End::Nonsense(Nonsense::TooLong));
        }
        self.inbox = rest.to_vec();
        Ok(())
    }

    fn hear(&mut self, message: &Message<'_>) -> Result<(), End> {
        match *message {
            Message::ResyncRequest => {
                self.lesson = Some(Lesson::new(&self.tables));
                self.outputs.push_back(Output::Asked);
            }
            Message::ResyncFinished => self.taught(true),
            Message::ResyncPartial => self.taught(false),
            Message::ResyncConfirm => {
                if let Some(lesson) = self.lesson.take_if(|lesson| lesson.is_over()) {
                    // What changed while we taught is pushed from where the lesson began.
                    self.cursors = lesson.origins().iter().map(|origin| Cursor::at(*origin)).collect();
                }
            }
            Message::Heartbeat | Message::Unknown => {}
            Message::Error => return Err(End::Refused),
            Message::Define(body) => self.define(body),
            Message::Switch(id) => self.current = Some(id).filter(|id| self.theirs.contains_key(id)),
            Message::Update(kind, body) => {
                self.update(kind, body).ok_or(End::Nonsense(Nonsense::Content))?;
            }
            Message::Acknowledge(table, id) => self.acknowledged(table, id),
        }
        Ok(())
    }

    fn taught(&mut self, complete: bool) {
        self.learning = None;
        write_message(&Message::ResyncConfirm, &mut self.control);
        self.outputs.push_back(Output::Taught(complete));
    }

    fn define(&mut self, body: &[u8]) {
        self.current = None;
        let Some(definition) = Definition::read(body) else { return };
        let Some(key) = definition.key() else { return };
        if self.theirs.len() >= MAX_TABLES && !self.theirs.contains_key(&definition.id) {
            return;
        }
        let ours = self.tables.iter().position(|table| definition.fits(table.schema()));
        let columns = definition.columns;
        self.current = Some(definition.id);
        let known = self.theirs.get(&definition.id).filter(|t| t.ours == ours);
        let (last, acknowledged) = known.map_or((0, 0), |t| (t.last, t.acknowledged));
        self.theirs.insert(definition.id, Theirs { ours, key, columns, last, acknowledged });
    }

    /// `None`: the bytes make no sense.
    fn update(&mut self, kind: UpdateKind, mut body: &[u8]) -> Option<()> {
        let Some(theirs) = self.current.and_then(|id| self.theirs.get_mut(&id)) else { return Some(()) };
        let mut number = || -> Option<u32> {
            let (four, rest) = body.split_first_chunk::<4>()?;
            body = rest;
            Some(u32::from_be_bytes(*four))
        };
        let id = match kind {
            UpdateKind::Numbered | UpdateKind::NumberedTimed => number()?,
            UpdateKind::Next | UpdateKind::NextTimed => theirs.last.wrapping_add(1),
        };
        let remaining_ms = match kind {
            UpdateKind::NumberedTimed | UpdateKind::NextTimed => Some(u64::from(number()?)),
            UpdateKind::Numbered | UpdateKind::Next => None,
        };
        theirs.last = id;
        // Of a table that is not ours too: the dictionary is one for the whole session.
        let codec = EntryCodec { key: theirs.key, columns: &theirs.columns };
        let (key, values) = codec.read(body, self.now_ms, &mut self.known)?;
        if let Some(table) = theirs.ours {
            let lesson = self.learning.as_ref().map(|known| known[table]);
            self.outputs.push_back(Output::Learned(Learned { table, key, values, remaining_ms, lesson }));
        }
        Some(())
    }

    /// A hint only: recent HAProxy swaps the bytes of some. It counts where it can be true.
    fn acknowledged(&mut self, table: u64, id: u32) {
        let place = usize::try_from(table).ok().and_then(|t| t.checked_sub(1));
        let Some(cursor) = place.and_then(|p| self.cursors.get_mut(p)) else { return };
        let ahead = u64::from(id.wrapping_sub(cursor.acked as u32));
        if self.lesson.is_none() && ahead > 0 && ahead <= cursor.pushed - cursor.acked {
            cursor.acked += ahead;
            cursor.settle();
        }
    }

    /// One acknowledgement per table for all that came in one go; none while the peer teaches.
    fn acknowledge(&mut self) {
        if self.learning.is_some() {
            return;
        }
        for (id, theirs) in &mut self.theirs {
            if theirs.ours.is_some() && theirs.last != theirs.acknowledged {
                theirs.acknowledged = theirs.last;
                write_message(&Message::Acknowledge(*id, theirs.last), &mut self.control);
            }
        }
    }

    fn push(&mut self, out: &mut Vec<u8>) {
        self.gathers = false;
        if self.now_ms < self.gather_ms {
            let mut pairs = self.tables.iter().zip(&self.cursors);
            self.gathers = pairs.any(|(table, cursor)| table.last_update() > cursor.pushed);
            return;
        }
        for place in 0..self.tables.len() {
            let table = Arc::clone(&self.tables[place]);
            let last = table.last_update();
            // Asked even when nothing seems new: asking is what arms the table's wake-up.
            let updates = table.updates_since(self.cursors[place].pushed, UPDATE_BATCH, self.now_ms);
            let more = updates.len() == UPDATE_BATCH;
            for update in &updates {
                let entry = (&update.key, update.values.as_slice());
                self.write_entry(place, update.id as u32, entry, None, out);
            }
            let reached = updates.last().map_or(0, |u| u.id);
            let cursor = &mut self.cursors[place];
            cursor.sent = cursor.sent.max(reached);
            cursor.pushed = cursor.pushed.max(reached).max(if more { 0 } else { last });
            cursor.settle();
            if more {
                return;
            }
        }
        if !out.is_empty() {
            self.gather_ms = self.now_ms + GATHER_MS;
        }
    }

    fn teach(&mut self, out: &mut Vec<u8>) {
        let Some(mut lesson) = self.lesson.take() else { return };
        if !lesson.is_over() {
            match lesson.next(&self.tables, UPDATE_BATCH, self.now_ms) {
                Some((place, entries)) => {
                    let id = lesson.origins()[place] as u32;
                    for entry in &entries {
                        let expires = self.tables[place].schema().expire_ms.is_some();
                        let remaining = if expires { entry.expires_in_ms } else { 0 };
                        let timed = Some(u32::try_from(remaining).unwrap_or(u32::MAX));
                        self.write_entry(place, id, (&entry.key, &entry.values), timed, out);
                    }
                }
                None if self.complete => {
                    write_message(&Message::ResyncFinished, out);
                }
                None => {
                    write_message(&Message::ResyncPartial, out);
                }
            }
        }
        self.lesson = Some(lesson);
    }

    fn write_entry(
        &mut self,
        place: usize,
        id: u32,
        (key, values): (&Key, &[Value]),
        remaining_ms: Option<u32>,
        out: &mut Vec<u8>,
    ) {
        let table = Arc::clone(&self.tables[place]);
        if self.defined != Some(place) {
            self.defined = Some(place);
            write_message(&Message::Define(&Definition::of(place as u64 + 1, table.schema()).write()), out);
        }
        // Always with its number: recent HAProxy acknowledges the shorter form wrongly.
        let mut body = id.to_be_bytes().to_vec();
        let kind = match remaining_ms.filter(|_| self.timed) {
            Some(remaining) => {
                body.extend(remaining.to_be_bytes());
                UpdateKind::NumberedTimed
            }
            None => UpdateKind::Numbered,
        };
        let schema = table.schema();
        let codec = EntryCodec { key: schema.key, columns: &schema.columns };
        codec.write(key, values, self.now_ms, &mut self.sent, &mut body);
        // An entry longer than a message cannot be told to anybody.
        write_message(&Message::Update(kind, &body), out);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("cursors", &self.cursors).field("lesson", &self.lesson).finish()
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
