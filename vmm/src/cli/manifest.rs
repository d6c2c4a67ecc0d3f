//! The TOML files that users write: how one is read at all, and the name in the manifest of a
//! project. What is built from a project is for the script that builds it.

use std::io::{self, Read};
use std::path::Path;

/// Longest file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The text of a file that is no longer than such a file may be, whatever kind of file it is.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let what = format!("expected at most {MAX_FILE_BYTES} bytes; found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

/// A text at the top of a project's manifest.
pub fn text(manifest: &str, key: &str) -> Option<String> {
    let whole: toml::Table = manifest.parse().ok()?;
    Some(whole.get(key)?.as_str()?.to_owned())
}

/// The name in a project's manifest: at its top, or in one of its tables.
pub fn name(text: &str, table: Option<&str>) -> Option<String> {
    let whole: toml::Table = text.parse().ok()?;
    let holder = match table {
        Some(table) => whole.get(table)?.as_table()?,
        None => &whole,
    };
    Some(holder.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
