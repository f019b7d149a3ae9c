//! The protocol's integers: one byte below 240, then four and seven bits at a time.

/// Longest encoding of 64 bits.
const MAX_BYTES: usize = 10;
const ONE_BYTE: u64 = 0xf0;

/// Appends a number.
pub fn write_integer(mut number: u64, out: &mut Vec<u8>) {
    let low = |n: u64| u8::try_from(n & 0xff).unwrap_or(0);
    if number < ONE_BYTE {
        out.push(low(number));
        return;
    }
    out.push(low(number) | 0xf0);
    number = (number - ONE_BYTE) >> 4;
    while number >= 0x80 {
        out.push(low(number) | 0x80);
        number = (number - 0x80) >> 7;
    }
    out.push(low(number));
}

/// Takes a number from the front; `None` if it is not complete or longer than 64 bits can be.
pub fn read_integer(bytes: &mut &[u8]) -> Option<u64> {
    let (first, mut rest) = bytes.split_first()?;
    let mut number = u64::from(*first);
    if number >= ONE_BYTE {
        let mut shift = 4;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            number = number.wrapping_add(u64::from(*byte).wrapping_shl(shift));
            shift += 7;
            if *byte < 0x80 {
                break;
            }
            if bytes.len() - rest.len() >= MAX_BYTES {
                return None;
            }
        }
    }
    *bytes = rest;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coded_as_haproxy_codes_them() {
        for (number, expected) in [
            (0, &[0][..]),
            (239, &[239]),
            (0x1234, &[0xf4, 0x94, 0x01]),
            (10_000, &[0xf0, 0xe2, 0x03]),
            (60_000, &[0xf0, 0x97, 0x1c]),
            (600_000, &[0xf0, 0xed, 0xa3, 0x01]),
        ] {
            let mut out = Vec::new();
            write_integer(number, &mut out);
            assert_eq!(out, expected, "{number}");
        }
    }

    #[test]
    fn every_number_survives_and_no_part_of_it_is_taken_for_it() {
        for number in
            (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 239]).chain([u64::MAX])
        {
            let mut out = Vec::new();
            write_integer(number, &mut out);
            assert!(out.len() <= MAX_BYTES, "{number}");
            for cut in 0..out.len() {
                assert_eq!(read_integer(&mut &out[..cut]), None, "{number} cut at {cut}");
            }
            out.push(7);
            let mut rest = out.as_slice();
            assert_eq!((read_integer(&mut rest), rest), (Some(number), &[7][..]));
        }
        assert_eq!(read_integer(&mut &[0xff; 20][..]), None);
    }
}
