//! Case files: what is configured, what answers, what is asked, and which lines are under test.
//!
//! A file begins with lines after `#` that say what it shows. Then come parts, each opened by a word at the left
//! margin; what belongs to one is indented. A line whose first character is `>` is under test: the original is played
//! without it too, or with the line after it instead, if that begins with `<`. What it proves stands behind `##`.

use std::fmt;
use std::path::Path;

use crate::effects::text::{Piece, unquote, words};

/// A line of the file: its number, from 1, and its text without indentation and marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
}

/// A line under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    /// Its number, from 1.
    pub(crate) number: usize,
    pub(crate) text: String,
    /// What the original is given in its place.
    pub(crate) instead: Option<String>,
    /// Class and name of each row that it proves.
    pub(crate) proves: Vec<(String, String)>,
}

/// What a server does with each request, or each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The path it is for; empty: any.
    pub(crate) path: String,
    pub(crate) pieces: Vec<Piece>,
}

/// A server that the case scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: String,
    /// Taken in turn, the last one for ever; an empty list answers 200 with the server's address.
    pub(crate) answers: Vec<Answer>,
    /// Sent as soon as a connection is there.
    pub(crate) greets: Option<String>,
    /// Requests are not read: every piece that comes is answered.
    pub(crate) raw: bool,
    /// The request is the answer's body.
    pub(crate) echo: bool,
    /// What begins with one of these is not observed; an empty one: nothing is.
    pub(crate) quiet: Vec<String>,
    /// How its connections end is observed, too.
    pub(crate) ends: bool,
    /// Arguments of a TLS server (`openssl s_server`) that stands before it.
    pub(crate) tls: Option<String>,
}

/// One case, as it is read from its file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// Folder and name, without the ending.
    pub(crate) name: String,
    /// The text of the file.
    pub(crate) text: String,
    pub(crate) config: Vec<Line>,
    pub(crate) files: Vec<(String, String)>,
    /// Commands for a shell, before the program starts.
    pub(crate) prepare: Vec<String>,
    pub(crate) servers: Vec<Server>,
    pub(crate) steps: Vec<Line>,
    pub(crate) marks: Vec<Marked>,
    /// Patterns, and what stands for what they find.
    pub(crate) masks: Vec<(String, String)>,
    /// Arguments of the program, before those that name its file.
    pub(crate) start: Option<String>,
    /// Words of docs/differences.md: the two differ here, on purpose.
    pub(crate) differs: Option<String>,
    /// Needs to be root, not only of a lab.
    pub(crate) root: bool,
    /// The oldest version of the original that knows its words, where that is not the one of CI.
    pub(crate) since: Option<String>,
}

/// What is wrong with a case file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// What `config http` begins with.
const HTTP: &str = "global\n\
    \x20   stats socket {dir}/sock mode 600 level admin\n\
    defaults\n\
    \x20   mode http\n\
    \x20   timeout connect 1s\n\
    \x20   timeout client 5s\n\
    \x20   timeout server 5s";

/// What a part is about to be given.
enum Part {
    None,
    Config,
    Server,
    Steps,
    File,
}

/// Reads a case; `without` is the number of the marked line that is left out, or replaced.
pub(crate) fn read(name: &str, text: &str, without: Option<usize>) -> Result<Case, Mistake> {
    let mut case = Case { name: name.to_owned(), text: text.to_owned(), ..Case::default() };
    let mut part = Part::None;
    let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        let mistake = |why: &str| Mistake { line: number, why: why.to_owned() };
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let bare = line.trim_start();
        let indented = bare.len() < line.len();
        if !indented {
            part = open(&mut case, bare).map_err(|why| mistake(&why))?;
            continue;
        }
        if bare.starts_with('<') {
            return Err(mistake("'<' replaces the marked line before it, and there is none"));
        }
        let mut bare = bare.to_owned();
        if let Some(marked) = bare.strip_prefix('>') {
            let (text, proves) = marked.split_once(" ## ").unwrap_or((marked, ""));
            let proves = claims(proves).map_err(|why| mistake(&why))?;
            let replaced = lines.next_if(|(_, next)| next.trim_start().starts_with('<'));
            let instead = replaced.map(|(_, next)| next.trim_start()[1..].trim().to_owned());
            let mark = Marked { number, text: text.trim().to_owned(), instead: instead.clone(), proves };
            bare.clone_from(&mark.text);
            case.marks.push(mark);
            if without == Some(number) {
                match instead {
                    Some(instead) => bare = instead,
                    None => continue,
                }
            }
        }
        let read = Line { number, text: bare };
        match part {
            Part::None => return Err(mistake("an indented line belongs to a part, and none is open")),
            Part::Config => case.config.push(Line { text: format!("    {}", read.text), ..read }),
            Part::Steps => case.steps.push(read),
            Part::Server => server_line(&mut case, &read.text).map_err(|why| mistake(&why))?,
            Part::File => {
                let quoted = read.text.starts_with('"');
                let line =
                    if quoted { unquote(&read.text).map_err(|why| mistake(&why))? } else { read.text + "\n" };
                if let Some((_, text)) = case.files.last_mut() {
                    text.push_str(&line);
                }
            }
        }
    }
    if case.steps.is_empty() {
        return Err(Mistake { line: text.lines().count(), why: "nothing is done: no 'steps'".to_owned() });
    }
    Ok(case)
}

