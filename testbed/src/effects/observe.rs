//! Makes observations comparable: what must differ from run to run is masked, times are compared with room.

use regex::Regex;

/// What differs in every run, and what stands for it.
const MASKS: &[(&str, &str)] = &[
    // The header of a log line: date, program, process.
    (r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [a-zA-Z]+\[\d+\]: ", "<$1>DATE PROGRAM[PID]: "),
    (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (\S+) ([a-z]+)\[\d+\]", "DATE $1 $2[PID]"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", "DATE"),
    (r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}", "TIME.MS"),
    (r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", "TIME ZONE"),
    (
        r"\b(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)[:](3[2-9]\d{3}|[45]\d{4}|6[0-5]\d{3})\b",
        "$1:PORT",
    ),
    (
        r"(?i)(date|last-modified|expires): [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
        "$1: DATE",
    ),
    (r"\b0x[0-9a-f]{5,}\b", "0xADDRESS"),
    (r"\bexp=(\d+)", "exp=~$1"),
    // Timers of the two usual formats: five before a status, three before a count of bytes.
    // The bytes after them are counted otherwise on purpose (docs/differences.md).
    (
        r"(\] \S+ \S+ )(-?\d+)/(-?\d+)/(-?\d+)/(-?\d+)/([+]?-?\d+) (-?\d+) [+]?\d+ ",
        "$1~$2/~$3/~$4/~$5/~$6 $7 BYTES ",
    ),
    (r"(\] \S+ \S+ )(-?\d+)/(-?\d+)/(-?\d+)/(-?\d+)/([+]?-?\d+) ", "$1~$2/~$3/~$4/~$5/~$6 "),
    (r"(\] \S+ \S+ )(-?\d+)/(-?\d+)/([+]?-?\d+) ", "$1~$2/~$3/~$4 "),
];

/// The share by which times may differ, and the milliseconds that are always allowed.
const SHARE: f64 = 0.2;
const LEAST_MS: f64 = 100.0;

/// Pages of the program's own: their wording is nobody's business, their status and what follows them is.
fn pages(text: &str) -> Result<String, String> {
    let page = Regex::new(concat!(
        r"(?m)^((?:c\d+ )?<) HTTP/1\.[01] (\d{3})[^\n]*\n((?:(?:c\d+ )?< [^\n]+\n)*)(?:c\d+ )?<\n",
        r"((?:(?:c\d+ )?< <html>.*<h1>\d{3}[^\n]*\n(?:(?:c\d+ )?< [^\n]*\n)*)?)",
    ))
    .map_err(|e| e.to_string())?;
    let replaced = page.replace_all(text, |found: &regex::Captures<'_>| {
        let mut fields: Vec<String> = found[3].lines().map(str::to_ascii_lowercase).collect();
        // In an answer to HEAD the page itself is not there.
        let is_page = ["content-type: text/html", "cache-control: no-cache"]
            .iter()
            .all(|usual| fields.iter().any(|field| field.ends_with(usual)));
        if found[4].is_empty() && !(is_page && &found[2] >= "400") {
            return found[0].to_owned();
        }
        fields.retain(|field| {
            !["content-length", "content-type: text/html", "cache-control: no-cache"]
                .iter()
                .any(|name| field.contains(name))
        });
        fields.sort();
        let fields: String = fields.iter().map(|field| format!("{field}\n")).collect();
        format!("{} its own page: {}\n{fields}", &found[1], &found[2])
    });
    Ok(replaced.into_owned())
}

/// An observation with what must differ masked; how often each mask of the case found something.
pub(super) fn mask(text: &str, own: &[(String, String)]) -> Result<(String, Vec<usize>), String> {
    let mut text = text.to_owned();
    let mut found = Vec::new();
    for (pattern, replacement) in own {
        let pattern = Regex::new(&format!("(?m){pattern}")).map_err(|e| format!("mask: {e}"))?;
        found.push(pattern.find_iter(&text).count());
        text = pattern.replace_all(&text, replacement.as_str()).into_owned();
    }
    text = pages(&text)?;
    for (pattern, replacement) in MASKS {
        let pattern = Regex::new(pattern).map_err(|e| e.to_string())?;
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    Ok((text, found))
}

/// The first lines in which two observations differ, and how many do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) lines: usize,
    pub(super) first: String,
}

/// What differs; `None`: nothing.
pub(super) fn compare(expected: &str, seen: &str) -> Option<Difference> {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), seen.lines().collect());
    let begin = a.iter().zip(&b).take_while(|(a, b)| same(a, b)).count();
    if begin == a.len() && begin == b.len() {
        return None;
    }
    let most = a.len().min(b.len()) - begin;
    let end = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(a, b)| same(a, b)).count();
    let (gone, new) = (&a[begin..a.len() - end], &b[begin..b.len() - end]);
    let mut first = String::new();
    for (sign, lines) in [('-', gone), ('+', new)] {
        for line in lines.iter().take(MOST_SHOWN) {
            first.push_str(&format!("{sign} {line}\n"));
        }
        if lines.len() > MOST_SHOWN {
            first.push_str(&format!("{sign} ... {} more\n", lines.len() - MOST_SHOWN));
        }
    }
    Some(Difference { lines: gone.len().max(new.len()), first })
}

