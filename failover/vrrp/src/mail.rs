//! Mails on changes: whom they go to, how, and what they say (keepalived's `smtp_alert`, word for word, so that
//! filters of mailboxes go on working). What a file or a name says can never begin another line of a mail or a command.

use std::time::Duration;

use proxy_lang::quoted;

/// Most addresses that one mail goes to.
pub const MAX_RECIPIENTS: usize = 32;
/// Where mails go when a section does not say it.
const USUAL_SERVER: (&str, u16) = ("127.0.0.1", USUAL_PORT);
pub(crate) const USUAL_PORT: u16 = 25;
/// How long a server may take for each answer.
const USUAL_PATIENCE: Duration = Duration::from_secs(30);
/// Longest address: a path of 256 bytes, its brackets taken off (RFC 5321 4.5.3.1.3).
const MAX_MAILBOX: usize = 254;
/// Longest name of a host (RFC 5321 4.5.3.1.2).
const MAX_HOST: usize = 255;
/// How much of a router's or a node's name a subject shows: the line stays below 998 bytes.
const MAX_SHOWN: usize = 200;
/// Columns after which a list of addresses goes on in the next line (RFC 5322 2.1.1).
const COLUMNS: usize = 78;

/// An address that mails go to or come from: visible ASCII, and nothing that ends it within a command or a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox(String);

impl Mailbox {
    /// The address that a text is, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ends = |c: char| !c.is_ascii_graphic() || "<>(),;\"\\".contains(c);
        let good = !text.is_empty() && text.len() <= MAX_MAILBOX && !text.contains(ends);
        good.then(|| Self(text.to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text can be the name or the address of a host, in a command and for the resolver.
#[must_use]
pub fn is_host(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_HOST && text.chars().all(|c| c.is_ascii_graphic())
}

/// Whom mails about changes go to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Whom they go to; one at least.
    pub to: Vec<Mailbox>,
    /// Whom they come from; otherwise this program's user at this host.
    pub from: Option<Mailbox>,
    /// The server that takes them, and its port.
    pub server: (String, u16),
    /// How long it may take for each answer.
    pub patience: Duration,
    /// What this host calls itself there; otherwise its name.
    pub hello: Option<String>,
    /// What subjects call this node; otherwise the member's name.
    pub node: Option<String>,
    /// Whether a fault is worth a mail.
    pub faults: bool,
}

/// What lines say of mails, as far as they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) to: Vec<Mailbox>,
    pub(crate) from: Option<Mailbox>,
    pub(crate) server: Option<(String, u16)>,
    pub(crate) patience: Option<Duration>,
    pub(crate) hello: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) without_faults: bool,
}

impl Draft {
    /// Adds somebody whom mails go to; why not, in words.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        if self.to.len() == MAX_RECIPIENTS {
            return Err(format!("more than {MAX_RECIPIENTS} addresses for mails"));
        }
        self.to.push(Mailbox::parse(text).ok_or_else(|| no_mailbox(text))?);
        Ok(())
    }

    /// Whether it is said how, and not to whom.
    pub(crate) fn says_how_only(&self) -> bool {
        self.to.is_empty() && *self != Self::default()
    }

    /// The server where nothing is said.
    pub(crate) fn or_usual_server(mut self) -> Self {
        self.server.get_or_insert_with(|| (USUAL_SERVER.0.to_owned(), USUAL_SERVER.1));
        self
    }

    /// What that means; `None`: it goes to nobody, or nobody takes it.
    pub(crate) fn complete(self) -> Option<Mail> {
        let server = self.server.filter(|_| !self.to.is_empty())?;
        Some(Mail {
            to: self.to,
            from: self.from,
            server,
            patience: self.patience.unwrap_or(USUAL_PATIENCE),
            hello: self.hello,
            node: self.node,
            faults: !self.without_faults,
        })
    }
}

/// What is said of a word that is no address.
pub(crate) fn no_mailbox(text: &str) -> String {
    format!("'{}' is no address for mails", text.escape_debug())
}

