//! Conditions about the program and its surroundings (manual chapter 2.4): `feature(OPENSSL) && !defined(X)`.

/// What conditions may ask.
pub trait Surroundings {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// Whether the program can do this, by HAProxy's name for it.
    fn feature(&self, name: &str) -> bool;
    /// HAProxy's version whose configuration is read, as `[2, 6, 0]`.
    fn version(&self) -> [u32; 3];
}

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 64;

/// Whether a condition holds; the error says what is not understood.
///
/// # Errors
/// The text is no condition.
pub fn condition(text: &str, surroundings: &dyn Surroundings) -> Result<bool, String> {
    let mut reader = Reader { rest: text.trim(), surroundings };
    if reader.rest.is_empty() {
        return Ok(false);
    }
    let holds = reader.any(0)?;
    match reader.rest.trim_start() {
        "" => Ok(holds),
        rest => Err(format!("unexpected '{rest}'")),
    }
}

struct Reader<'t> {
    rest: &'t str,
    surroundings: &'t dyn Surroundings,
}

impl Reader<'_> {
    fn skip(&mut self, mark: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(mark) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// Conditions joined by `||`.
    fn any(&mut self, depth: usize) -> Result<bool, String> {
        let mut holds = self.all(depth)?;
        while self.skip("||") {
            holds |= self.all(depth)?;
        }
        Ok(holds)
    }

    /// Conditions joined by `&&`, which binds closer.
    fn all(&mut self, depth: usize) -> Result<bool, String> {
        let mut holds = self.one(depth)?;
        while self.skip("&&") {
            holds &= self.one(depth)?;
        }
        Ok(holds)
    }

    fn one(&mut self, depth: usize) -> Result<bool, String> {
        if depth > MAX_DEPTH {
            return Err("too many parentheses".to_owned());
        }
        if self.skip("!") {
            return self.one(depth + 1).map(|holds| !holds);
        }
        if self.skip("(") {
            let holds = self.any(depth + 1)?;
            return if self.skip(")") { Ok(holds) } else { Err("a ')' is missing".to_owned()) };
        }
        let rest = self.rest.trim_start();
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        self.rest = after;
        if let Some(inside) = after.strip_prefix('(') {
            let (arguments, after) = arguments(inside)?;
            self.rest = after;
            return self.ask(word, &arguments);
        }
        match word.parse::<i64>() {
            Ok(number) => Ok(number != 0),
            Err(_) => Err(format!("'{word}' is neither a number nor a predicate")),
        }
    }

    fn ask(&self, predicate: &str, arguments: &[String]) -> Result<bool, String> {
        let count = |wanted: usize| {
            if arguments.len() == wanted {
                Ok(())
            } else {
                Err(format!("'{predicate}' expects {wanted} argument(s)"))
            }
        };
        let text = |place: usize| arguments.get(place).map_or("", String::as_str);
        let version = || -> Result<[u32; 3], String> {
            count(1)?;
            numbers(text(0)).ok_or_else(|| format!("'{}' is no version", text(0)))
        };
        match predicate {
            "defined" => count(1).map(|()| self.surroundings.variable(text(0)).is_some()),
            "feature" => count(1).map(|()| self.surroundings.feature(text(0))),
            "streq" => count(2).map(|()| text(0) == text(1)),
            "strneq" => count(2).map(|()| text(0) != text(1)),
            "strstr" => count(2).map(|()| text(0).contains(text(1))),
            "version_atleast" => Ok(self.surroundings.version() >= version()?),
            "version_before" => Ok(self.surroundings.version() < version()?),
            // What it is linked with speaks of another program: its versions are never old.
            "openssl_version_atleast" => count(1).map(|()| self.surroundings.feature("OPENSSL")),
            "openssl_version_before" => count(1).map(|()| false),
            "ssllib_name_startswith" => count(1).map(|()| "OpenSSL".starts_with(text(0))),
            "enabled" => count(1).map(|()| false),
            other => Err(format!("unknown predicate '{other}'")),
        }
    }
}

/// Arguments up to the closing parenthesis, and what follows it. Quotes and backslashes protect.
fn arguments(text: &str) -> Result<(Vec<String>, &str), String> {
    let mut list = vec![String::new()];
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let last = list.len() - 1;
        match (c, quote) {
            ('\\', None | Some('"')) => {
                if let Some((_, next)) = chars.next() {
                    list[last].push(next);
                }
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (',', None) => list.push(String::new()),
            (')', None) => {
                let trimmed = list.iter().map(|a| a.trim().to_owned()).collect();
                return Ok((trimmed, &text[at + 1..]));
            }
            (c, _) => list[last].push(c),
        }
    }
    Err("a ')' is missing".to_owned())
}

/// A version's numbers; what is not said is zero.
fn numbers(text: &str) -> Option<[u32; 3]> {
    let text = text.split('-').next().unwrap_or_default();
    let mut numbers = [0; 3];
    for (place, part) in text.split('.').enumerate() {
        *numbers.get_mut(place)? = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Here;
    impl Surroundings for Here {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "HOME").then(|| "/root".to_owned())
        }
        fn feature(&self, name: &str) -> bool {
            name == "OPENSSL"
        }
        fn version(&self) -> [u32; 3] {
            [2, 6, 12]
        }
    }

    /// Answers of HAProxy 2.6 with OpenSSL, for the same texts.
    #[test]
    fn conditions_hold_as_haproxys_do() {
        for (text, expected) in [
            ("", false),
            ("1", true),
            ("-1000", true),
            ("0", false),
            ("!0", true),
            ("!!1", true),
            ("1 && 0 || 1", true),
            ("1 && (0 || 0)", false),
            ("feature(OPENSSL) && !feature(LUA)", true),
            ("defined(HOME)", true),
            ("!defined(NOT_THERE)", true),
            ("streq(a,a)", true),
            ("streq('a b',\"a b\")", true),
            ("strneq(a,b) && strstr(haproxy,prox)", true),
            ("version_atleast(2.4-dev19)", true),
            ("version_before(2.6)", false),
            ("version_atleast(3)", false),
        ] {
            assert_eq!(condition(text, &Here), Ok(expected), "{text}");
        }
        for text in
            ["200rrr", "nothing(1)", "1 &&", "(1", "streq(a)", "streq(a,b", "1 1", "version_atleast(x)"]
        {
            assert!(condition(text, &Here).is_err(), "{text}");
        }
        let deep = "(".repeat(100_000);
        assert!(condition(&deep, &Here).is_err());
    }
}
