//! Asks the node on this machine, over its socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::supervisor::SOCKET_NAME;

/// Asks a question; the answer as it came and as it is understood.
pub(crate) fn ask<T: DeserializeOwned>(
    folder: &Path,
    question: &str,
    patience: Duration,
) -> Result<(String, T), String> {
    let text = ask_text(folder, question, patience)?;
    let answer = serde_json::from_str(&text).map_err(|e| format!("the node's answer makes no sense: {e}"))?;
    Ok((text, answer))
}

/// Asks a question; the answer as it came.
pub(super) fn ask_text(folder: &Path, question: &str, patience: Duration) -> Result<String, String> {
    let path = folder.join(SOCKET_NAME);
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(format!("{question}\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().map_err(|e| format!("no node answers at '{}' : {e}", path.display()))
}
