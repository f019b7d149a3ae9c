//! Old files to today's language: what HAProxy has dropped is written as it is written now, line by line, with
//! the reason. Lines that need no change stay as they are, byte for byte.

/// A line that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number, from 1.
    pub line: u32,
    /// What stands there.
    pub old: String,
    /// What stands there afterwards; nothing: the line goes.
    pub new: Vec<String>,
    /// Why.
    pub why: &'static str,
}

/// What became of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// The lines that change.
    pub changes: Vec<Change>,
    /// Lines that have no translation, with what to do instead.
    pub stuck: Vec<(u32, &'static str)>,
    /// The whole text afterwards.
    pub text: String,
}

/// What becomes of one line.
enum Verdict {
    Same,
    Now(Vec<String>, &'static str),
    Stuck(&'static str),
}

/// Rewrites a text.
#[must_use]
pub fn migrate(text: &str) -> Migration {
    let mut migration = Migration::default();
    for (line, number) in text.lines().zip(1..) {
        let indent = &line[..line.len() - line.trim_start().len()];
        match verdict(&Raw::of(line.trim_start())) {
            Verdict::Same => push(&mut migration.text, line),
            Verdict::Now(new, why) => {
                let new: Vec<String> = new.into_iter().map(|new| format!("{indent}{new}")).collect();
                new.iter().for_each(|new| push(&mut migration.text, new));
                migration.changes.push(Change { line: number, old: line.to_owned(), new, why });
            }
            Verdict::Stuck(advice) => {
                push(&mut migration.text, line);
                migration.stuck.push((number, advice));
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        let last = text.lines().last().unwrap_or_default().to_owned();
        let line = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        let why = "the file must end with a line feed";
        migration.changes.push(Change { line, old: last.clone(), new: vec![last], why });
    }
    migration
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Whether a line of today's files would be another one: it begins with a keyword that is gone.
pub(crate) fn is_old(words: &[proxy_lang::Word]) -> bool {
    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let negated = words.first() == Some(&"no");
    !matches!(verdict(&Raw { words, comment: "" }), Verdict::Same) && !negated
}

/// The words of a line as they are written, quotes and backslashes included.
struct Raw<'l> {
    words: Vec<&'l str>,
    /// The comment behind them, with its mark.
    comment: &'l str,
}

impl<'l> Raw<'l> {
    fn of(line: &'l str) -> Self {
        let (mut words, mut start, mut quote) = (Vec::new(), None, None);
        let mut chars = line.char_indices();
        while let Some((at, c)) = chars.next() {
            match (c, quote) {
                (' ' | '\t' | '\r', None) => words.extend(start.take().map(|start| &line[start..at])),
                ('#', None) => {
                    words.extend(start.take().map(|start| &line[start..at]));
                    return Self { words, comment: &line[at..] };
                }
                _ => {
                    start = start.or(Some(at));
                    match (c, quote) {
                        ('\\', None | Some('"')) => drop(chars.next()),
                        ('"' | '\'', None) => quote = Some(c),
                        (c, Some(open)) if c == open => quote = None,
                        _ => {}
                    }
                }
            }
        }
        words.extend(start.map(|start| &line[start..]));
        Self { words, comment: "" }
    }

    /// A new line with this one's comment.
    fn line(&self, text: String) -> String {
        if self.comment.is_empty() { text } else { format!("{text} {}", self.comment) }
    }
}

const BIND: &str = "an address stands on a 'bind' line of its own";
const NAMED: &str = "the keyword has a new name";
const GONE: &str = "it is gone, and had no effect any more";
const RULE: &str = "headers and addresses are changed by 'http-request' and 'http-response' rules";

fn verdict(raw: &Raw<'_>) -> Verdict {
    let now = |text: String, why| Verdict::Now(vec![raw.line(text)], why);
    let rest = |from: usize| raw.words.get(from..).unwrap_or_default().join(" ");
    match raw.words.as_slice() {
        ["contimeout", time] => now(format!("timeout connect {time}"), NAMED),
        ["clitimeout", time] => now(format!("timeout client {time}"), NAMED),
        ["srvtimeout", time] => now(format!("timeout server {time}"), NAMED),
        ["redispatch"] => now("option redispatch".to_owned(), NAMED),
        ["block", _, ..] => now(format!("http-request deny {}", rest(1)), NAMED),
        ["monitor-net", network] => now(
            format!("http-request return status 200 if {{ src {network} }}"),
            "monitors are answered by a rule",
        ),
        ["option", "forceclose"] => now("option httpclose".to_owned(), NAMED),
        ["option", "http-tunnel"] => {
            Verdict::Stuck("requests are always told apart: use 'mode tcp' for a tunnel")
        }
        ["no", "option", "http-use-htx" | "http-tunnel" | "forceclose" | "tcpsplice"]
        | ["option", "http-use-htx" | "tcpsplice"] => Verdict::Now(Vec::new(), GONE),
        ["nbproc", _] => Verdict::Now(Vec::new(), "threads of one process serve all cores: see 'nbthread'"),
        ["listen" | "frontend", name, address, ..] if *address != "from" && !name.starts_with('#') => {
            let bind = format!("    bind {}", rest(2));
            Verdict::Now(vec![raw.line(format!("{} {name}", raw.words[0])), bind], BIND)
        }
        ["appsession", cookie, options @ ..] => appsession(cookie, options),
        [old, ..] => header_rule(old, raw),
        [] => Verdict::Same,
    }
}

fn appsession(cookie: &str, options: &[&str]) -> Verdict {
    let value = |name: &str, usual: &'static str| -> String {
        let pair = options.windows(2).find(|pair| pair[0] == name);
        pair.map_or(usual, |pair| pair[1]).to_owned()
    };
    let (length, time) = (value("len", "32"), value("timeout", "1h"));
    let table = format!("stick-table type string len {length} size 100k expire {time}");
    let store = format!("stick store-response res.cook({cookie})");
    let look = format!("stick match req.cook({cookie})");
    Verdict::Now(vec![table, store, look], "the sessions of an application are kept in a stick table")
}

/// `reqadd` and its like.
fn header_rule(old: &str, raw: &Raw<'_>) -> Verdict {
    let (side, verb) = match old.split_at_checked(3) {
        Some(("req", verb)) => ("http-request", verb),
        Some(("rsp", verb)) => ("http-response", verb),
        _ => return Verdict::Same,
    };
    // Without 'i' names and values are told apart by case; rules never tell names apart.
    let (verb, case) = verb.strip_prefix('i').map_or((verb, ""), |verb| (verb, "(?i)"));
    let arguments = raw.words.get(1..).unwrap_or_default();
    let split = arguments.iter().position(|word| matches!(*word, "if" | "unless")).unwrap_or(arguments.len());
    let (arguments, condition) = arguments.split_at(split);
    let rule = match (verb, arguments) {
        ("add", [header]) => add(header),
        // Rules delete by name only: what looks at the value has no translation.
        ("del", [pattern]) => header_name(pattern)
            .filter(|(_, value)| matches!(*value, "" | ".*" | "(.*)" | ".*$" | "(.*)$"))
            .map(|(name, _)| format!("del-header {name}")),
        ("rep", [search, replace]) if side == "http-request" => {
            path(search, replace, case).or_else(|| value(search, replace, case))
        }
        ("rep", [search, replace]) => value(search, replace, case),
        ("add" | "del" | "rep" | "allow" | "deny" | "pass" | "tarpit" | "setbe", _) => None,
        _ => return Verdict::Same,
    };
    match rule {
        Some(rule) => {
            let line = std::iter::once(format!("{side} {rule}"));
            let words: Vec<String> = line.chain(condition.iter().map(|word| (*word).to_owned())).collect();
            Verdict::Now(vec![raw.line(words.join(" "))], RULE)
        }
        None => Verdict::Stuck("write it as an 'http-request' or 'http-response' rule with an ACL"),
    }
}

/// `Name:\ value`; a percent sign meant itself.
fn add(header: &str) -> Option<String> {
    let (name, value) = header.split_once(':')?;
    let value = value.strip_prefix("\\ ").unwrap_or(value).replace('%', "%%");
    (is_name(name) && !value.is_empty()).then(|| format!("add-header {name} {value}"))
}

/// The header a pattern is about, and what follows its colon: `^Name:\ (.*)`.
fn header_name(pattern: &str) -> Option<(&str, &str)> {
    let (name, rest) = pattern.strip_prefix('^')?.split_once(':')?;
    let rest = rest.strip_prefix("\\ ").unwrap_or(rest);
    is_name(name).then_some((name, rest))
}

/// A rewrite of one header's value. The pattern began at the line's begin, and begins at the value's now.
fn value(search: &str, replace: &str, case: &str) -> Option<String> {
    let (name, pattern) = header_name(search)?;
    let (new, value) = replace.split_once(':')?;
    let value = value.strip_prefix("\\ ").unwrap_or(value);
    let same = name.eq_ignore_ascii_case(new) && !pattern.is_empty() && !value.is_empty();
    same.then(|| format!("replace-header {name} {case}^{pattern} {value}"))
}

/// A rewrite of the request line that keeps the method and moves the rest of the address:
/// `^([^\ :]*)\ /old/(.*)` to `\1\ /new/\2`.
fn path(search: &str, replace: &str, case: &str) -> Option<String> {
    const METHOD: &[&str] = &["^([^\\ :]*)\\ ", "^([^\\ ]*)\\ ", "^(.*)\\ ", "^(\\S*)\\ "];
    let pattern = METHOD.iter().find_map(|method| search.strip_prefix(method))?;
    let target = replace.strip_prefix("\\1\\ ")?;
    let groups = pattern.matches('(').count();
    // The last group took the version with it, which stays behind the address.
    let last = format!("\\{}", groups + 1);
    if !pattern.starts_with('/')
        || !pattern.ends_with("(.*)")
        || !target.ends_with(&last)
        || target.contains("\\1")
    {
        return None;
    }
    // One group less: the method's.
    let mut moved = target.to_owned();
    for group in 2..=groups + 1 {
        moved = moved.replace(&format!("\\{group}"), &format!("\\{}", group - 1));
    }
    Some(format!("replace-pathq {case}^{pattern} {moved}"))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_become_lines_of_today() {
        for (old, new) in [
            ("  contimeout 5000 # five", "  timeout connect 5000 # five\n"),
            ("redispatch", "option redispatch\n"),
            ("option forceclose", "option httpclose\n"),
            ("no option http-use-htx", ""),
            ("nbproc 4", ""),
            ("listen web :80 # public", "listen web # public\n    bind :80\n"),
            ("listen web", "listen web\n"),
            ("frontend a from b", "frontend a from b\n"),
            ("block if bad !good", "http-request deny if bad !good\n"),
            (
                "reqadd X-Scheme:\\ https if { ssl_fc }",
                "http-request add-header X-Scheme https if { ssl_fc }\n",
            ),
            ("rspadd A:\\ b\\ 5%", "http-response add-header A b\\ 5%%\n"),
            ("rspidel ^Server:.*", "http-response del-header Server\n"),
            ("reqrep ^Host:\\ (.*) Host:\\ www.\\1", "http-request replace-header Host ^(.*) www.\\1\n"),
            (
                "rspirep ^Location:\\ http:(.*) Location:\\ https:\\1",
                "http-response replace-header Location (?i)^http:(.*) https:\\1\n",
            ),
            (
                "reqirep ^([^\\ :]*)\\ /cam/(.*) \\1\\ /\\2",
                "http-request replace-pathq (?i)^/cam/(.*) /\\1\n",
            ),
            ("reqrep ^([^\\ :]*)\\ /cam/(.*)     \\1\\ /\\2", "http-request replace-pathq ^/cam/(.*) /\\1\n"),
            (
                "appsession JSESSIONID len 52 timeout 3h",
                "stick-table type string len 52 size 100k expire 3h\nstick store-response res.cook(JSESSIONID)\n\
                 stick match req.cook(JSESSIONID)\n",
            ),
            ("  server s1 192.0.2.1:80 # x", "  server s1 192.0.2.1:80 # x\n"),
            ("requests are no keyword", "requests are no keyword\n"),
        ] {
            let migration = migrate(&format!("{old}\n"));
            assert_eq!((migration.text.as_str(), migration.stuck.len()), (new, 0), "{old}");
        }
    }

    #[test]
    fn what_has_no_translation_stays_and_is_said() {
        for old in [
            "reqidel ^X-Forwarded-For:\\ 10\\.",
            "reqideny ^User-Agent:\\ bad",
            "reqrep ^GET\\ (.*) POST\\ \\1",
            "option http-tunnel",
        ] {
            let migration = migrate(&format!("{old}\n"));
            assert_eq!((migration.text, migration.stuck.len()), (format!("{old}\n"), 1), "{old}");
        }
        let migration = migrate("defaults\n  mode http");
        assert_eq!(migration.text, "defaults\n  mode http\n");
        assert_eq!(migration.changes.len(), 1);
    }
}