/// Lines of each side that a report shows.
const MOST_SHOWN: usize = 12;

/// Whether two lines are the same, times (`~120`) with room.
fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (mut a, mut b) = (a.split('~'), b.split('~'));
    if a.next() != b.next() {
        return false;
    }
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) => {
                let ((x, rest_of_a), (y, rest_of_b)) = (number(a), number(b));
                if rest_of_a != rest_of_b || !near(x, y) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn number(text: &str) -> (Option<f64>, &str) {
    let sign = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = sign.find(|c: char| !c.is_ascii_digit()).unwrap_or(sign.len());
    let length = text.len() - sign.len() + digits;
    (text[..length].parse().ok(), &text[length..])
}

fn near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        // What did not happen is no time.
        (Some(a), Some(b)) => (a < 0.0) == (b < 0.0) && (a - b).abs() <= (a.abs() * SHARE).max(LEAST_MS),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_differ_is_masked() {
        let line = "<134>Dec  1 17:00:00 haproxy[12]: 127.0.0.1:41234 [01/Dec/2026:17:00:00.123] f b/s1 \
                    0/0/1/502/503 200 38 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
        let (masked, _) = mask(line, &[]).unwrap();
        let expected = "<134>DATE PROGRAM[PID]: 127.0.0.1:PORT [TIME.MS] f b/s1 \
                        ~0/~0/~1/~502/~503 200 BYTES - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
        assert_eq!(masked, expected);
    }

    #[test]
    fn pages_of_the_programs_are_told_by_their_status() {
        let one = "< HTTP/1.1 403 Forbidden\n< Content-length: 93\n< X: y\n<\n< <html><body><h1>403 No</h1>\\n\n\
                   < x\\n\n= kept\n";
        assert_eq!(mask(one, &[]).unwrap().0, "< its own page: 403\n< x: y\n= kept\n");
        let bare = "< HTTP/1.1 403 No\n< Content-length: 9\n< Cache-Control: no-cache\n< Content-Type: text/html\n<\n= kept\n";
        assert_eq!(mask(bare, &[]).unwrap().0, "< its own page: 403\n= kept\n");
        let servers = "< HTTP/1.1 404 No\n< content-length: 0\n<\n= kept\n";
        assert_eq!(mask(servers, &[]).unwrap().0, servers);
    }

    #[test]
    fn times_are_compared_with_room() {
        assert!(same("took ~1000 ms", "took ~1190 ms"));
        assert!(!same("took ~1000 ms", "took ~1210 ms"));
        assert!(same("~0/~10", "~90/~10"));
        assert!(!same("~-1/~10", "~0/~10"));
        assert!(!same("~1000 a", "~1000 b"));
    }

    #[test]
    fn the_first_difference_is_shown() {
        assert_eq!(compare("a\nb\nc", "a\nb\nc"), None);
        let difference = Difference { lines: 1, first: "- b\n+ x\n".to_owned() };
        assert_eq!(compare("a\nb\nc", "a\nx\nc"), Some(difference));
        assert_eq!(compare("a\n", "a\nb\n").map(|d| d.first), Some("+ b\n".to_owned()));
    }
}
