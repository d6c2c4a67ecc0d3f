//! What functions print and log: the last lines of each, in memory, and whoever follows them.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast;

use super::lock::lock;
use crate::api::LogRecord;

/// Lines kept for each function.
pub const MAX_LINES: usize = 1000;
/// Bytes of text kept for each function.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// Lines that a follower may lag behind before it misses some.
const MAX_FOLLOWER_LAG: usize = 1024;

/// The log of all functions of all tenants.
#[derive(Debug)]
pub struct Logs {
    functions: Mutex<HashMap<(String, String), Log>>,
    live: broadcast::Sender<(String, LogRecord)>,
}

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<LogRecord>,
    bytes: usize,
    next: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Self { functions: Mutex::default(), live: broadcast::channel(MAX_FOLLOWER_LAG).0 }
    }
}

impl Logs {
    /// Keeps a line.
    pub fn push(&self, tenant: &str, function: &str, call: &[u8; 16], level: u8, text: &[u8]) {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis());
        let mut functions = lock(&self.functions);
        let log = functions.entry((tenant.to_owned(), function.to_owned())).or_default();
        log.next += 1;
        let record = LogRecord {
            sequence: log.next,
            unix_ms: unix_ms as u64,
            function: function.to_owned(),
            call: call.iter().map(|byte| format!("{byte:02x}")).collect(),
            level: level_name(level).to_owned(),
            text: String::from_utf8_lossy(text).into_owned(),
        };
        log.push(record.clone());
        drop(functions);
        // Nobody may be following.
        let _ = self.live.send((tenant.to_owned(), record));
    }

    /// The last lines of a function, oldest first.
    pub fn last(&self, tenant: &str, function: &str, lines: usize) -> Vec<LogRecord> {
        let functions = lock(&self.functions);
        let Some(log) = functions.get(&(tenant.to_owned(), function.to_owned())) else {
            return Vec::new();
        };
        log.lines.iter().skip(log.lines.len().saturating_sub(lines)).cloned().collect()
    }

    /// Lines of all functions from now on, with their tenant.
    pub fn follow(&self) -> broadcast::Receiver<(String, LogRecord)> {
        self.live.subscribe()
    }

    /// Forgets a function.
    pub fn forget(&self, tenant: &str, function: &str) {
        let mut functions = lock(&self.functions);
        functions.remove(&(tenant.to_owned(), function.to_owned()));
    }
}

impl Log {
    fn push(&mut self, record: LogRecord) {
        self.bytes += record.text.len();
        self.lines.push_back(record);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_TEXT_BYTES {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes -= gone.text.len();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_floods_its_log_keeps_its_last_lines_and_nothing_else() {
        let logs = Logs::default();
        for number in 0..MAX_LINES + 10 {
            logs.push("t", "f", &[0; 16], 2, number.to_string().as_bytes());
        }
        let kept = logs.last("t", "f", usize::MAX);
        assert_eq!(kept.len(), MAX_LINES);
        assert_eq!(kept[0].sequence, 11);
        logs.push("t", "f", &[0; 16], 2, &vec![b'x'; MAX_TEXT_BYTES]);
        assert_eq!(logs.last("t", "f", usize::MAX).len(), 1);
        assert!(logs.last("other", "f", 10).is_empty());
    }
}
