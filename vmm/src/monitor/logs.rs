//! What functions print and log: the last lines of each, in memory, and whoever follows them.
//!
//! A [`Log`] belongs to one function of one tenant and goes with it. It is reached through that
//! function alone, never by a name, so that a later tenant or function of the same name finds
//! nothing in its own.
//!
//! A function may log so much at once, and so much a second. What is over is dropped before
//! anything is made of it, and counted; the log itself says how many lines it lacks.

mod rate;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::lock::lock;
use crate::api::LogRecord;
use rate::Rate;

/// Lines kept for each function, and the most that it may log at once.
pub const MAX_LINES: usize = 1000;
/// Bytes of text kept for each function, and the most that it may log at once.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// Lines that a function may go on logging every second.
const LINES_A_SECOND: u64 = 200;
/// Bytes of text that a function may go on logging every second.
const BYTES_A_SECOND: u64 = 256 << 10;
/// How often a log says that lines were dropped, while they are.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Records that a follower gets at a time.
const MAX_RECORDS_AT_ONCE: usize = 100;

/// The log of one function.
#[derive(Debug)]
pub struct Log {
    function: String,
    inner: Mutex<Inner>,
    /// Place of the last record; tells followers that there is more.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    records: VecDeque<LogRecord>,
    bytes: usize,
    last: u64,
    lines: Rate,
    text: Rate,
    /// Lines dropped since the log last said so, and when that was.
    dropped: u64,
    noted: Option<Instant>,
}

impl Log {
    /// An empty log.
    pub fn new(function: &str) -> Self {
        let now = Instant::now();
        let inner = Inner {
            records: VecDeque::new(),
            bytes: 0,
            last: 0,
            lines: Rate::new(MAX_LINES as u64, LINES_A_SECOND, now),
            text: Rate::new(MAX_TEXT_BYTES as u64, BYTES_A_SECOND, now),
            dropped: 0,
            noted: None,
        };
        let changed = watch::Sender::new(0);
        Self { function: function.to_owned(), inner: Mutex::new(inner), changed }
    }

    /// Keeps a line, or counts it as dropped.
    pub fn push(&self, call: &[u8; 16], level: u8, text: &[u8], now: Instant) {
        let mut inner = lock(&self.inner);
        if !inner.may_log(text.len(), now) {
            inner.dropped += 1;
            return;
        }
        inner.note(&self.function, now);
        let mut record = record(&self.function, level_name(level), String::from_utf8_lossy(text));
        record.call = call.iter().map(|byte| format!("{byte:02x}")).collect();
        inner.keep(record);
        self.changed.send_replace(inner.last);
    }

    /// The last records, oldest first.
    pub fn last(&self, lines: usize, now: Instant) -> Vec<LogRecord> {
        let mut inner = lock(&self.inner);
        inner.note(&self.function, now);
        let skipped = inner.records.len().saturating_sub(lines);
        inner.records.iter().skip(skipped).cloned().collect()
    }

    /// Some records after a place, oldest first; one more, at the front, for those that went unread.
    fn after(&self, seen: u64, now: Instant) -> Vec<LogRecord> {
        let mut inner = lock(&self.inner);
        inner.note(&self.function, now);
        let new = inner.records.iter().filter(|record| record.sequence > seen);
        let mut new: Vec<_> = new.take(MAX_RECORDS_AT_ONCE).cloned().collect();
        let first = new.first().map_or(seen + 1, |record| record.sequence);
        if first > seen + 1 {
            let text = format!("{} lines were gone before they were read", first - seen - 1);
            new.insert(
                0,
                LogRecord { sequence: first - 1, ..record(&self.function, "warn", text) },
            );
        }
        new
    }

    /// Follows it from behind the record at `seen`. The follower keeps no log alive.
    pub fn follow(self: &Arc<Self>, seen: u64) -> Follower {
        Follower { log: Arc::downgrade(self), changed: self.changed.subscribe(), seen }
    }
}

/// Somebody who reads a log as it grows.
#[derive(Debug)]
pub struct Follower {
    log: Weak<Log>,
    changed: watch::Receiver<u64>,
    seen: u64,
}

impl Follower {
    /// The next records; nothing when the function has gone.
    pub async fn next(&mut self) -> Option<Vec<LogRecord>> {
        loop {
            let new = self.log.upgrade()?.after(self.seen, Instant::now());
            if let Some(last) = new.last() {
                self.seen = last.sequence;
                return Some(new);
            }
            // Lines that are dropped change nothing: they are looked for.
            if let Ok(Err(_)) = tokio::time::timeout(NOTE_EVERY, self.changed.changed()).await {
                return None;
            }
        }
    }
}

impl Inner {
    fn may_log(&mut self, bytes: usize, now: Instant) -> bool {
        self.lines.has(1, now) && self.text.take(bytes as u64, now) && self.lines.take(1, now)
    }

    /// Says how many lines were dropped, if some were and it is time to.
    fn note(&mut self, function: &str, now: Instant) {
        let waits = self.noted.is_some_and(|noted| now.duration_since(noted) < NOTE_EVERY);
        if self.dropped == 0 || waits {
            return;
        }
        self.noted = Some(now);
        let dropped = std::mem::take(&mut self.dropped);
        let text = format!(
            "{dropped} lines dropped: expected at most {MAX_LINES} lines and {MAX_TEXT_BYTES} \
             bytes at once, and {LINES_A_SECOND} lines and {BYTES_A_SECOND} bytes a second"
        );
        self.keep(record(function, "warn", text));
    }

    fn keep(&mut self, mut record: LogRecord) {
        self.last += 1;
        record.sequence = self.last;
        self.bytes += record.text.len();
        self.records.push_back(record);
        while self.records.len() > MAX_LINES || self.bytes > MAX_TEXT_BYTES {
            let Some(gone) = self.records.pop_front() else { break };
            self.bytes -= gone.text.len();
        }
    }
}

/// A record of no call, without a place.
fn record(function: &str, level: &str, text: impl Into<String>) -> LogRecord {
    #[allow(clippy::disallowed_methods, reason = "lines of a log have a date, for people")]
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis());
    LogRecord {
        sequence: 0,
        unix_ms: unix_ms as u64,
        function: function.to_owned(),
        call: String::new(),
        level: level.to_owned(),
        text: text.into(),
    }
}

fn level_name(level: u8) -> &'static str {
    match level {
        0 => "error",
        1 => "warn",
        2 => "info",
        _ => "debug",
    }
}
