//! A small client of nf_tables, by netlink: no program `nft` is needed. It makes tables that vanish with their
//! socket, so that a process that is killed leaves none behind.

mod attributes;
mod expression;

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NetlinkPayload};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

pub(crate) use attributes::Attributes;
pub(crate) use expression::{Base, Expression, Meta, REGISTER, Verdict};

use crate::netlink::messages;
use crate::raw::Raw;

const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const LIST_ELEMENT: u16 = 1;

/// The table belongs to the socket that made it: nobody else changes it, and it ends with the socket.
const OWNER: u32 = 2;
const SET_HAS_TIMEOUT: u32 = 0x10;
const SET_IS_FILLED_BY_RULES: u32 = 0x20;
/// A key's types stand in one number, so many bits each (of the program `nft`; the kernel stores it only).
const BITS_OF_TYPE: u32 = 6;
/// Elements of one message: an attribute holds 64 KiB, and an element takes at most 52 bytes.
const ELEMENTS: usize = 1000;
/// A device's name, and ours, fit (linux/netfilter/nf_tables.h: 256).
const LONGEST_NAME: usize = 128;

/// What a table looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Arp = 3,
    Netdev = 5,
}

/// Where a chain is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook<'a> {
    /// Packets as they come by an interface, before everything else.
    Ingress(&'a str),
    ArpInput,
    ArpOutput,
}

/// A part of a set's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Ipv4,
    Ipv6,
    Port,
}

impl Field {
    fn kind(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Port => 13,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Port => 4,
            Self::Ipv6 => 16,
        }
    }
}

/// A set to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'a> {
    pub(crate) name: &'a str,
    /// Its number among the table's sets.
    pub(crate) id: u32,
    pub(crate) key: &'a [Field],
    pub(crate) size: u32,
    /// How long an element lives after a rule has seen it; without, rules change nothing here.
    pub(crate) timeout: Option<Duration>,
}

/// A table of the kernel; dropping it removes it.
pub(crate) struct Table {
    /// There until it is dropped.
    socket: Option<Socket>,
    sequence: u32,
    family: Family,
    name: String,
    there: bool,
}

