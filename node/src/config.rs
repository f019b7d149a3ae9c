//! Text to the configuration of every room: the only place that sees all of them.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use proxy_config::model::Config;
use proxy_lang::{Diagnostics, Level, Sources, blocks, lex, render};

use crate::args::Options;

/// Largest configuration, or file named in one, that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Reads the files. `None`: they were wrong, and what is wrong has been said.
pub(crate) fn load(options: &Options) -> Option<Arc<Config>> {
    let mut sources = Sources::default();
    for file in &options.files {
        match read_file(file) {
            Ok(text) => {
                sources.add(file, text);
            }
            Err(why) => {
                eprintln!(
                    "[ALERT]    ({}) : Could not open configuration file {file} : {why}",
                    std::process::id()
                );
                return None;
            }
        }
    }
    let mut diagnostics = Diagnostics::default();
    let environment = |name: &str| std::env::var(name).ok();
    let files: Vec<_> = sources.iter().map(|(id, _)| id).collect();
    let lines = files.into_iter().flat_map(|id| lex(&sources, id, &environment, &mut diagnostics)).collect();
    let openers: Vec<&str> = proxy_config::SECTIONS.iter().map(|s| s.name).collect();
    let blocks = blocks(lines, &openers, &mut diagnostics);
    // Files are named relative to the configuration that names them, as an editor would expect.
    let folder = options.files.first().and_then(|f| Path::new(f).parent()).map(Path::to_path_buf);
    let named = |path: &str| match (&folder, Path::new(path).is_absolute() || Path::new(path).exists()) {
        (Some(folder), false) => read_file(&folder.join(path).to_string_lossy()),
        _ => read_file(path),
    };
    let config = proxy_config::read(&blocks, &named, &mut diagnostics);
    let warned = say(&sources, &diagnostics);
    if diagnostics.errors() > 0 {
        eprintln!("[ALERT]    ({}) : config : Fatal errors found in configuration.", std::process::id());
        return None;
    }
    if warned && options.strict {
        eprintln!(
            "[ALERT]    ({}) : config : Some warnings were found and '-dW' was set.",
            std::process::id()
        );
        return None;
    }
    let mut config = config?;
    config.global.maxconn = options.max_connections.or(config.global.maxconn);
    Some(Arc::new(config))
}

/// Says everything that is wrong; whether there were warnings.
fn say(sources: &Sources, diagnostics: &Diagnostics) -> bool {
    let colour = std::io::stderr().is_terminal();
    let mut warned = false;
    for diagnostic in diagnostics.iter().filter(|d| d.level != Level::Note) {
        warned |= diagnostic.level == Level::Warning;
        eprintln!("{}", render(sources, diagnostic, std::process::id(), colour));
    }
    if diagnostics.dropped() > 0 {
        eprintln!("... and {} more", diagnostics.dropped());
    }
    warned
}

fn read_file(path: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes, the limit is {MAX_FILE}"));
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
