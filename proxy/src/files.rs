//! Files that are read while a configuration is: regular ones, up to a size. Anything else could make the process that
//! reads wait for ever (a FIFO, a terminal) or fill it (a device).

use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Major and minor number of `/dev/null`, which stands for an empty file in many configurations.
const NULL: (u32, u32) = (1, 3);

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// It cannot be opened or read, is no regular file, or is larger; in words that follow the file's name.
pub fn read_regular(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    // Opening a FIFO waits for its other end without this.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, OFlags::RDONLY | flags, Mode::empty()).map(std::fs::File::from);
    let file = file.map_err(|e| std::io::Error::from(e).to_string())?;
    let about = file.metadata().map_err(|e| e.to_string())?;
    let kind = about.file_type();
    let device = rustix::fs::major(about.rdev()) == NULL.0 && rustix::fs::minor(about.rdev()) == NULL.1;
    if kind.is_char_device() && device {
        return Ok(Vec::new());
    }
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a FIFO",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Err(format!("it is {what}, and a regular file is expected"));
    }
    let too_large = |size: u64| format!("it has {size} bytes, the limit is {most}");
    if about.len() > most {
        return Err(too_large(about.len()));
    }
    // What grows while it is read, or hides its size, is held to the same.
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let size = bytes.len() as u64;
    if size > most { Err(too_large(size)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn files_that_are_no_regular_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, large) = (folder.path().join("fifo"), folder.path().join("large"));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::fs::write(&large, "123456789").unwrap();
        let read = |path: &Path| read_regular(path, 8);
        assert_eq!(read(&fifo), Err("it is a FIFO, and a regular file is expected".to_owned()));
        assert_eq!(read(folder.path()), Err("it is a folder, and a regular file is expected".to_owned()));
        assert_eq!(
            read(Path::new("/dev/zero")),
            Err("it is a device, and a regular file is expected".to_owned())
        );
        assert_eq!(read(&large), Err("it has 9 bytes, the limit is 8".to_owned()));
        assert_eq!(read_regular(&large, 9), Ok(b"123456789".to_vec()));
        // A file of /proc says that it is empty.
        let endless = read(Path::new("/proc/self/status"));
        assert_eq!(endless, Err("it has 9 bytes, the limit is 8".to_owned()));
        assert_eq!(read(Path::new("/dev/null")), Ok(Vec::new()));
    }
}
