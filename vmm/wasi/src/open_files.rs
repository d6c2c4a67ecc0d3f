//! The descriptors that an image holds: what was open at the end of a bake.
//!
//! What it is: a list of descriptors by name, with its bytes in an image. What it is not: open
//! files; a fork reopens each of them when it first uses it.
//!
//! ```text
//! u32 numbers   one more than the highest number ever given out
//! u32 count
//! count times, by rising number:
//!   u32 number
//!   u8  kind         0 input, 1 output, 2 error, 3 folder, 4 file, 5 directory
//!   u8  flags        1 read, 2 write, 4 append, 8 nonblock
//!   u16 reserved     0
//!   u64 offset       of a file
//!   u32 folder_len
//!   u32 path_len
//!   folder_len bytes guest path of the granted folder, UTF-8
//!   path_len bytes   path beneath it, UTF-8
//! ```
//!
//! All numbers are little-endian.

use thiserror::Error;

use crate::config::{MAX_FDS, MAX_STRINGS_BYTES};
use crate::console::Stdio;
use crate::memory::{MAX_PATH_BYTES, le_u32, le_u64};

const HEAD_BYTES: usize = 8;
const ENTRY_BYTES: usize = 24;

const READ: u8 = 1;
const WRITE: u8 = 2;
const APPEND: u8 = 4;
const NONBLOCK: u8 = 8;

/// What was open at the end of a bake. The default is a Faaslet that has no folders and touched
/// no descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// One more than the highest number ever given out, so that a fork gives out the same next.
    pub(crate) numbers: u32,
    /// Invariant: by rising number, each below `numbers`.
    pub(crate) files: Vec<OpenFile>,
}

/// One open descriptor, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// Its number.
    pub number: u32,
    /// What it stands for.
    pub what: Opened,
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A standard stream.
    Stdio(Stdio),
    /// A granted folder, by its guest path.
    Folder(String),
    /// A file or directory that was opened beneath a granted folder.
    Beneath {
        /// Guest path of the granted folder.
        folder: String,
        /// Path beneath it.
        path: String,
        /// How it was opened.
        mode: Mode,
        /// Whether it is a directory.
        directory: bool,
        /// Position of the next read or write.
        offset: u64,
    },
}

/// How a file is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "four flags that are independent")]
pub struct Mode {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// Asked not to block; only reported.
    pub nonblock: bool,
}

/// Why open descriptors cannot be part of an image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotSnapshottable {
    /// Its path leads nowhere now, as after a deletion.
    #[error(
        "descriptor {number} ({path}) cannot be part of an image, its path no longer opens ({reason}): close it before the initialisation ends"
    )]
    Gone {
        /// The descriptor.
        number: u32,
        /// Its path, as the guest sees it.
        path: String,
        /// What opening it says.
        reason: String,
    },
    /// Its path leads to another file now, as after a rename.
    #[error(
        "descriptor {number} ({path}) cannot be part of an image, its path now leads to another file: close it before the initialisation ends"
    )]
    Changed {
        /// The descriptor.
        number: u32,
        /// Its path, as the guest sees it.
        path: String,
    },
    /// Its path is longer than a path may be.
    #[error(
        "descriptor {number} (beneath {folder}) cannot be part of an image, its path has {max} bytes or more: open it from a folder nearer to it"
    )]
    PathTooLong {
        /// The descriptor.
        number: u32,
        /// Guest path of the granted folder.
        folder: String,
        /// Where a path ends.
        max: u32,
    },
}

/// Why bytes are no list of open descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the image's list of open files is damaged at byte {at} ({what}): bake the function again")]
pub struct DecodeError {
    /// Where.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl OpenFiles {
    /// The descriptors, by rising number.
    #[must_use]
    pub fn files(&self) -> &[OpenFile] {
        &self.files
    }

