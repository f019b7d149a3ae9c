//! The reference manual: one page per kind of row.

use std::fmt::Write;
use std::path::PathBuf;

use proxy_lang::{Keyword, Spec, Status};

/// A page: its file name, its title, its rows with the places they may stand in.
struct Page {
    file: &'static str,
    title: &'static str,
    rows: Vec<(&'static Spec, String)>,
}

/// The rows of keepalived's language.
fn keepalived() -> Vec<(&'static Spec, String)> {
    use failover_vrrp::keepalived as k;
    fn of<D>(table: &'static [Keyword<D>]) -> impl Iterator<Item = (&'static Spec, String)> {
        table.iter().map(|row| (&row.spec, row.sections.names().collect::<Vec<_>>().join(", ")))
    }
    let blocks = of(k::GLOBAL_DEFS).chain(of(k::VRRP_INSTANCE)).chain(of(k::VRRP_SYNC_GROUP));
    let tracked = of(k::VRRP_SCRIPT).chain(of(k::VRRP_TRACK_PROCESS)).chain(of(k::VRRP_TRACK_FILE));
    blocks
        .chain(tracked)
        .chain(of(k::TOP))
        .chain(of(k::MACHINE))
        .chain(of(proxy_config::keepalived::TABLE))
        .collect()
}

/// The rows of virtual-router sections, by their names.
fn virtual_router() -> Vec<(&'static Spec, String)> {
    use failover_vrrp::keywords as k;
    let tables = [k::TABLE, k::mail::TABLE, k::wire::TABLE, k::presence::TABLE];
    let mut rows: Vec<&'static Spec> = tables.into_iter().flatten().map(|row| &row.spec).collect();
    rows.sort_by_key(|spec| spec.names);
    rows.into_iter().map(|spec| (spec, String::new())).collect()
}

fn pages() -> Vec<Page> {
    let keywords = proxy_config::keywords::PROXY.iter().flat_map(|t| t.iter());
    let keywords = keywords.map(|row| (&row.spec, row.sections.names().collect::<Vec<_>>().join(", ")));
    let global = proxy_config::keywords::GLOBAL.iter().flat_map(|t| t.iter());
    let bare = |spec| (spec, String::new());
    vec![
        Page {
            file: "global.md",
            title: "Global section",
            rows: global.map(|row| bare(&row.spec)).collect(),
        },
        Page {
            file: "peers.md",
            title: "Peers sections",
            rows: proxy_config::keywords::PEERS
                .iter()
                .flat_map(|t| t.iter())
                .map(|row| bare(&row.spec))
                .collect(),
        },
        Page {
            file: "named-sections.md",
            title: "Resolvers, mailers, userlist, http-errors and ring sections",
            rows: proxy_config::keywords::NAMED
                .iter()
                .flat_map(|t| t.iter())
                .map(|row| (&row.spec, row.sections.names().collect::<Vec<_>>().join(", ")))
                .collect(),
        },
        Page {
            file: "cluster.md",
            title: "Cluster section",
            rows: replication_control::TABLE.iter().map(|row| bare(&row.spec)).collect(),
        },
        Page { file: "virtual-router.md", title: "Virtual-router sections", rows: virtual_router() },
        Page {
            file: "track-options.md",
            title: "Options of track lines",
            rows: failover_vrrp::keywords::track::OPTIONS.iter().map(|row| bare(&row.spec)).collect(),
        },
        Page { file: "keepalived.md", title: "keepalived.conf", rows: keepalived() },
        Page { file: "proxies.md", title: "Proxy sections", rows: keywords.collect() },
        Page {
            file: "bind-options.md",
            title: "Options of bind lines",
            rows: proxy_config::keywords::bind_options().map(bare).collect(),
        },
        Page {
            file: "server-options.md",
            title: "Options of server lines",
            rows: proxy_config::keywords::server_options().map(bare).collect(),
        },
        Page {
            file: "balance.md",
            title: "Algorithms of balance",
            rows: proxy_backend::balance::TABLE.iter().map(|row| bare(&row.spec)).collect(),
        },
        Page {
            file: "cookie.md",
            title: "Options of cookie",
            rows: proxy_config::keywords::COOKIE_OPTIONS.iter().map(bare).collect(),
        },
        Page {
            file: "actions.md",
            title: "Actions",
            rows: proxy_rules::actions::every()
                .map(|row| (&row.spec, row.rulesets().collect::<Vec<_>>().join(", ")))
                .collect(),
        },
        Page {
            file: "fetches.md",
            title: "Sample fetches",
            rows: proxy_rules::fetches::every().map(|row| bare(&row.spec)).collect(),
        },
        Page {
            file: "converters.md",
            title: "Converters",
            rows: proxy_rules::CONVERTERS.iter().map(|row| bare(&row.spec)).collect(),
        },
        Page {
            file: "log-fields.md",
            title: "Log fields",
            rows: proxy_rules::LOG_FIELDS.iter().map(|row| bare(&row.spec)).collect(),
        },
        Page {
            file: "data-types.md",
            title: "Data types of stick tables",
            rows: proxy_table::DATA_TYPES.iter().map(|row| bare(&row.spec)).collect(),
        },
    ]
}

fn text(page: &Page) -> String {
    let mut text =
        format!("# {}\n\nGenerated from the registry by `cargo reference`; do not edit.\n", page.title);
    for (spec, places) in &page.rows {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {}\n\n    {}\n\n{}\n", spec.names.join(", "), spec.syntax(), spec.doc);
        if !places.is_empty() {
            let _ = write!(text, "\nMay stand in: {places}.\n");
        }
        match spec.status {
            Status::Full => {}
            Status::Partial(why) => {
                let _ = write!(text, "\nPartial: {why}.\n");
            }
            Status::Accepted(why) => {
                let _ = write!(text, "\nAccepted without effect: {why}.\n");
            }
            Status::Later => text.push_str("\nKnown, and refused by name until it is built.\n"),
            Status::Absent(why) => {
                let _ = write!(text, "\nRefused by name: {why}.\n");
            }
        }
        if !spec.example.is_empty() {
            let _ = write!(text, "\nExample: `{}`\n", spec.example);
        }
    }
    text
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference")
}

/// Writes every page.
pub(crate) fn write() -> Result<String, String> {
    let folder = folder();
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    for page in pages() {
        std::fs::write(folder.join(page.file), text(&page)).map_err(|e| format!("{}: {e}", page.file))?;
    }
    Ok(format!("wrote {}", folder.display()))
}

/// Compares every page with what stands there.
pub(crate) fn check() -> Result<String, String> {
    let stale: Vec<&str> = pages()
        .iter()
        .filter(|page| std::fs::read_to_string(folder().join(page.file)).ok().as_deref() != Some(&text(page)))
        .map(|page| page.file)
        .collect();
    if stale.is_empty() {
        Ok("docs/reference/ is what the rows say".to_owned())
    } else {
        Err(format!("docs/reference/ is stale, run `cargo reference`: {}", stale.join(", ")))
    }
}
