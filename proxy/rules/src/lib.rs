//! What rules are made of: samples and the fetches that extract them, patterns, ACLs and conditions,
//! actions, and formats. Everything is resolved while the file is read; at run time there are only
//! function pointers and ids.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod acl;
pub mod actions;
mod context;
mod converters;
mod exchange;
mod expr;
pub mod fetches;
mod format;
mod log_fields;
mod pattern;
mod ruleset;
mod sample;
mod stick;

pub use acl::{AclSet, Condition, Holds, criterion, match_flag, match_method};
pub use context::{Context, Pages, Stage};
pub use converters::{CONVERTERS, Converter};
pub use exchange::{Exchange, Tracked, View, is_unix_end, unix_end};
pub use expr::Expr;
pub use format::{CLFLOG, Format, HTTPLOG, TCPLOG};
pub use log_fields::{DateForm, LOG_FIELDS, LogFacts};
pub use pattern::Patterns;
pub use proxy_wire::h1::page::{ErrorPage, read as read_page};
pub use proxy_wire::h1::response::PAGES;
pub use ruleset::{Content, Final, Reply, Rule, Ruleset, RulesetKind, Verdict, Wait};
pub use sample::{Kind, Sample};
pub use stick::{StickRule, Stuck};
