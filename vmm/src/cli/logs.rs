//! `logs`: what functions print and log.

use std::io::{BufRead, BufReader};

use ureq::http::Method;

use super::Context;
use super::client::Right;
use super::exit::Failure;
use super::output::write_all;
use crate::api::LogRecord;

/// Show what functions print and log.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The function
    name: String,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Lines to begin with
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
}

impl Logs {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let path =
            format!("/v1/functions/{}/logs?lines={}&follow={}", self.name, self.lines, self.follow);
        let lines = BufReader::new(client.stream(Method::GET, &path, None::<&()>)?).lines();
        for line in lines {
            let line = line.map_err(|error| Failure::local("the log ended", error))?;
            if context.output.json {
                write_all(&format!("{line}\n"))?;
                continue;
            }
            let record: LogRecord = serde_json::from_str(&line)
                .map_err(|error| Failure::local("the monitor sent no log line", error))?;
            write_all(&text(&record))?;
        }
        Ok(())
    }
}

fn text(record: &LogRecord) -> String {
    let seconds = record.unix_ms / 1000 % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let ms = record.unix_ms % 1000;
    let call: String = record.call.chars().take(8).collect();
    format!(
        "{hour:02}:{minute:02}:{second:02}.{ms:03} {:5} {call:8} {}\n",
        record.level,
        printable(&record.text)
    )
}

/// A function's text without what would command the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_command_the_terminal() {
        let record = LogRecord {
            sequence: 1,
            unix_ms: 3_723_004,
            function: "f".into(),
            call: "00112233445566778899aabbccddeeff".into(),
            level: "warn".into(),
            text: "a\u{1b}[2Jb".into(),
        };
        assert_eq!(text(&record), "01:02:03.004 warn  00112233 a\u{fffd}[2Jb\n");
    }
}
