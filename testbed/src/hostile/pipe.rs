//! A pipe whose reader may cease to read.

use std::io::{PipeReader, PipeWriter, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(10);
/// Bytes read at once.
const BUFFER: usize = 1 << 16;

/// Reads what is written, and throws it away, while it is told to; ends with the last writer.
pub(super) fn drained(reads: &Arc<AtomicBool>) -> std::io::Result<PipeWriter> {
    let (reader, writer) = std::io::pipe()?;
    let reads = Arc::clone(reads);
    std::thread::spawn(move || drain(reader, &reads));
    Ok(writer)
}

fn drain(mut reader: PipeReader, reads: &AtomicBool) {
    let mut buffer = vec![0; BUFFER];
    loop {
        if !reads.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        } else if matches!(reader.read(&mut buffer), Ok(0) | Err(_)) {
            return;
        }
    }
}