impl Mail {
    /// The lines of a section that say this.
    pub(crate) fn lines(&self) -> Vec<String> {
        let to: Vec<String> = self.to.iter().map(|to| quoted(to.as_str())).collect();
        let (host, port) = &self.server;
        let mut lines = vec![format!("notify-mail {}", to.join(" "))];
        lines.extend(self.from.as_ref().map(|from| format!("notify-mail-from {}", quoted(from.as_str()))));
        lines.extend(self.hello.as_ref().map(|hello| format!("notify-mail-helo {}", quoted(hello))));
        lines.extend(self.node.as_ref().map(|node| format!("notify-mail-name {}", quoted(node))));
        lines.extend((!self.faults).then(|| "notify-mail-no-faults".to_owned()));
        lines.push(format!("notify-mail-server {} {port}", quoted(host)));
        lines.push(format!("notify-mail-timeout {}ms", self.patience.as_millis()));
        lines
    }
}

/// A change that a mail tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The router or the group.
    pub name: String,
    /// Whether it is a group.
    pub is_group: bool,
    /// MASTER, BACKUP or FAULT.
    pub state: &'static str,
    /// Seconds since 1970 in which it happened.
    pub at: u64,
}

/// Who sends: what a mail needs to know of this machine where the file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The host's name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The member's name.
    pub member: String,
}

/// A mail: who hands it in, from whom it comes, whom it goes to, and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What the host calls itself.
    pub hello: String,
    /// Whom it comes from.
    pub from: Mailbox,
    /// Whom it goes to.
    pub to: Vec<Mailbox>,
    /// Header, empty line and text, without ends of lines.
    pub lines: Vec<String>,
}

impl Letter {
    /// The mail that tells of a change.
    #[must_use]
    pub fn new(mail: &Mail, news: &News, sender: &Sender) -> Self {
        let host = if is_host(&sender.host) { sender.host.as_str() } else { "localhost" };
        let own = || Mailbox::parse(&format!("{}@{host}", sender.user));
        let from = mail.from.clone().or_else(own).unwrap_or_else(|| Mailbox("root@localhost".to_owned()));
        let node = shown(mail.node.as_ref().unwrap_or(&sender.member));
        let kind = if news.is_group { "Group" } else { "Instance" };
        let subject = format!("[{node}] VRRP {kind} {} - Entering {} state", shown(&news.name), news.state);
        let text = match (news.is_group, news.state) {
            (true, state) => format!("=> All VRRP group instances are now in {state} state <="),
            (false, "MASTER") => "=> VRRP Instance is now owning VRRP VIPs <=".to_owned(),
            (false, _) => "=> VRRP Instance is no longer owning VRRP VIPs <=".to_owned(),
        };
        let mut lines = vec![
            format!("Date: {}", date(news.at)),
            format!("From: {}", from.as_str()),
            format!("Subject: {subject}"),
            "X-Mailer: Tandem".to_owned(),
            // Nobody's holiday is an answer to this (RFC 3834).
            "Auto-Submitted: auto-generated".to_owned(),
        ];
        lines.extend(list("To:", &mail.to));
        lines.extend([String::new(), text, String::new()]);
        let hello = mail.hello.clone().unwrap_or_else(|| host.to_owned());
        Self { hello, from, to: mail.to.clone(), lines }
    }
}

/// A name as a header may show it: visible ASCII and blanks, and not too much of it.
fn shown(name: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    name.chars().take(MAX_SHOWN).map(plain).collect()
}

/// A header of addresses, in as many lines as it takes.
fn list(header: &str, addresses: &[Mailbox]) -> Vec<String> {
    let mut lines = vec![header.to_owned()];
    for (place, address) in addresses.iter().enumerate() {
        let comma = if place + 1 < addresses.len() { "," } else { "" };
        let word = format!(" {}{comma}", address.as_str());
        match lines.last_mut() {
            Some(line) if place == 0 || line.len() + word.len() <= COLUMNS => line.push_str(&word),
            _ => lines.push(word),
        }
    }
    lines
}

