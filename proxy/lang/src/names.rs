//! Names that a file gives to things: which characters they may have, as in HAProxy (manual chapter 2.4 and each
//! section's own).

use crate::{Diagnostics, Word};

/// Other characters than letters and digits that a name may have.
const OTHERS: &str = "-_.:";

/// Whether a name has no other characters than it may; `what` it names begins the message, as in `a server`.
pub fn check_name(what: &str, name: &Word, diagnostics: &mut Diagnostics) -> bool {
    if name.text.is_empty() {
        diagnostics.error(name.span, format!("the name of {what} is empty"));
        return false;
    }
    let may = |c: char| c.is_ascii_alphanumeric() || OTHERS.contains(c);
    let Some(wrong) = name.text.chars().find(|c| !may(*c)) else { return true };
    let near: String = name.text.chars().map(|c| if may(c) { c } else { '_' }).collect();
    diagnostics
        .error(
            name.span,
            format!("character '{}' is not allowed in the name of {what}", wrong.escape_default()),
        )
        .help(format!("letters, digits, '-', '_', '.' and ':' are: '{near}' would be a name"));
    false
}

/// Whether a text can be the name of a header field (RFC 9110, section 5.1: a token).
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
