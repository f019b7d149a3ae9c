//! Ordered rules and what running them leads to. A ruleset that must wait says where it stopped and is
//! resumed there.

use std::sync::Arc;
use std::time::Duration;

use proxy_lang::{Diagnostics, Status, Word, nearest};
use proxy_wire::h1::page::ErrorPage;

use crate::actions::{self, Action, Effect};
use crate::{AclSet, Condition, Context, Exchange, Holds, View};

/// The kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesetKind {
    /// `tcp-request connection`.
    TcpRequestConnection,
    /// `tcp-request session`.
    TcpRequestSession,
    /// `tcp-request content`.
    TcpRequestContent,
    /// `http-request`.
    HttpRequest,
    /// `http-response`.
    HttpResponse,
}

impl RulesetKind {
    /// Every one of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::TcpRequestConnection,
        Self::TcpRequestSession,
        Self::TcpRequestContent,
        Self::HttpRequest,
        Self::HttpResponse,
    ];

    /// The words that begin such a rule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpRequestConnection => "tcp-request connection",
            Self::TcpRequestSession => "tcp-request session",
            Self::TcpRequestContent => "tcp-request content",
            Self::HttpRequest => "http-request",
            Self::HttpResponse => "http-response",
        }
    }

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Why a ruleset waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// To make an abuser wait before it is refused.
    Tarpit(Box<Reply>),
    /// For a time the file gives.
    Pause(Duration),
    /// For more of what the client sends, until `tcp-request inspect-delay` has passed.
    Data,
}

/// A reply a rule gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its content type; empty if there is no content.
    pub content_type: Vec<u8>,
    /// Further fields.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it sends the client elsewhere: its fields come behind the length, and a request that has a body is the
    /// last on its connection, as in HAProxy.
    pub is_redirect: bool,
    /// Its content.
    pub body: Content,
}

/// What a reply consists of besides its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes, which may be none.
    Bytes(Vec<u8>),
    /// The page that the proxy has for the status; fields and type of the reply mean nothing then.
    Page,
    /// A whole response of a file; the same holds.
    Whole(Arc<ErrorPage>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Reply {
    /// The usual reason phrase of its status.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        proxy_wire::h1::response::reason(self.status)
    }
}

/// The last word of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Final {
    /// Go on without looking at the remaining rules.
    Allow,
    /// Refuse with this.
    Deny(Box<Reply>),
    /// Answer with this.
    Reply(Box<Reply>),
    /// Close without a word.
    Drop,
    /// Refuse the connection.
    Reject,
    /// Answer with 500: what a rule was to write cannot be written, and what it was to replace must not pass.
    Fail,
}

/// What running rules led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All rules ran.
    Done,
    /// Wait, then go on at the cursor.
    Suspend {
        /// What for.
        why: Wait,
        /// Where to go on.
        cursor: usize,
    },
    /// A rule decided.
    Stop(Final),
}

/// An action and when it applies.
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    condition: Option<Condition>,
}

impl Rule {
    /// Whether no rule behind it is ever looked at.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.condition.is_none()
            && matches!(
                self.action,
                Action::Allow
                    | Action::Deny(_)
                    | Action::Tarpit(_)
                    | Action::Drop
                    | Action::Reject
                    | Action::Reply(_)
                    | Action::Redirect(_)
            )
    }

    /// Reads what stands after `http-request` and its like.
    pub fn parse(
        kind: RulesetKind,
        words: &[Word],
        acls: &AclSet,
        context: &Context<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (name, rest) = words.split_first()?;
        let (arguments, condition) = parted(rest, acls, context, diagnostics)?;
        let named = || actions::every().filter(|row| row.names(&name.text));
        if name.text.starts_with("lua.") {
            diagnostics.absent(name.span, &name.text, "there is no Lua in Tandem");
            return None;
        }
        let Some(row) = named().find(|row| row.kinds & kind.bit() != 0).or_else(|| named().next()) else {
            let near = nearest(&name.text, actions::every().flat_map(|r| r.spec.names.iter().copied()));
            let note =
                diagnostics.error(name.span, format!("'{}' has no action '{}'", kind.name(), name.text));
            if let Some(near) = near {
                note.help(format!("did you mean '{near}'?"));
            }
            return None;
        };
        if row.kinds & kind.bit() == 0 {
            diagnostics
                .error(name.span, format!("action '{}' cannot stand in '{}' rules", name.text, kind.name()));
            return None;
        }
        match row.spec.status {
            Status::Absent(why) => {
                diagnostics.absent(name.span, &name.text, why);
                return None;
            }
            Status::Later => {
                let what = name.text.split('(').next().unwrap_or_default();
                diagnostics.later_for(name.span, &format!("{} {what}", kind.name()), row.spec.doc);
            }
            Status::Full | Status::Partial(_) | Status::Accepted(_) => {}
        }
        let action = (row.parse)(name, arguments, context, diagnostics)?;
        Some(Self { action, condition })
    }

    /// Reads what stands behind the keyword `redirect`: an action whose texts are no formats.
    pub fn redirect(
        words: &[Word],
        acls: &AclSet,
        context: &Context<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (arguments, condition) = parted(words, acls, context, diagnostics)?;
        let action = actions::redirect(words.first()?, arguments, context, diagnostics)?;
        Some(Self { action, condition })
    }
}

/// An action's arguments, and the condition behind them.
fn parted<'w>(
    words: &'w [Word],
    acls: &AclSet,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(&'w [Word], Option<Condition>)> {
    let split = words.iter().position(|w| matches!(w.text.as_str(), "if" | "unless") && !w.quoted);
    let (arguments, condition) = words.split_at(split.unwrap_or(words.len()));
    if condition.is_empty() {
        return Some((arguments, None));
    }
    Some((arguments, Some(Condition::parse(condition, acls, context, diagnostics)?)))
}

/// Rules of one kind in one proxy.
#[derive(Clone, Debug, Default)]
pub struct Ruleset(Vec<Rule>);

impl Extend<Rule> for Ruleset {
    fn extend<I: IntoIterator<Item = Rule>>(&mut self, rules: I) {
        self.0.extend(rules);
    }
}

impl Ruleset {
    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a rule may leave a client without a word.
    #[must_use]
    pub fn drops_silently(&self) -> bool {
        self.0.iter().any(|rule| matches!(rule.action, Action::Drop))
    }

    /// Runs the rules from `cursor` on.
    pub fn eval(
        &self,
        cursor: usize,
        acls: &AclSet,
        exchange: &mut Exchange<'_>,
        view: &dyn View,
    ) -> Verdict {
        for (place, rule) in self.0.iter().enumerate().skip(cursor) {
            match rule.condition.as_ref().map_or(Holds::Yes, |c| c.decide(acls, exchange, view)) {
                Holds::Yes => {}
                Holds::No => continue,
                Holds::Unknown => return Verdict::Suspend { why: Wait::Data, cursor: place },
            }
            match rule.action.run(exchange, view) {
                Effect::Next => {}
                Effect::Wait(why) => return Verdict::Suspend { why, cursor: place + 1 },
                Effect::Stop(last) => return Verdict::Stop(last),
            }
        }
        Verdict::Done
    }
}
