//! The three standard streams: what the guest reads as its input, and where its prints go.

use std::collections::VecDeque;

use crate::abi::Errno;

/// One of the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Descriptor 0 of a fresh Faaslet.
    Input,
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

/// What stands behind the standard streams; the cell implements it.
pub trait Console {
    /// Copies the next input bytes into `buf` and returns how many; 0 is the end of the input.
    fn read_input(&mut self, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Takes what the guest prints to `Output` or `Error`. All of it, or an error number.
    fn print(&mut self, stream: Stdio, bytes: &[u8]) -> Result<(), Errno>;
    /// Takes a line that this crate has to say to the function's author.
    fn note(&mut self, line: &str);
    /// Whether a person sits at the other end.
    fn is_terminal(&self, stream: Stdio) -> bool {
        let _ = stream;
        false
    }
}

/// Longest line that [`Lines`] keeps; the rest of a longer one is a line of its own.
pub const MAX_LINE_BYTES: usize = 8 << 10;
/// Most lines that [`Lines`] holds until they are taken.
pub const MAX_HELD_LINES: usize = 1024;

/// Cuts what a guest prints into lines, bounded in length and number.
#[derive(Debug, Default)]
pub struct Lines {
    /// Invariant: shorter than [`MAX_LINE_BYTES`] and without a line end.
    partial: Vec<u8>,
    /// Invariant: at most [`MAX_HELD_LINES`].
    whole: VecDeque<String>,
    dropped: u64,
}

impl Lines {
    /// Takes printed bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.partial.len();
            let end = bytes.iter().take(room).position(|&byte| byte == b'\n');
            let take = end.unwrap_or_else(|| bytes.len().min(room));
            self.partial.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take + usize::from(end.is_some())..];
            if end.is_some() || self.partial.len() == MAX_LINE_BYTES {
                self.finish_line();
            }
        }
    }

    /// Ends the last line if it was left open, as when the call is over.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.finish_line();
        }
    }

    /// The oldest whole line.
    pub fn pop(&mut self) -> Option<String> {
        self.whole.pop_front()
    }

    /// How many lines found no room since the last time this was asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn finish_line(&mut self) {
        if self.whole.len() < MAX_HELD_LINES {
            self.whole.push_back(String::from_utf8_lossy(&self.partial).into_owned());
        } else {
            self.dropped += 1;
        }
        self.partial.clear();
    }
}

/// A console over bytes in memory: input given beforehand, output kept up to a bound, errors and
/// notes as lines.
#[derive(Debug, Default)]
pub struct Captured {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    max_output_bytes: usize,
    lines: Lines,
}

impl Captured {
    /// A console that reads `input` and keeps at most `max_output_bytes` of output.
    #[must_use]
    pub fn new(input: Vec<u8>, max_output_bytes: usize) -> Self {
        Self { input, max_output_bytes, ..Self::default() }
    }

    /// What was printed to the output.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// What was printed to the error stream, and notes.
    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }
}

impl Console for Captured {
    fn read_input(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let rest = &self.input[self.read..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }

    fn print(&mut self, stream: Stdio, bytes: &[u8]) -> Result<(), Errno> {
        if stream == Stdio::Error {
            self.lines.push(bytes);
            return Ok(());
        }
        if bytes.len() > self.max_output_bytes - self.output.len() {
            return Err(Errno::Nospc);
        }
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    fn note(&mut self, line: &str) {
        self.lines.finish();
        self.lines.push(line.as_bytes());
        self.lines.finish();
    }
}
