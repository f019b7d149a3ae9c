//! Addresses as text without the formatting machinery: this is done for every request.

use std::io::Write;
use std::net::IpAddr;

/// Longest text of an address.
const LONGEST: usize = 45;

/// Room for the text of an address.
pub(crate) struct AddressText([u8; LONGEST]);

impl Default for AddressText {
    fn default() -> Self {
        Self([0; LONGEST])
    }
}

impl AddressText {
    pub(crate) fn of(&mut self, address: IpAddr) -> &[u8] {
        let mut length = 0;
        let mut push = |byte: u8| {
            self.0[length] = byte;
            length += 1;
        };
        match address {
            IpAddr::V4(four) => {
                for (place, octet) in four.octets().into_iter().enumerate() {
                    if place > 0 {
                        push(b'.');
                    }
                    if octet >= 100 {
                        push(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        push(b'0' + octet / 10 % 10);
                    }
                    push(b'0' + octet % 10);
                }
            }
            IpAddr::V6(six) => {
                let mut cursor = std::io::Cursor::new(&mut self.0[..]);
                // The room is that of the longest text.
                let _ = write!(cursor, "{six}");
                length = usize::try_from(cursor.position()).unwrap_or(0);
            }
        }
        &self.0[..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_usual_one() {
        for text in
            ["0.0.0.0", "9.10.99.100", "255.255.255.255", "::1", "2001:db8:1111:2222:3333:4444:5555:6666"]
        {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressText::default().of(address), text.as_bytes());
        }
    }
}
