//! Names of a list.

use super::{Cursor, PayloadError};

/// Appends a name of at most `u16::MAX` bytes; a longer one is cut nowhere but left out.
pub fn write_name(out: &mut Vec<u8>, name: &str) {
    if let Ok(len) = u16::try_from(name.len()) {
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
}

/// The names, in order. Ends after the first error.
pub fn names(bytes: &[u8]) -> impl Iterator<Item = Result<&str, PayloadError>> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        if cursor.left.is_empty() {
            return None;
        }
        let read = read(&mut cursor);
        if read.is_err() {
            cursor.left = &[];
        }
        Some(read)
    })
}

fn read<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, PayloadError> {
    let len = u16::from_le_bytes(cursor.array("the length of a name")?);
    let start = *cursor;
    let name = cursor.take(usize::from(len), "a name")?;
    std::str::from_utf8(name)
        .map_err(|error| start.wrong("a name in UTF-8", error.valid_up_to() as u64))
}
