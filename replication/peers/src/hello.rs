//! The first lines of a connection: who calls whom, in which version; and the answer.

/// Longest hello, all three lines.
const MAX_HELLO: usize = 1_024;

/// What the dialling side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Minor version: 0 (no timed updates) or 1.
    pub minor: u8,
    /// The peer that is called.
    pub called: String,
    /// The peer that calls.
    pub caller: String,
    /// The caller's process.
    pub pid: u32,
}

/// The accepting side's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Go on.
    Ok,
    /// Try again later.
    Again,
    /// The lines are not the protocol's.
    Protocol,
    /// A version that is not spoken.
    Version,
    /// The name called is not ours.
    NotMe,
    /// The caller's name is not known.
    Unknown,
}

/// Why a hello is refused, and with which answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub Status);

impl Status {
    const CODES: [(Self, u16); 6] = [
        (Self::Ok, 200),
        (Self::Again, 300),
        (Self::Protocol, 501),
        (Self::Version, 502),
        (Self::NotMe, 503),
        (Self::Unknown, 504),
    ];

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        Self::CODES.iter().find(|(status, _)| *status == self).map_or(501, |(_, code)| *code)
    }

    /// Reads an answer's line; `None` while it is not complete.
    ///
    /// # Errors
    /// The line is no answer.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Refused> {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            return if bytes.len() > 5 { Err(Refused(Self::Protocol)) } else { Ok(None) };
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Refused(Self::Protocol))?;
        let code = text.trim_end_matches('\r').parse::<u16>().map_err(|_| Refused(Self::Protocol))?;
        let known = Self::CODES.iter().find(|(_, known)| *known == code).map(|(status, _)| *status);
        known.map(|status| Some((status, end + 1))).ok_or(Refused(Self::Protocol))
    }
}

impl Hello {
    /// The three lines.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        format!("HAProxyS 2.{}\n{}\n{} {} 1\n", self.minor, self.called, self.caller, self.pid).into_bytes()
    }

    /// Reads the three lines and how many bytes they took; `None` while they are not complete.
    ///
    /// # Errors
    /// The answer to give before closing.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Refused> {
        let wrong = Refused(Status::Protocol);
        let ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).take(3).collect();
        let [first, second, third] = ends.as_slice() else {
            return if bytes.len() > MAX_HELLO { Err(wrong) } else { Ok(None) };
        };
        let line =
            |bytes| std::str::from_utf8(bytes).map(|l: &str| l.trim_end_matches('\r')).map_err(|_| wrong);
        let version = line(&bytes[..*first])?.strip_prefix("HAProxyS ").ok_or(wrong)?;
        let minor = match version {
            "2.0" => 0,
            "2.1" => 1,
            _ => return Err(Refused(Status::Version)),
        };
        let mut caller = line(&bytes[second + 1..*third])?.split(' ');
        let name = caller.next().filter(|n| !n.is_empty()).ok_or(wrong)?.to_owned();
        let pid = caller.next().and_then(|p| p.parse().ok()).ok_or(wrong)?;
        let called = line(&bytes[first + 1..*second])?.to_owned();
        Ok(Some((Self { minor, called, caller: name, pid }, third + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_complete_with_its_third_line() {
        let hello = Hello { minor: 1, called: "lb2".into(), caller: "lb1".into(), pid: 42 };
        let bytes = hello.write();
        assert_eq!(bytes, b"HAProxyS 2.1\nlb2\nlb1 42 1\n");
        for cut in 0..bytes.len() {
            assert_eq!(Hello::read(&bytes[..cut]), Ok(None));
        }
        assert_eq!(Hello::read(&bytes), Ok(Some((hello, bytes.len()))));
    }

    #[test]
    fn strangers_get_the_answer_haproxy_gives() {
        for (bytes, status) in [
            (&b"GET / HTTP/1.1\n\n\n"[..], Status::Protocol),
            (b"HAProxyS 2.2\na\nb 1 1\n", Status::Version),
            (b"HAProxyS 2.1\na\nb\n", Status::Protocol),
        ] {
            assert_eq!(Hello::read(bytes), Err(Refused(status)));
        }
        assert_eq!(Hello::read(&[b'x'; MAX_HELLO + 1]), Err(Refused(Status::Protocol)));
        assert_eq!(Status::read(b"200\n"), Ok(Some((Status::Ok, 4))));
        assert_eq!(Status::read(b"20"), Ok(None));
        assert!(Status::read(b"abc\n").is_err() && Status::read(b"20000000").is_err());
    }
}
