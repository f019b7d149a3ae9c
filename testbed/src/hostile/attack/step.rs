//! What a hostile connection does, step by step. The same words serve clients and servers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for a first byte.
const FIRST: Duration = Duration::from_secs(1);
/// Bytes read at once.
const BUFFER: usize = 16 << 10;

/// One thing that a connection does.
#[derive(Clone, Debug)]
pub(in crate::hostile) enum Step {
    /// Writes these bytes; waits while they are not taken.
    Send(Vec<u8>),
    /// Writes them so often, without a pause.
    Repeat(Vec<u8>, usize),
    /// Writes one byte at a time, with a pause after each.
    Trickle(Vec<u8>, Duration),
    /// Waits until something comes.
    Await,
    /// Reads until the other side closes, or nothing comes for so long.
    Read(Duration),
    /// Does nothing for a while.
    Pause(Duration),
    /// Closes its own direction.
    HalfClose,
    /// Ends with a reset.
    Reset,
    /// Neither reads nor writes until the attack is over.
    Hold,
}

/// Bytes from a number: the same each time.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// A connection of any family.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Makes its end a reset, where there is one.
    fn reset(&self) {}
}

impl Stream for TcpStream {
    fn reset(&self) {
        // Unsent data is thrown away, and the other side is told by a reset.
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Stream for tokio::net::UnixStream {}

/// Takes the steps, one after the other. An error is the other side's way of ending it.
pub(super) async fn take(stream: &mut dyn Stream, steps: &[Step]) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(bytes).await?,
            Step::Repeat(bytes, count) => {
                for _ in 0..*count {
                    stream.write_all(bytes).await?;
                }
            }
            Step::Trickle(bytes, every) => {
                for byte in bytes {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(*every).await;
                }
            }
            Step::Await => {
                let mut buffer = [0; 1_024];
                let first = tokio::time::timeout(FIRST, stream.read(&mut buffer)).await;
                if matches!(first, Ok(Ok(0))) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Step::Read(idle) => {
                let mut buffer = vec![0; BUFFER];
                while let Ok(Ok(1..)) = tokio::time::timeout(*idle, stream.read(&mut buffer)).await {}
            }
            Step::Pause(length) => tokio::time::sleep(*length).await,
            Step::HalfClose => stream.shutdown().await?,
            Step::Reset => {
                stream.reset();
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Step::Hold => std::future::pending::<()>().await,
        }
    }
    Ok(())
}
