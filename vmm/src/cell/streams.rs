//! The streams of one call: its input, its output, and what it prints.

use std::io::{IsTerminal, Read, Write};
use std::sync::atomic::AtomicI32;

use faaslet_wasi::{Console, Errno, Lines, Stdio};

use super::exchange::Exchange;

/// Level of a printed line in the log.
const PRINTED: u8 = faaslet_abi::Level::Info as u8;
/// Level of a line printed to the error stream.
const PRINTED_ERROR: u8 = faaslet_abi::Level::Warn as u8;

/// A call whose streams are those of this process, as `faaslet run` has it; never in a cell.
#[derive(Debug, Default)]
pub struct Direct {
    /// What the program ended with.
    pub status: AtomicI32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Streams {
    /// What the caller sent.
    pub(crate) input: Vec<u8>,
    /// What the caller gets.
    pub(crate) output: Vec<u8>,
    /// Most bytes of `output`.
    limit: usize,
    /// How much of `input` was read as a stream.
    read: usize,
    /// The standard output is the output; otherwise it goes to the log.
    command: bool,
    /// Made when the first line is printed.
    lines: Option<Box<[Lines; 2]>>,
    exchange: Exchange,
    /// The streams of this process are used.
    direct: bool,
}

impl Streams {
    /// Streams over `input`, with an output of at most `limit` bytes.
    pub(crate) fn new(input: Vec<u8>, limit: usize, command: bool, exchange: Exchange) -> Self {
        Self {
            input,
            output: Vec::new(),
            limit,
            read: 0,
            command,
            lines: None,
            exchange,
            direct: false,
        }
    }

    /// The same over the streams of this process.
    pub(crate) fn direct(mut self, direct: bool) -> Self {
        self.direct = direct;
        self
    }

    /// Prints to this process; what a function prints beside its output is no output.
    fn print_directly(&self, stream: Stdio, bytes: &[u8]) -> std::io::Result<()> {
        if stream == Stdio::Output && self.command {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes)?;
            return out.flush();
        }
        std::io::stderr().lock().write_all(bytes)
    }

    /// Most bytes of the output.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Ends lines that were left open; the call is over.
    pub(crate) fn finish(&mut self) {
        for lines in self.lines.iter_mut().flat_map(|lines| lines.iter_mut()) {
            lines.finish();
        }
        self.log();
    }

    fn log(&mut self) {
        let Some(lines) = &mut self.lines else { return };
        for (lines, level) in lines.iter_mut().zip([PRINTED, PRINTED_ERROR]) {
            while let Some(line) = lines.pop() {
                self.exchange.desk().log(level, line.as_bytes());
            }
        }
    }
}

impl Console for Streams {
    fn read_input(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.direct && self.command {
            return std::io::stdin().lock().read(buf).map_err(|_| Errno::Io);
        }
        let rest = &self.input[self.read..];
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }

    fn print(&mut self, stream: Stdio, bytes: &[u8]) -> Result<(), Errno> {
        if self.direct {
            return self.print_directly(stream, bytes).map_err(|_| Errno::Io);
        }
        if stream == Stdio::Output && self.command {
            if bytes.len() > self.limit - self.output.len() {
                return Err(Errno::Nospc);
            }
            self.output.extend_from_slice(bytes);
            return Ok(());
        }
        let lines = self.lines.get_or_insert_default();
        lines[usize::from(stream == Stdio::Error)].push(bytes);
        self.log();
        Ok(())
    }

    fn is_terminal(&self, stream: Stdio) -> bool {
        self.direct
            && match stream {
                Stdio::Input => std::io::stdin().is_terminal(),
                Stdio::Output => std::io::stdout().is_terminal(),
                Stdio::Error => std::io::stderr().is_terminal(),
            }
    }

    fn note(&mut self, line: &str) {
        self.exchange.desk().log(PRINTED_ERROR, line.as_bytes());
    }
}
