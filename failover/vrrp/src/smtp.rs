//! Handing a mail to a server (RFC 5321): one greeting, one mail, one goodbye. It is fed with what the server says,
//! byte for byte as it comes, and says what to write. What the server says is believed as far as its three digits go.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Micros;
use crate::mail::{Letter, Mailbox};

/// Longest line of an answer: RFC 5321 4.5.3.1.5 has 512 bytes, and servers exceed it a little.
const MAX_LINE: usize = 1_024;
/// Most lines of one answer.
const MAX_LINES: usize = 64;
/// How much of an answer is shown to people.
const MAX_SHOWN: usize = 200;
/// How long the answer to a goodbye is waited for.
const GOODBYE: Micros = Micros(2_000_000);
/// The server waits for the mail's lines (RFC 5321 4.3.2).
const GO_ON: u16 = 354;
/// The server ends the session, whatever was asked (RFC 5321 3.8).
const CLOSING: u16 = 421;

/// Where the dialogue is; each waits for one answer.
///
/// ```text
/// Greeting -> Hello -> From -> To.. -> Data -> Text -> Quit -> Over
///     any refusal but that of one address of several: -> Quit
///     silence, an end, bytes that are no answer:      -> Over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Hello,
    From,
    /// The recipient at this place.
    To(usize),
    Data,
    Text,
    Quit,
    Over,
}

impl Step {
    /// What the server was asked.
    fn words(self) -> &'static str {
        match self {
            Self::Greeting => "to the connection",
            Self::Hello => "to HELO",
            Self::From => "to MAIL",
            Self::To(_) => "to RCPT",
            Self::Data => "to DATA",
            Self::Text => "to the mail",
            Self::Quit | Self::Over => "to QUIT",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The server said this; maybe half a line, maybe several.
    Bytes(&'a [u8]),
    /// The connection ended.
    Closed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this to the server.
    Write(Vec<u8>),
    /// Close the connection: it is over.
    Ended(Result<Accepted, Failure>),
}

/// The server took the mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// For these it did not, and said this.
    pub refused: Vec<(Mailbox, String)>,
}

/// Why the server did not take the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words.
    pub why: String,
    /// Whether it may take it later, and surely has not now.
    pub is_temporary: bool,
}

/// Which time is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The server's next answer.
    Reply,
    /// The end of the dialogue, however often the server answers.
    Whole,
}

/// The dialogue about one mail.
#[derive(Debug)]
pub struct Dialogue {
    letter: Letter,
    step: Step,
    patience: Micros,
    /// The answer that is waited for is late then; the dialogue as a whole is.
    late: Micros,
    over: Micros,
    reply: Reply,
    refused: Vec<(Mailbox, String)>,
    /// What becomes of it once the goodbye is answered.
    outcome: Option<Result<Accepted, Failure>>,
    outputs: VecDeque<Output>,
}

impl Dialogue {
    /// A connection has just been made.
    /// `patience`: for each answer; `whole`: for all of them.
    #[must_use]
    pub fn new(now: Micros, letter: Letter, patience: Duration, whole: Duration) -> Self {
        let patience = Micros::from(patience);
        Self {
            letter,
            step: Step::Greeting,
            patience,
            late: now.after(patience),
            over: now.after(whole.into()),
            reply: Reply::default(),
            refused: Vec::new(),
            outcome: None,
            outputs: VecDeque::new(),
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Micros, input: Input<'_>) {
        match input {
            Input::Closed => self.break_off("the server closed the connection", true),
            Input::Bytes(bytes) => {
                let mut rest = bytes;
                while let Some((byte, more)) = rest.split_first() {
                    rest = more;
                    match self.reply.take(*byte) {
                        _ if self.step == Step::Over => return,
                        Ok(None) => {}
                        // Who answers what was not asked yet does not speak this protocol.
                        Ok(Some(_)) if !rest.is_empty() && self.step != Step::Quit => {
                            return self.break_off("the server speaks unasked", false);
                        }
                        Ok(Some((code, text))) => self.answered(now, code, &text),
                        Err(why) => return self.break_off(why, false),
                    }
                }
            }
        }
    }

    /// The deadline that was asked for has passed.
    pub fn handle_timeout(&mut self, now: Micros) {
        if self.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.break_off("the server did not answer in time", true);
        }
    }