/// A time as mails write it (RFC 5322 3.3), in UTC.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Counted from the first of March of year 0, so that the day of a leap year is a year's last one.
    let since = days + 719_468;
    let (era, of_era) = (since / 146_097, since % 146_097);
    let of_era_years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_years + of_era_years / 4 - of_era_years / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + of_era_years + u64::from(month < 2);
    let name = |names: &[&'static str], place: u64| {
        usize::try_from(place).ok().and_then(|place| names.get(place).copied()).unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &[&str]) -> Mail {
        let mut draft = Draft::default();
        to.iter().for_each(|to| draft.add(to).unwrap());
        draft.or_usual_server().complete().unwrap()
    }

    fn sender() -> Sender {
        Sender { host: "host1".to_owned(), user: "root".to_owned(), member: "lb1".to_owned() }
    }

    fn news(name: &str, is_group: bool, state: &'static str) -> News {
        News { name: name.to_owned(), is_group, state, at: 1_795_294_682 }
    }

    #[test]
    fn a_mail_says_what_keepaliveds_says() {
        let letter = Letter::new(
            &mail(&["a@example.com", "b@example.com"]),
            &news("VI_1", false, "MASTER"),
            &sender(),
        );
        assert_eq!(
            letter.lines,
            [
                "Date: Sat, 21 Nov 2026 20:58:02 +0000",
                "From: root@host1",
                "Subject: [lb1] VRRP Instance VI_1 - Entering MASTER state",
                "X-Mailer: Tandem",
                "Auto-Submitted: auto-generated",
                "To: a@example.com, b@example.com",
                "",
                "=> VRRP Instance is now owning VRRP VIPs <=",
                "",
            ]
        );
        for (group, state, expected) in [
            (false, "FAULT", "=> VRRP Instance is no longer owning VRRP VIPs <="),
            (true, "BACKUP", "=> All VRRP group instances are now in BACKUP state <="),
        ] {
            let letter = Letter::new(&mail(&["a"]), &news("G", group, state), &sender());
            assert!(letter.lines.iter().any(|line| line == expected), "{letter:?}");
        }
    }

    #[test]
    fn no_name_begins_a_line_or_ends_an_address() {
        let evil = "x\r\nBcc: all@example.com\r\n\r\n.\r\nMAIL FROM:<y>\u{85}\u{2028}";
        let mut mail = mail(&["a"]);
        mail.node = Some(evil.to_owned());
        let sender = Sender { host: evil.to_owned(), user: evil.to_owned(), member: evil.to_owned() };
        let letter = Letter::new(&mail, &news(&evil.repeat(100), true, "MASTER"), &sender);
        for line in letter.lines.iter().chain([&letter.hello]) {
            assert!(line.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{line:?}");
            assert!(line.len() <= 998, "{line}");
        }
        assert_eq!((letter.hello.as_str(), letter.from.as_str()), ("localhost", "root@localhost"));
        assert!(!letter.lines.iter().any(|line| line.starts_with("Bcc") || line.starts_with('.')));
        for wrong in ["", "a b", "a>b", "<a@b>", "a,b", "a\r\nb", "ä@b", "a\"b", &"x".repeat(255)] {
            assert_eq!(Mailbox::parse(wrong), None, "{wrong}");
        }
        for right in ["root", "ops@example.com", "a+b=c@[192.0.2.1]", "a@[IPv6:2001:db8::1]"] {
            assert!(Mailbox::parse(right).is_some(), "{right}");
        }
        assert!(is_host("2001:db8::25") && is_host("mail.example") && !is_host("a b") && !is_host("a\r\n"));
    }

    #[test]
    fn many_addresses_are_several_lines_and_too_many_are_refused() {
        let long = "x".repeat(MAX_MAILBOX);
        let to: Vec<&str> = std::iter::repeat_n(long.as_str(), MAX_RECIPIENTS).collect();
        let letter = Letter::new(&mail(&to), &news("a", false, "BACKUP"), &sender());
        let list: Vec<&String> = letter.lines.iter().filter(|line| line.contains("xxx")).collect();
        assert_eq!(list.len(), MAX_RECIPIENTS);
        assert!(list.iter().skip(1).all(|line| line.starts_with(' ') && line.len() <= 998));
        let mut draft = Draft { to: mail(&to).to, ..Draft::default() };
        assert_eq!(draft.add("one").unwrap_err(), "more than 32 addresses for mails");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 +0000"),
            (1_704_067_199, "Sun, 31 Dec 2023 23:59:59 +0000"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