impl Table {
    /// Makes an empty table in the thread's network namespace, whose name begins like this and ends with the number of
    /// its socket. A kernel that knows no owners is asked for none: of a process that is killed the table would stay for
    /// ever, and go on silencing or sending on.
    pub(crate) fn new(family: Family, name: &str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers while it is being asked: what is not there then does not come.
        socket.set_non_blocking(true)?;
        let name = format!("{name}-{port}");
        let mut table = Self { socket: Some(socket), sequence: 0, family, name, there: false };
        let mut batch = Batch::default();
        let attributes = Attributes::new().text(1, &table.name).number(2, OWNER);
        batch.add(NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, attributes);
        table.commit(batch).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL | libc::EOPNOTSUPP) => io::Error::new(
                io::ErrorKind::Unsupported,
                format!("nf_tables knows no owners of tables, as before Linux 5.12: {error}"),
            ),
            _ => error,
        })?;
        table.there = true;
        Ok(table)
    }

    /// Has the kernel do all of this, or nothing.
    pub(crate) fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = self.message(BATCH_BEGIN, 0, 0, NFTABLES, &[]);
        let last = batch.0.len();
        for (place, (kind, flags, attributes)) in batch.0.into_iter().enumerate() {
            // An error is told in any case, and one word that all is well is enough.
            let flags = if place + 1 == last { flags | NLM_F_ACK } else { flags };
            let kind = NFTABLES << 8 | kind;
            bytes.extend(self.message(kind, flags, self.family as u8, 0, attributes.finish()?));
        }
        let acknowledged = self.sequence;
        bytes.extend(self.message(BATCH_END, 0, 0, NFTABLES, &[]));
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        socket.send(&bytes, 0)?;
        self.answer(socket, first, acknowledged)
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut body = vec![family, 0];
        body.extend(resource.to_be_bytes());
        body.extend(attributes);
        Raw { kind, body }.request(flags, self.sequence)
    }

    /// Everything the kernel says of the messages since `first`.
    fn answer(&self, socket: &Socket, first: u32, acknowledged: u32) -> io::Result<()> {
        let mut refused = None;
        let mut done = false;
        loop {
            let bytes = match socket.recv_from_full() {
                Ok((bytes, _)) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for answer in messages::<Raw>(&bytes) {
                let number = answer.header.sequence_number;
                let NetlinkPayload::Error(error) = answer.payload else { continue };
                if number.wrapping_sub(first) > self.sequence.wrapping_sub(first) {
                    continue;
                }
                match error.code {
                    Some(_) => drop(refused.get_or_insert_with(|| error.to_io())),
                    None => done |= number == acknowledged,
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None if done => Ok(()),
            None => Err(io::Error::other("nf_tables gave no answer")),
        }
    }

    /// Makes a set.
    pub(crate) fn set(&self, batch: &mut Batch, set: &Set<'_>) {
        let kind = set.key.iter().fold(0, |kind, field| kind << BITS_OF_TYPE | field.kind());
        let length = set.key.iter().map(|field| field.length()).sum();
        let flags = if set.timeout.is_some() { SET_HAS_TIMEOUT | SET_IS_FILLED_BY_RULES } else { 0 };
        let mut attributes = Attributes::new()
            .text(1, &self.name)
            .text(2, set.name)
            .number(3, flags)
            .number(4, kind)
            .number(5, length)
            .nested(9, Attributes::new().number(1, set.size))
            .number(10, set.id);
        if let Some(timeout) = set.timeout {
            attributes = attributes.long(11, u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        batch.add(NEW_SET, NLM_F_CREATE | NLM_F_EXCL, attributes);
    }

    /// Fills a set, in as many batches as that takes.
    pub(crate) fn fill(&mut self, set: &str, keys: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let mut list = Attributes::new();
            for key in keys.by_ref().take(ELEMENTS) {
                let data = Attributes::new().bytes(1, &key);
                list = list.nested(LIST_ELEMENT, Attributes::new().nested(1, data));
            }
            let attributes = Attributes::new().text(1, &self.name).text(2, set).nested(3, list);
            let mut batch = Batch::default();
            batch.add(NEW_ELEMENT, NLM_F_CREATE, attributes);
            self.commit(batch)?;
        }
        Ok(())
    }

    /// Makes a chain that rules go to, or one that packets come to by themselves.
    pub(crate) fn chain(&self, batch: &mut Batch, name: &str, hook: Option<Hook<'_>>) -> io::Result<()> {
        let mut attributes = Attributes::new().text(1, &self.name).text(3, name);
        if let Some(hook) = hook {
            let (number, device) = match hook {
                Hook::Ingress(device) => (0, Some(device)),
                Hook::ArpInput => (0, None),
                Hook::ArpOutput => (1, None),
            };
            let mut place = Attributes::new().number(1, number).number(2, 0);
            if let Some(device) = device {
                if device.len() > LONGEST_NAME {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                place = place.text(3, device);
            }
            attributes = attributes.nested(4, place).text(7, "filter");
        }
        batch.add(NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL, attributes);
        Ok(())
    }

    /// Puts a rule at the end of a chain.
    pub(crate) fn rule(&self, batch: &mut Batch, chain: &str, steps: &[Expression<'_>]) {
        let list =
            steps.iter().fold(Attributes::new(), |list, step| list.nested(LIST_ELEMENT, step.encode()));
        let attributes = Attributes::new().text(1, &self.name).text(2, chain).nested(4, list);
        batch.add(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, attributes);
    }

    /// Removes the table.
    fn remove(&mut self) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.add(DELETE_TABLE, 0, Attributes::new().text(1, &self.name));
        self.commit(batch)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if !self.there {
            return;
        }
        // An interface that is gone has taken nothing but its chain along.
        if let Err(error) = self.remove() {
            tracing::warn!(table = self.name, %error, "a table of nf_tables cannot be removed");
        }
        // Closing waits until the kernel has freed what was removed, up to 23 ms: nobody here has that long. Where no
        // thread is to be had, this one waits.
        let socket = self.socket.take();
        let _ = std::thread::Builder::new().name("nft".to_owned()).spawn(move || drop(socket));
    }
}

/// Changes that are made together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch(Vec<(u16, u16, Attributes)>);

impl Batch {
    fn add(&mut self, kind: u16, flags: u16, attributes: Attributes) {
        self.0.push((kind, flags, attributes));
    }
}
