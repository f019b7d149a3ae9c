//! The public list: the requests of the crate `http_desync_guardian`, with the class that its authors give them.

/// How dangerous a request is, by its authors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Compliant,
    Acceptable,
    Ambiguous,
    Severe,
}

impl Class {
    pub(super) const EVERY: [Self; 4] = [Self::Compliant, Self::Acceptable, Self::Ambiguous, Self::Severe];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Compliant => "compliant",
            Self::Acceptable => "acceptable",
            Self::Ambiguous => "ambiguous",
            Self::Severe => "severe",
        }
    }
}

/// A request of the list.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) class: Class,
    /// Its file and its name there.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

const LIST: &str = include_str!("../../../files/desync/http_desync_guardian.tsv");

/// Every case, in the list's order.
pub(super) fn cases() -> Result<Vec<Case>, String> {
    LIST.lines().filter(|line| !line.starts_with('#')).map(case).collect()
}

fn case(line: &str) -> Result<Case, String> {
    let say = || format!("no line of the list: {line}");
    let columns: Vec<&str> = line.split('\t').collect();
    let [class, _, file, name, bytes] = columns.as_slice() else { return Err(say()) };
    let class = Class::EVERY.into_iter().find(|known| known.word() == *class).ok_or_else(say)?;
    let bytes = unescape(bytes).ok_or_else(say)?;
    Ok(Case { class, name: format!("{file}: {name}"), bytes })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                b'x' => {
                    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                    u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_list_has_its_159_cases() {
        let cases = cases().unwrap();
        let count = |class| cases.iter().filter(|case| case.class == class).count();
        assert_eq!(Class::EVERY.map(count), [28, 15, 58, 58]);
        assert!(cases.iter().all(|case| case.bytes.ends_with(b"\r\n\r\n")));
        assert_eq!(unescape(r"a\x0b\\\r"), Some(b"a\x0b\\\r".to_vec()));
    }
}