/// `fetch src, acl criterion hdr_beg`: a class is all words but the name that the list of names knows.
fn claims(text: &str) -> Result<Vec<(String, String)>, String> {
    let claims = text.split(',').map(str::trim).filter(|claim| !claim.is_empty());
    claims
        .map(|claim| {
            crate::parity::split(claim).ok_or_else(|| {
                format!("'{claim}' is no class and name of `cargo parity` (as in 'bind option id')")
            })
        })
        .collect()
}

/// Opens a part, or takes a line that stands for itself.
fn open(case: &mut Case, line: &str) -> Result<Part, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match word {
        "config" => {
            let prelude = match rest {
                "" => String::new(),
                "http" => HTTP.to_owned(),
                "tcp" => HTTP.replace("mode http", "mode tcp"),
                _ => return Err("expected 'config', 'config http' or 'config tcp'".to_owned()),
            };
            case.config.extend(prelude.lines().map(|text| Line { number: 0, text: text.to_owned() }));
            return Ok(Part::Config);
        }
        // Sections begin at the margin, as they do in configurations.
        "global" | "defaults" | "frontend" | "backend" | "listen" | "peers" | "resolvers" | "mailers"
        | "userlist" | "http-errors" | "ring" => {
            case.config.push(Line { number: 0, text: line.to_owned() });
            return Ok(Part::Config);
        }
        "server" => {
            case.servers.push(Server { address: rest.to_owned(), ..Server::default() });
            return Ok(Part::Server);
        }
        "steps" => return Ok(Part::Steps),
        "file" => {
            case.files.push((rest.to_owned(), String::new()));
            return Ok(Part::File);
        }
        "prepare" => case.prepare.push(rest.to_owned()),
        "start" => case.start = Some(rest.to_owned()),
        "differs" => case.differs = Some(rest.to_owned()),
        "root" => case.root = true,
        "since" => case.since = Some(rest.to_owned()),
        "mask" => {
            let parts = words(rest)?;
            let [Piece::Bytes(pattern), Piece::Bytes(text)] = parts.as_slice() else {
                return Err("expected: mask \"pattern\" \"text\"".to_owned());
            };
            case.masks.push((pattern.clone(), text.clone()));
        }
        other => return Err(format!("'{other}' opens no part of a case")),
    }
    Ok(Part::None)
}

fn server_line(case: &mut Case, line: &str) -> Result<(), String> {
    let Some(server) = case.servers.last_mut() else { return Ok(()) };
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "answer" => {
            let path = rest.split(' ').next().filter(|word| word.starts_with('/')).unwrap_or_default();
            let pieces = words(rest[path.len()..].trim())?;
            server.answers.push(Answer { path: path.to_owned(), pieces });
        }
        "greet" => server.greets = Some(unquote(rest)?),
        "raw" => server.raw = true,
        "echo" => server.echo = true,
        "quiet" => server.quiet.push(unquote(rest)?),
        "ends" => server.ends = true,
        "tls" => server.tls = Some(rest.to_owned()),
        _ => return Err(format!("'{word}' is nothing that a server does")),
    }
    Ok(())
}

impl Case {
    /// The configuration, for this folder.
    pub(crate) fn configuration(&self, folder: &Path) -> String {
        let lines = self.config.iter().map(|line| line.text.replace("{dir}", &folder.to_string_lossy()));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Shows something.
config http
frontend f
    bind 127.0.0.1:8000
  > maxconn 5  ## proxy maxconn
  < maxconn 6
  > option httpclose  ## proxy option httpclose, fetch src
steps
    get /
";

    #[test]
    fn a_marked_line_is_left_out_or_replaced() {
        let read = |without| {
            let case = read("x", TEXT, without).unwrap();
            let own = case.config.iter().filter(|line| line.number > 0);
            (own.map(|line| line.text.trim().to_owned()).collect::<Vec<_>>(), case.marks)
        };
        let (lines, marks) = read(None);
        assert_eq!(lines, ["bind 127.0.0.1:8000", "maxconn 5", "option httpclose"]);
        assert_eq!(marks[1].proves[1], ("fetch".to_owned(), "src".to_owned()));
        assert_eq!(read(Some(5)).0, ["bind 127.0.0.1:8000", "maxconn 6", "option httpclose"]);
        assert_eq!(read(Some(7)).0, ["bind 127.0.0.1:8000", "maxconn 5"]);
    }

    #[test]
    fn mistakes_say_where_and_why() {
        for (text, line, part) in [
            ("config http\n", 1, "no 'steps'"),
            ("confg\n", 1, "'confg' opens no part"),
            ("config\n  < x\n", 2, "there is none"),
            ("    get /\n", 1, "none is open"),
            ("steps\n  > get / ## fetsch src\n", 2, "'fetsch src' is no class and name"),
            ("server 127.0.0.1:1\n    answr \"x\"\n", 2, "'answr' is nothing"),
            ("server 127.0.0.1:1\n    answer \"x\n", 2, "quote"),
        ] {
            let mistake = read("x", text, None).unwrap_err();
            assert_eq!(mistake.line, line, "{text}");
            assert!(mistake.why.contains(part), "{text}: {mistake}");
        }
    }
}