    /// What to do next; called until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to wake the dialogue, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Micros, Timer)> {
        let first = if self.late < self.over { (self.late, Timer::Reply) } else { (self.over, Timer::Whole) };
        (self.step != Step::Over).then_some(first)
    }

    fn answered(&mut self, now: Micros, code: u16, text: &str) {
        let good = if self.step == Step::Data { code == GO_ON } else { code / 100 == 2 };
        match self.step {
            Step::Quit => return self.finish(),
            Step::To(place) if !good && code != CLOSING => {
                self.refused.extend(self.letter.to.get(place).map(|to| (to.clone(), text.to_owned())));
                // All the same the others are to have it (RFC 5321 3.3).
                let is_last = place + 1 == self.letter.to.len();
                if is_last && self.refused.len() == self.letter.to.len() {
                    return self.refuse(now, code, text);
                }
            }
            _ if !good => return self.refuse(now, code, text),
            Step::Greeting
            | Step::Hello
            | Step::From
            | Step::To(_)
            | Step::Data
            | Step::Text
            | Step::Over => {}
        }
        let (next, said) = match self.step {
            Step::Greeting => (Step::Hello, format!("HELO {}\r\n", self.letter.hello)),
            Step::Hello => (Step::From, format!("MAIL FROM:<{}>\r\n", self.letter.from.as_str())),
            Step::From => self.recipient(0),
            Step::To(place) => self.recipient(place + 1),
            Step::Data => (Step::Text, self.text()),
            Step::Text => return self.say_goodbye(now, Ok(Accepted { refused: self.refused.clone() })),
            Step::Quit | Step::Over => return,
        };
        self.ask(now, next, said);
    }

    /// The next recipient; behind the last one, the mail itself.
    fn recipient(&self, place: usize) -> (Step, String) {
        match self.letter.to.get(place) {
            Some(to) => (Step::To(place), format!("RCPT TO:<{}>\r\n", to.as_str())),
            None => (Step::Data, "DATA\r\n".to_owned()),
        }
    }

    /// The mail's lines: a dot more where a line begins with one (RFC 5321 4.5.2), and the one that ends it.
    fn text(&self) -> String {
        let line = |line: &String| {
            let dot = if line.starts_with('.') { "." } else { "" };
            // A line is one line, whoever wrote it.
            let bare: String = line.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            format!("{dot}{bare}\r\n")
        };
        self.letter.lines.iter().map(line).collect::<String>() + ".\r\n"
    }

    fn ask(&mut self, now: Micros, next: Step, said: String) {
        self.step = next;
        self.late = now.after(self.patience);
        self.outputs.push_back(Output::Write(said.into_bytes()));
    }

    fn refuse(&mut self, now: Micros, code: u16, text: &str) {
        let why = format!("the server says {} {}", self.step.words(), text);
        self.say_goodbye(now, Err(Failure { why, is_temporary: code / 100 == 4 }));
    }

    fn say_goodbye(&mut self, now: Micros, outcome: Result<Accepted, Failure>) {
        self.outcome = Some(outcome);
        self.ask(now, Step::Quit, "QUIT\r\n".to_owned());
        self.late = now.after(GOODBYE.min(self.patience));
    }

    /// There is nobody to say goodbye to.
    fn break_off(&mut self, why: &str, is_temporary: bool) {
        let why = format!("{why} ({})", self.step.words());
        // A mail that was written as a whole may have been taken: it does not come twice.
        let is_temporary = is_temporary && self.step != Step::Text;
        self.outcome.get_or_insert(Err(Failure { why, is_temporary }));
        self.finish();
    }

    fn finish(&mut self) {
        if self.step != Step::Over {
            self.step = Step::Over;
            self.outputs.extend(self.outcome.take().map(Output::Ended));
        }
    }
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
struct Reply {
    line: Vec<u8>,
    lines: usize,
    /// Of the lines before.
    code: Option<u16>,
}

impl Reply {
    /// Takes a byte; the code and the last line of an answer that is whole.
    fn take(&mut self, byte: u8) -> Result<Option<(u16, String)>, &'static str> {
        if byte != b'\n' {
            if self.line.len() == MAX_LINE {
                return Err("the server's line is too long");
            }
            self.line.push(byte);
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (code, goes_on) = understand(line).ok_or("what the server says is not SMTP")?;
        if self.code.is_some_and(|before| before != code) {
            return Err("what the server says is not SMTP");
        }
        self.lines += 1;
        if goes_on {
            self.code = Some(code);
            return if self.lines < MAX_LINES {
                Ok(None)
            } else {
                Err("the server's answer has too many lines")
            };
        }
        *self = Self::default();
        let plain = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
        Ok(Some((code, line.iter().take(MAX_SHOWN).map(plain).collect())))
    }
}

