//! ACLs and the conditions made of them (manual chapter 7).

use proxy_lang::{Diagnostics, Status, Word, check_name, nearest};

use crate::expr::PURPOSE;
use crate::fetches;
use crate::pattern::{Method, Patterns};
use crate::{Context, Exchange, Expr, View};

/// Most nested files and patterns one ACL may load.
const MAX_PATTERNS: usize = 1_000_000;

#[derive(Clone, Debug)]
struct Test {
    expr: Expr,
    patterns: Patterns,
}

impl Test {
    fn holds(&self, exchange: &Exchange<'_>, view: &dyn View) -> Holds {
        exchange.may_change.set(false);
        if self.expr.any(exchange, view, |sample| self.patterns.matches(sample)) {
            Holds::Yes
        } else if exchange.may_change.replace(false) {
            Holds::Unknown
        } else {
            Holds::No
        }
    }
}

/// Whether something holds. Ordered, so that all of several hold as the least of them does, and any as the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// It does not.
    No,
    /// It does not yet: more of what the client sends may decide otherwise (`tcp-request inspect-delay`).
    Unknown,
    /// It does.
    Yes,
}

impl Holds {
    /// The opposite, where it is asked for; what is not known stays so.
    fn negated(self, negated: bool) -> Self {
        match (self, negated) {
            (Self::No, true) => Self::Yes,
            (Self::Yes, true) => Self::No,
            (Self::No | Self::Unknown | Self::Yes, _) => self,
        }
    }
}

/// The named ACLs of one proxy; a name may stand several times, any of its lines is enough.
#[derive(Clone, Debug, Default)]
pub struct AclSet {
    names: Vec<String>,
    tests: Vec<Vec<Test>>,
}

/// The match method of a predefined ACL that no other one can name.
const SCHEME: &str = "\0scheme";

/// ACLs that every proxy knows: name, criterion and patterns.
const PREDEFINED: &[(&str, &[&str])] = &[
    ("FALSE", &["always_false"]),
    ("HTTP", &["always_true"]),
    ("HTTP_1.0", &["req.ver", "1.0"]),
    ("HTTP_1.1", &["req.ver", "1.1"]),
    ("HTTP_2.0", &["req.ver", "2.0"]),
    ("HTTP_CONTENT", &["req.hdr_val(content-length)", "-m", "int", "gt", "0"]),
    ("HTTP_URL_ABS", &["url", "-m", SCHEME]),
    ("HTTP_URL_SLASH", &["url_beg", "/"]),
    ("HTTP_URL_STAR", &["url", "*"]),
    ("LOCALHOST", &["src", "127.0.0.1/8", "::1"]),
    ("METH_CONNECT", &["method", "CONNECT"]),
    ("METH_DELETE", &["method", "DELETE"]),
    ("METH_GET", &["method", "GET", "HEAD"]),
    ("METH_HEAD", &["method", "HEAD"]),
    ("METH_OPTIONS", &["method", "OPTIONS"]),
    ("METH_POST", &["method", "POST"]),
    ("METH_PUT", &["method", "PUT"]),
    ("METH_TRACE", &["method", "TRACE"]),
    ("RDP_COOKIE", &["req.rdp_cookie_cnt", "gt", "0"]),
    ("REQ_CONTENT", &["req.len", "gt", "0"]),
    ("TRUE", &["always_true"]),
    ("WAIT_END", &["wait_end"]),
];

impl AclSet {
    /// Reads `NAME CRITERION [flags] [patterns]`.
    pub fn declare(&mut self, words: &[Word], context: &Context<'_>, diagnostics: &mut Diagnostics) {
        let [name, rest @ ..] = words else { return };
        if !check_name("an acl", name, diagnostics) {
            return;
        }
        if name.text == "or" {
            diagnostics
                .error(name.span, "an acl cannot be named 'or': in a condition that word parts alternatives");
            return;
        }
        if rest.is_empty() {
            diagnostics.error(name.span, format!("acl '{}' expects a criterion", name.text));
            return;
        }
        let Some(test) = test(rest, context, diagnostics) else { return };
        let place = self.place(&name.text).unwrap_or_else(|| {
            self.names.push(name.text.clone());
            self.tests.push(Vec::new());
            self.names.len() - 1
        });
        self.tests[place].push(test);
    }

    /// Makes those that there are unknown to what is read from here on: rules that use them go on doing so.
    pub fn hide(&mut self) {
        self.names.iter_mut().for_each(String::clear);
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }
}

#[derive(Clone, Debug)]
enum What {
    Named(usize),
    Inline(Box<Test>),
}

#[derive(Clone, Debug)]
struct Term {
    negated: bool,
    what: What,
}