    /// The bytes that an image holds.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.files.len() * ENTRY_BYTES);
        bytes.extend(self.numbers.to_le_bytes());
        bytes.extend((self.files.len() as u32).to_le_bytes());
        for file in &self.files {
            file.encode(&mut bytes);
        }
        bytes
    }

    /// Reads what [`OpenFiles::encode`] wrote; the bytes are not trusted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, at: 0 };
        let head = reader.take(HEAD_BYTES)?;
        let (numbers, count) = (le_u32(head, 0), le_u32(head, 4));
        if numbers as usize > MAX_FDS || count > numbers {
            return Err(reader.wrong("more descriptors than a Faaslet may have"));
        }
        let mut files: Vec<OpenFile> = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let file = reader.file()?;
            let rises = files.last().is_none_or(|last| last.number < file.number);
            if !rises || file.number >= numbers {
                return Err(reader.wrong("descriptor numbers out of order"));
            }
            files.push(file);
        }
        let list = Self { numbers, files };
        // One list has one form, so nothing can hide in bytes that no entry uses.
        if list.encode() == bytes { Ok(list) } else { Err(reader.wrong("unused bytes are set")) }
    }

    /// Whether the standard streams are where a fresh Faaslet has them.
    pub(crate) fn stdio_in_place(&self) -> bool {
        let expected = [Stdio::Input, Stdio::Output, Stdio::Error];
        let mut pairs = (0..).zip(expected).zip(&self.files);
        self.files.len() >= expected.len()
            && pairs.all(|((number, stream), file)| {
                file.number == number && file.what == Opened::Stdio(stream)
            })
    }
}

impl OpenFile {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let none = (Mode::default(), 0, "", "");
        let (kind, (mode, offset, folder, path)) = match &self.what {
            Opened::Stdio(Stdio::Input) => (0, none),
            Opened::Stdio(Stdio::Output) => (1, none),
            Opened::Stdio(Stdio::Error) => (2, none),
            Opened::Folder(folder) => (3, (Mode::default(), 0, folder.as_str(), "")),
            Opened::Beneath { folder, path, mode, directory, offset } => {
                (if *directory { 5 } else { 4 }, (*mode, *offset, folder.as_str(), path.as_str()))
            }
        };
        bytes.extend(self.number.to_le_bytes());
        bytes.extend([kind, mode.bits(), 0, 0]);
        bytes.extend(offset.to_le_bytes());
        bytes.extend((folder.len() as u32).to_le_bytes());
        bytes.extend((path.len() as u32).to_le_bytes());
        bytes.extend(folder.as_bytes());
        bytes.extend(path.as_bytes());
    }
}

impl Mode {
    fn bits(self) -> u8 {
        let flags = [(self.read, READ), (self.write, WRITE), (self.append, APPEND)];
        let nonblock = if self.nonblock { NONBLOCK } else { 0 };
        flags.iter().filter(|(set, _)| *set).fold(nonblock, |bits, (_, bit)| bits | bit)
    }

    fn from_bits(bits: u8) -> Option<Self> {
        (bits & !(READ | WRITE | APPEND | NONBLOCK) == 0).then_some(Self {
            read: bits & READ != 0,
            write: bits & WRITE != 0,
            append: bits & APPEND != 0,
            nonblock: bits & NONBLOCK != 0,
        })
    }
}

/// Bytes that are not trusted, and how far they are read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> DecodeError {
        DecodeError { at: self.at, what }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or_else(|| self.wrong("it ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    fn text(&mut self, len: u32, max: usize) -> Result<String, DecodeError> {
        if len as usize > max {
            return Err(self.wrong("a path longer than a path may be"));
        }
        let bytes = self.take(len as usize)?;
        let text = str::from_utf8(bytes).map_err(|_| self.wrong("a path that is not UTF-8"))?;
        Ok(text.to_owned())
    }

    fn file(&mut self) -> Result<OpenFile, DecodeError> {
        let head = self.take(ENTRY_BYTES)?;
        let (number, kind) = (le_u32(head, 0), head[4]);
        let mode = Mode::from_bits(head[5]).ok_or_else(|| self.wrong("unknown flags"))?;
        let offset = le_u64(head, 8);
        let folder = self.text(le_u32(head, 16), MAX_STRINGS_BYTES)?;
        let path = self.text(le_u32(head, 20), MAX_PATH_BYTES as usize)?;
        let what = match kind {
            0 => Opened::Stdio(Stdio::Input),
            1 => Opened::Stdio(Stdio::Output),
            2 => Opened::Stdio(Stdio::Error),
            3 => Opened::Folder(folder),
            4 | 5 => Opened::Beneath { folder, path, mode, directory: kind == 5, offset },
            _ => return Err(self.wrong("unknown kind of descriptor")),
        };
        Ok(OpenFile { number, what })
    }
}