/// A line's three digits, and whether others follow (RFC 5321 4.2.1).
fn understand(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let is_code = digits.iter().all(u8::is_ascii_digit) && (200..600).contains(&code);
    match rest.first() {
        _ if !is_code => None,
        Some(b'-') => Some((code, true)),
        None | Some(b' ') => Some((code, false)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const WHOLE: Duration = Duration::from_secs(100);

    fn letter(lines: &[&str]) -> Letter {
        let mailbox = |text: &str| Mailbox::parse(text).unwrap();
        Letter {
            hello: "lb1".to_owned(),
            from: mailbox("lb@example.org"),
            to: vec![mailbox("a@example.com"), mailbox("b@example.com")],
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    fn begin() -> Dialogue {
        Dialogue::new(Micros(0), letter(&["Subject: x", "", ".dot", "."]), PATIENCE, WHOLE)
    }

    /// What the dialogue says to each of these answers, and how it ends.
    fn play(dialogue: &mut Dialogue, answers: &[&str]) -> (String, Option<Result<Accepted, Failure>>) {
        let (mut said, mut end) = (String::new(), None);
        for answer in answers {
            dialogue.handle_input(Micros(0), Input::Bytes(answer.as_bytes()));
            while let Some(output) = dialogue.poll_output() {
                match output {
                    Output::Write(bytes) => said.push_str(&String::from_utf8(bytes).unwrap()),
                    Output::Ended(outcome) => assert!(end.replace(outcome).is_none(), "it ends once"),
                }
            }
        }
        (said, end)
    }

    fn failure(why: &str, is_temporary: bool) -> Option<Result<Accepted, Failure>> {
        Some(Err(Failure { why: why.to_owned(), is_temporary }))
    }

    #[test]
    fn a_mail_is_handed_in_with_its_dots_stuffed() {
        let answers =
            ["220-a\r\n220 b\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n", "251 ok\r\n", "354 go\r\n"];
        let mut dialogue = begin();
        let (said, end) = play(&mut dialogue, &answers);
        assert_eq!(
            said,
            concat!(
                "HELO lb1\r\nMAIL FROM:<lb@example.org>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n",
                "DATA\r\nSubject: x\r\n\r\n..dot\r\n..\r\n.\r\n"
            )
        );
        assert_eq!(end, None);
        assert_eq!(play(&mut dialogue, &["250 queued\r\n"]), ("QUIT\r\n".to_owned(), None));
        assert_eq!(play(&mut dialogue, &["221 bye\r\n"]).1, Some(Ok(Accepted::default())));
        assert_eq!((dialogue.poll_timeout(), play(&mut dialogue, &["250 more\r\n"]).1), (None, None));
    }

    #[test]
    fn answers_may_come_byte_by_byte() {
        let text = "220 a\r\n";
        let mut dialogue = begin();
        for at in 0..text.len() - 1 {
            assert_eq!(play(&mut dialogue, &[&text[at..=at]]), (String::new(), None));
        }
        assert_eq!(play(&mut dialogue, &["\n"]).0, "HELO lb1\r\n");
    }

    #[test]
    fn one_refused_address_does_not_keep_the_mail_from_the_others() {
        let answers =
            ["220 a\n", "250\n", "250 ok\n", "550 no such user\r\n", "250 ok\n", "354 go\n", "250 ok\n"];
        let mut dialogue = begin();
        let (said, _) = play(&mut dialogue, &answers);
        assert!(said.ends_with("QUIT\r\n"), "{said}");
        let Some(Ok(accepted)) = play(&mut dialogue, &["221 bye\n"]).1 else { panic!() };
        let refused: Vec<_> = accepted.refused.iter().map(|(to, why)| (to.as_str(), why.as_str())).collect();
        assert_eq!(refused, [("a@example.com", "550 no such user")]);
    }

    #[test]
    fn refusals_end_it_and_only_some_are_worth_another_try() {
        let ok = "250 ok\r\n";
        let (go, hi) = ("354 go\r\n", "220 a\r\n");
        let cases: [(&[&str], &str, bool); 9] = [
            (&["554 go away\r\n"], "to the connection 554 go away", false),
            (&["421 busy\r\n"], "to the connection 421 busy", true),
            (&[hi, "501-no\r\n501 such name\r\n"], "to HELO 501 such name", false),
            (&[hi, ok, "451 later\r\n"], "to MAIL 451 later", true),
            (&[hi, ok, ok, "450 x\r\n", "450 grey\r\n"], "to RCPT 450 grey", true),
            (&[hi, ok, ok, "421 x\r\n"], "to RCPT 421 x", true),
            (&[hi, ok, ok, ok, ok, "250 what\r\n"], "to DATA 250 what", false),
            (&[hi, ok, ok, ok, ok, go, "552 full\r\n"], "to the mail 552 full", false),
            (&[hi, ok, ok, ok, ok, go, "452 full\r\n"], "to the mail 452 full", true),
        ];
        for (answers, why, again) in cases {
            let mut dialogue = begin();
            let (said, end) = play(&mut dialogue, answers);
            assert!(said.ends_with("QUIT\r\n") && end.is_none(), "{said}");
            dialogue.handle_input(Micros(0), Input::Closed);
            assert_eq!(play(&mut dialogue, &[""]).1, failure(&format!("the server says {why}"), again));
        }
    }

    #[test]
    fn what_is_no_answer_ends_it_at_once() {
        let long = format!("220 {}", "x".repeat(MAX_LINE));
        let many = "220-a\r\n".repeat(MAX_LINES);
        for (said, why) in [
            ("HTTP/1.1 400 Bad Request\r\n", "what the server says is not SMTP"),
            ("220-a\r\n250 b\r\n", "what the server says is not SMTP"),
            ("199 a\r\n", "what the server says is not SMTP"),
            ("+20 a\r\n", "what the server says is not SMTP"),
            ("22\r\n", "what the server says is not SMTP"),
            ("220a\r\n", "what the server says is not SMTP"),
            ("\n", "what the server says is not SMTP"),
            ("220 a\r\n250 b\r\n", "the server speaks unasked"),
            (&long, "the server's line is too long"),
            (&many, "the server's answer has too many lines"),
        ] {
            let mut dialogue = begin();
            let (written, end) = play(&mut dialogue, &[said]);
            assert_eq!((written.as_str(), end), ("", failure(&format!("{why} (to the connection)"), false)));
            assert_eq!(dialogue.poll_timeout(), None);
        }
    }

    #[test]
    fn silence_is_bounded_for_each_answer_and_for_all() {
        let mut dialogue = begin();
        assert_eq!(dialogue.poll_timeout(), Some((Micros(30_000_000), Timer::Reply)));
        dialogue.handle_timeout(Micros(29_999_999));
        assert_eq!(play(&mut dialogue, &[""]), (String::new(), None));
        dialogue.handle_timeout(Micros(30_000_000));
        let expected = failure("the server did not answer in time (to the connection)", true);
        assert_eq!(play(&mut dialogue, &[""]).1, expected);
        // A server that answers again and again, a moment before its time is over.
        let mut dialogue = begin();
        for (at, answer) in [(29, "220 a\n"), (58, "250 ok\n"), (87, "250 ok\n")] {
            dialogue.handle_input(Micros(at * 1_000_000), Input::Bytes(answer.as_bytes()));
        }
        assert_eq!(dialogue.poll_timeout(), Some((Micros(100_000_000), Timer::Whole)));
        // Nobody knows whether a mail was taken whose end was written: it is not written again.
        let mut dialogue = begin();
        play(&mut dialogue, &["220 a\n", "250\n", "250\n", "250\n", "250\n", "354\n"]);
        dialogue.handle_timeout(Micros(30_000_000));
        let expected = failure("the server did not answer in time (to the mail)", false);
        assert_eq!(play(&mut dialogue, &[""]).1, expected);
    }

    #[test]
    fn a_goodbye_that_nobody_answers_changes_nothing() {
        let mut dialogue = begin();
        play(&mut dialogue, &["220 a\n", "250\n", "250\n", "250\n", "250\n", "354\n", "250\n"]);
        assert_eq!(dialogue.poll_timeout(), Some((GOODBYE, Timer::Reply)));
        dialogue.handle_timeout(GOODBYE);
        assert_eq!(play(&mut dialogue, &[""]).1, Some(Ok(Accepted::default())));
    }
}