/// When a rule applies: any of several groups of tests that must all hold.
#[derive(Clone, Debug)]
pub struct Condition {
    unless: bool,
    groups: Vec<Vec<Term>>,
}

impl Condition {
    /// Reads from `if` or `unless` to the end of the line.
    pub fn parse(
        words: &[Word],
        acls: &AclSet,
        context: &Context<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (keyword, mut rest) = words.split_first()?;
        let mut condition = Self { unless: keyword.text == "unless", groups: vec![Vec::new()] };
        if rest.is_empty() {
            diagnostics.error(keyword.span, format!("'{}' expects a condition", keyword.text));
            return None;
        }
        let mut good = true;
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            if matches!(word.text.as_str(), "or" | "||") {
                condition.groups.push(Vec::new());
                continue;
            }
            let bare = word.text.trim_start_matches('!');
            let mut negated = (word.text.len() - bare.len()) % 2 == 1;
            let mut name = bare.to_owned();
            if name.is_empty() {
                // A lone "!" belongs to the word behind it.
                let Some((next, after)) = rest.split_first() else { break };
                negated ^= next.text.starts_with('!');
                next.text.trim_start_matches('!').clone_into(&mut name);
                rest = after;
            }
            let what = if name == "{" {
                let Some(end) = rest.iter().position(|w| w.text == "}" && !w.quoted) else {
                    diagnostics.error(word.span, "'{' without a closing '}'");
                    return None;
                };
                let inner = &rest[..end];
                rest = &rest[end + 1..];
                test(inner, context, diagnostics).map(|t| What::Inline(Box::new(t)))
            } else {
                named(&name, word, acls, context, diagnostics)
            };
            match what {
                Some(what) => condition.groups.last_mut()?.push(Term { negated, what }),
                None => good = false,
            }
        }
        good.then_some(condition)
    }

    /// Whether the rule applies to this exchange, where no more of it can come.
    pub fn holds(&self, acls: &AclSet, exchange: &mut Exchange<'_>, view: &dyn View) -> bool {
        self.decide(acls, exchange, view) == Holds::Yes
    }

    /// Whether the rule applies to this exchange, as far as that is known.
    pub fn decide(&self, acls: &AclSet, exchange: &mut Exchange<'_>, view: &dyn View) -> Holds {
        let exchange = &*exchange;
        let term = |term: &Term| {
            let holds = match &term.what {
                What::Named(place) => any(acls.tests[*place].iter().map(|t| t.holds(exchange, view))),
                What::Inline(test) => test.holds(exchange, view),
            };
            holds.negated(term.negated)
        };
        let all = |group: &Vec<Term>| {
            let mut least = Holds::Yes;
            for holds in group.iter().map(term) {
                least = least.min(holds);
                if least == Holds::No {
                    break;
                }
            }
            least
        };
        any(self.groups.iter().map(all)).negated(self.unless)
    }
}

/// The greatest; what comes behind one that holds is not looked at.
fn any(several: impl Iterator<Item = Holds>) -> Holds {
    let mut greatest = Holds::No;
    for holds in several {
        greatest = greatest.max(holds);
        if greatest == Holds::Yes {
            break;
        }
    }
    greatest
}

