//! Messages: class, type, and from type 128 on a length. What is not known is passed over, so that the
//! protocol can grow.

use crate::{read_integer, write_integer};

/// Longest message body that is read or written: HAProxy's buffer.
pub const MAX_MESSAGE: usize = 16_384;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// Teach me everything.
    ResyncRequest,
    /// I have taught everything.
    ResyncFinished,
    /// I have taught what I know, which is not everything.
    ResyncPartial,
    /// I have learnt what you taught.
    ResyncConfirm,
    /// I am alive.
    Heartbeat,
    /// The other side says that we broke the protocol; it closes.
    Error,
    /// What follows is about this table.
    Define(&'m [u8]),
    /// What follows is about the table defined with this number.
    Switch(u64),
    /// An entry.
    Update(UpdateKind, &'m [u8]),
    /// Updates of a table (by the number its sender gave it) have arrived up to this one.
    Acknowledge(u64, u32),
    /// Something newer than this program.
    Unknown,
}

/// The forms of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateKind {
    /// With its number.
    Numbered,
    /// The number after the last one.
    Next,
    /// With its number and the time it has left.
    NumberedTimed,
    /// The number after the last one, with the time it has left.
    NextTimed,
}

/// The bytes of a message that has some.
pub type Body<'m> = &'m [u8];

/// A message and how many bytes it took.
pub type Framed<'m> = (Message<'m>, usize);

/// The bytes are not the protocol's: close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// A message is longer than the limit.
    TooLong,
    /// A message's content does not fit its type.
    Content,
    /// Class 255 ends a session.
    Class,
}

const CONTROL: u8 = 0;
const ERROR: u8 = 1;
const STICK_TABLE: u8 = 10;

/// Reads one message; `None` while it is not complete.
///
/// # Errors
/// The session must end.
pub fn read_message(bytes: &[u8]) -> Result<Option<Framed<'_>>, Nonsense> {
    let [class, kind, rest @ ..] = bytes else { return Ok(None) };
    if *class == 255 {
        return Err(Nonsense::Class);
    }
    if *kind < 0x80 {
        let message = match (*class, *kind) {
            (CONTROL, 0) => Message::ResyncRequest,
            (CONTROL, 1) => Message::ResyncFinished,
            (CONTROL, 2) => Message::ResyncPartial,
            (CONTROL, 3) => Message::ResyncConfirm,
            (CONTROL, 4) => Message::Heartbeat,
            (ERROR, _) => Message::Error,
            _ => Message::Unknown,
        };
        return Ok(Some((message, 2)));
    }
    let mut body = rest;
    let Some(length) = read_integer(&mut body) else {
        // Five bytes hold every length that is allowed.
        return if rest.len() > 5 { Err(Nonsense::TooLong) } else { Ok(None) };
    };
    let length = usize::try_from(length).ok().filter(|l| *l <= MAX_MESSAGE).ok_or(Nonsense::TooLong)?;
    let Some(mut body) = body.get(..length).map(|content| (content, body)) else { return Ok(None) };
    let used = bytes.len() - body.1.len() + length;
    let message = match (*class, *kind) {
        (STICK_TABLE, 0x80) => Message::Update(UpdateKind::Numbered, body.0),
        (STICK_TABLE, 0x81) => Message::Update(UpdateKind::Next, body.0),
        (STICK_TABLE, 0x82) => Message::Define(body.0),
        (STICK_TABLE, 0x83) => Message::Switch(read_integer(&mut body.0).ok_or(Nonsense::Content)?),
        (STICK_TABLE, 0x84) => {
            let table = read_integer(&mut body.0).ok_or(Nonsense::Content)?;
            let id = body.0.first_chunk::<4>().ok_or(Nonsense::Content)?;
            Message::Acknowledge(table, u32::from_be_bytes(*id))
        }
        (STICK_TABLE, 0x85) => Message::Update(UpdateKind::NumberedTimed, body.0),
        (STICK_TABLE, 0x86) => Message::Update(UpdateKind::NextTimed, body.0),
        _ => Message::Unknown,
    };
    Ok(Some((message, used)))
}

/// Appends a message. One whose body exceeds [`MAX_MESSAGE`] is not written: `false`.
pub fn write_message(message: &Message<'_>, out: &mut Vec<u8>) -> bool {
    let mut small = Vec::new();
    let (kind, body): (u8, &[u8]) = match message {
        Message::ResyncRequest => return control(0, out),
        Message::ResyncFinished => return control(1, out),
        Message::ResyncPartial => return control(2, out),
        Message::ResyncConfirm => return control(3, out),
        Message::Heartbeat => return control(4, out),
        Message::Error => {
            out.extend([ERROR, 0]);
            return true;
        }
        Message::Unknown => return false,
        Message::Define(body) => (0x82, body),
        Message::Switch(table) => {
            write_integer(*table, &mut small);
            (0x83, &small)
        }
        Message::Acknowledge(table, id) => {
            write_integer(*table, &mut small);
            small.extend(id.to_be_bytes());
            (0x84, &small)
        }
        Message::Update(form, body) => match form {
            UpdateKind::Numbered => (0x80, body),
            UpdateKind::Next => (0x81, body),
            UpdateKind::NumberedTimed => (0x85, body),
            UpdateKind::NextTimed => (0x86, body),
        },
    };
    if body.len() > MAX_MESSAGE {
        return false;
    }
    out.extend([STICK_TABLE, kind]);
    write_integer(body.len() as u64, out);
    out.extend_from_slice(body);
    true
}

fn control(kind: u8, out: &mut Vec<u8>) -> bool {
    out.extend([CONTROL, kind]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_and_are_complete_with_their_last_byte() {
        let long = [7; 300];
        for message in [
            Message::ResyncRequest,
            Message::ResyncFinished,
            Message::ResyncPartial,
            Message::ResyncConfirm,
            Message::Heartbeat,
            Message::Error,
            Message::Switch(3),
            Message::Define(&long),
            Message::Acknowledge(300, 0xdead_beef),
            Message::Update(UpdateKind::Numbered, b"abc"),
            Message::Update(UpdateKind::Next, b""),
            Message::Update(UpdateKind::NumberedTimed, &long),
            Message::Update(UpdateKind::NextTimed, b"x"),
        ] {
            let mut bytes = Vec::new();
            assert!(write_message(&message, &mut bytes));
            for cut in 0..bytes.len() {
                assert_eq!(read_message(&bytes[..cut]), Ok(None), "{message:?}");
            }
            assert_eq!(read_message(&bytes), Ok(Some((message, bytes.len()))));
        }
    }

    #[test]
    fn what_is_newer_is_passed_over_and_what_is_broken_ends_the_session() {
        assert_eq!(read_message(&[0, 9]), Ok(Some((Message::Unknown, 2))));
        assert_eq!(read_message(&[77, 0x90, 1, 5]), Ok(Some((Message::Unknown, 4))));
        assert_eq!(read_message(&[255, 0]), Err(Nonsense::Class));
        assert_eq!(read_message(&[10, 0x84, 1, 5]), Err(Nonsense::Content));
        assert_eq!(read_message(&[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(Nonsense::TooLong));
        assert_eq!(read_message(&[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(Nonsense::TooLong));
        assert!(!write_message(&Message::Define(&[0; MAX_MESSAGE + 1]), &mut Vec::new()));
    }
}
