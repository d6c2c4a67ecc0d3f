//! Reading a file that a descriptor names, from its start.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The whole of `file`, whatever its position.
pub(crate) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length =
        usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