fn named(
    name: &str,
    word: &Word,
    acls: &AclSet,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<What> {
    if let Some(place) = acls.place(name) {
        return Some(What::Named(place));
    }
    // What it looks at there, the first bytes, rules cannot see yet.
    if name == "HTTP" && !context.http {
        diagnostics.later_for(word.span, "ACL HTTP in mode tcp", PURPOSE);
    }
    if let Some((_, criterion)) = PREDEFINED.iter().find(|(known, _)| *known == name) {
        let words: Vec<Word> =
            criterion.iter().map(|t| Word { text: (*t).to_owned(), ..word.clone() }).collect();
        return test(&words, context, diagnostics).map(|t| What::Inline(Box::new(t)));
    }
    let known = acls.names.iter().map(String::as_str).chain(PREDEFINED.iter().map(|(n, _)| *n));
    let near = nearest(name, known);
    let note = diagnostics.error(word.span, format!("there is no ACL '{name}' in this proxy"));
    note.help(near.map_or_else(
        || "declare it with an 'acl' line above this one".to_owned(),
        |near| format!("did you mean '{near}'?"),
    ));
    None
}

/// Reads `CRITERION [flags] [patterns]`.
fn test(words: &[Word], context: &Context<'_>, diagnostics: &mut Diagnostics) -> Option<Test> {
    let (criterion, mut rest) = words.split_first()?;
    let (text, mut method, mut waits) = split_suffix(&criterion.text);
    let expr = Expr::parse_text(&text, criterion, context, diagnostics)?;
    let (mut any_case, mut files, mut is_closed) = (false, Vec::new(), false);
    while let Some((flag, after)) = rest.split_first() {
        match flag.text.as_str() {
            "-i" => any_case = true,
            "-n" => {}
            "-M" => waits = Some("-M"),
            "--" => {
                is_closed = true;
                rest = after;
                break;
            }
            "-f" | "-m" | "-u" => {
                let Some((value, after)) = after.split_first() else {
                    diagnostics.error(flag.span, format!("'{}' expects an argument", flag.text));
                    return None;
                };
                if flag.text == "-f" {
                    files.push(value);
                } else if flag.text == "-u" {
                    waits = Some("-u");
                } else if let Some(method) = WAITING.iter().find(|method| **method == value.text) {
                    waits = Some(method);
                } else {
                    method = Method::named(&value.text).or((value.text == SCHEME).then_some(Method::Scheme));
                    if method.is_none() {
                        diagnostics
                            .error(value.span, format!("match method '{}' is not supported", value.text))
                            .help("one of str, beg, end, sub, dir, dom, int, ip, bool, found is expected");
                        return None;
                    }
                }
                rest = after;
                continue;
            }
            _ => break,
        }
        rest = after;
    }
    let mut method = method.unwrap_or_else(|| Method::usual(expr.yields()));
    if rest.is_empty() && files.is_empty() && !is_closed && !method.needs_none() {
        let text = format!("'{}' is compared with nothing, and never holds", criterion.text);
        diagnostics
            .warning(criterion.span, text)
            .help("'-m found' asks whether it is there; '--' says that nothing is meant");
    }
    let mut patterns: Vec<String> = rest.iter().map(|w| w.text.clone()).collect();
    for file in files {
        match (context.file)(file) {
            Ok(text) => patterns.extend(lines(&text)),
            Err(why) => {
                diagnostics.error(file.span, format!("cannot read patterns from '{}' : {why}", file.text));
                return None;
            }
        }
    }
    if patterns.len() > MAX_PATTERNS {
        diagnostics.error(criterion.span, format!("more than {MAX_PATTERNS} patterns"));
        return None;
    }
    if let Some(what) = waits {
        diagnostics.later_for(criterion.span, &format!("ACL matching {what}"), PURPOSE);
        method = Method::Found;
        patterns.clear();
    }
    let at = rest.first().map_or(criterion.span, |w| w.span.to(rest[rest.len() - 1].span));
    match Patterns::new(method, any_case, patterns.iter().map(String::as_str)) {
        Ok(patterns) => Some(Test { expr, patterns }),
        Err(why) => {
            diagnostics.error(at, why);
            None
        }
    }
}

/// One pattern a line; empty lines and comments are passed over.
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned)
}

/// What becomes of a fetch, or of the criterion made of one and a match method; `None`: it is not known.
#[must_use]
pub fn criterion(name: &str) -> Option<Status> {
    let (base, _, waits) = split_suffix(name);
    if fetches::counter_named(&base).is_some() {
        return Some(Status::Full);
    }
    let row = fetches::named(&base)?;
    Some(if waits.is_some() && row.spec.status == Status::Full { Status::Later } else { row.spec.status })
}

/// What becomes of a match method (`-m`); `None`: it is not known.
#[must_use]
pub fn match_method(name: &str) -> Option<Status> {
    let waits = WAITING.contains(&name).then_some(Status::Later);
    Method::named(name).map(|_| Status::Full).or(waits)
}

/// What becomes of a flag before the patterns; `None`: it is not known.
#[must_use]
pub fn match_flag(name: &str) -> Option<Status> {
    match name {
        "-f" | "-i" | "-m" | "--" => Some(Status::Full),
        "-n" => Some(Status::Accepted("names are not resolved here")),
        "-M" | "-u" => Some(Status::Later),
        _ => None,
    }
}

/// Match methods that are known and not built yet.
const WAITING: &[&str] = &["reg", "len", "bin"];

/// `path_beg` is `path` compared as a prefix; the argument stays where it is.
fn split_suffix(criterion: &str) -> (String, Option<Method>, Option<&'static str>) {
    let (name, argument) = criterion.split_at(criterion.find('(').unwrap_or(criterion.len()));
    if fetches::named(name).is_none()
        && let Some((base, suffix)) = name.rsplit_once('_')
        && fetches::named(base).is_some_and(|row| row.suffixes)
    {
        let waits = WAITING.iter().copied().find(|method| *method == suffix);
        let method = Method::named(suffix);
        if method.is_some() || waits.is_some() {
            return (format!("{base}{argument}"), method, waits);
        }
    }
    (criterion.to_owned(), None, None)
}
