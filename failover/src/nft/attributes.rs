//! Netlink attributes: length, type, bytes, and room up to the next four.

use std::io;

/// This attribute holds attributes (linux/netlink.h).
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

/// Attributes one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
    overlong: bool,
}

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        match u16::try_from(HEADER + value.len()) {
            Ok(length) => {
                self.bytes.extend(length.to_ne_bytes());
                self.bytes.extend(kind.to_ne_bytes());
                self.bytes.extend(value);
                self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
            }
            Err(_) => self.overlong = true,
        }
        self
    }

    /// A text with the zero at its end.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        let bytes: Vec<u8> = text.bytes().chain([0]).collect();
        self.bytes(kind, &bytes)
    }

    pub(crate) fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    pub(crate) fn long(self, kind: u16, number: u64) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    pub(crate) fn nested(mut self, kind: u16, inner: Self) -> Self {
        self.overlong |= inner.overlong;
        self.bytes(kind | NESTED, &inner.bytes)
    }

    /// The bytes of all; refused where one of them did not fit.
    pub(crate) fn finish(&self) -> io::Result<&[u8]> {
        if self.overlong { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(&self.bytes) }
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_ends_at_a_multiple_of_four() {
        let attributes = Attributes::new().text(1, "ab").number(2, 3);
        assert_eq!(attributes.finish().unwrap(), [7, 0, 1, 0, b'a', b'b', 0, 0, 8, 0, 2, 0, 0, 0, 0, 3]);
        let nested = Attributes::new().nested(4, Attributes::new().bytes(1, &[9]));
        assert_eq!(nested.finish().unwrap(), [12, 0, 4, 0x80, 5, 0, 1, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = Attributes::new().bytes(1, &[0; 0xffff]);
        assert!(Attributes::new().nested(1, long).finish().is_err());
    }
}
