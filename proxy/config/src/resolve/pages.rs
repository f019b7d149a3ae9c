//! Error pages: files, sections of files, and redirections in their place (manual chapter 4.2, `errorfile`,
//! `errorfiles`, `errorloc`; 12.4, `http-errors`).

use std::collections::BTreeMap;

use proxy_lang::{Diagnostics, Word, nearest};
use proxy_rules::{ErrorPage, Pages};

use super::Files;
use crate::draft::{NamedDraft, PageSource};

/// The pages of each `http-errors` section, by its name.
pub(super) fn sections(
    drafts: &[NamedDraft],
    files: Files<'_>,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Pages> {
    let mut sections = BTreeMap::new();
    for draft in drafts {
        let pages = draft
            .error_files
            .iter()
            .filter_map(|(status, file)| page(file, files, diagnostics).map(|page| (*status, page)));
        sections.insert(draft.name.clone(), pages.collect());
    }
    sections
}

/// The pages of a proxy; of several for one status the last.
pub(super) fn of_proxy(
    drafts: &[PageSource],
    sections: &BTreeMap<String, Pages>,
    files: Files<'_>,
    diagnostics: &mut Diagnostics,
) -> Pages {
    let mut pages = Pages::new();
    for draft in drafts {
        match draft {
            PageSource::File(status, file) => {
                pages.extend(page(file, files, diagnostics).map(|page| (*status, page)));
            }
            PageSource::Location { status, code, address } => {
                let reason = if *code == 303 { "See Other" } else { "Found" };
                let text = format!(
                    "HTTP/1.1 {code} {reason}\r\ncache-control: no-cache\r\ncontent-length: 0\r\nlocation: {}\r\n\r\n",
                    address.text
                );
                match proxy_rules::read_page(text.as_bytes()) {
                    Ok(page) => {
                        pages.insert(*status, page);
                    }
                    Err(_) => {
                        diagnostics.error(address.span, "this can be no address of a page");
                    }
                }
            }
            PageSource::Section(name, statuses) => {
                let Some(section) = sections.get(&name.text) else {
                    let near = nearest(&name.text, sections.keys().map(String::as_str));
                    let note = diagnostics
                        .error(name.span, format!("there is no http-errors section '{}'", name.text));
                    if let Some(near) = near {
                        note.help(format!("did you mean '{near}'?"));
                    }
                    continue;
                };
                for (status, at) in statuses {
                    if !section.contains_key(status) {
                        let text =
                            format!("the http-errors section '{}' has no page for {status}", name.text);
                        diagnostics.error(*at, text);
                    }
                }
                let wanted = |status: &u16| statuses.is_empty() || statuses.iter().any(|(s, _)| s == status);
                pages.extend(section.iter().filter(|(s, _)| wanted(s)).map(|(s, page)| (*s, page.clone())));
            }
        }
    }
    pages
}

fn page(file: &Word, files: Files<'_>, diagnostics: &mut Diagnostics) -> Option<ErrorPage> {
    match files.read(file) {
        Ok(text) => match proxy_rules::read_page(text.as_bytes()) {
            Ok(page) => return Some(page),
            Err(why) => {
                diagnostics
                    .error(file.span, format!("errorfile '{}' is no HTTP/1 response: {why}", file.text))
                    .help("a file of raw HTTP is expected: status line, header, empty line, body");
            }
        },
        Err(why) => {
            diagnostics.error(file.span, format!("cannot read errorfile '{}' : {why}", file.text));
        }
    }
    None
}
