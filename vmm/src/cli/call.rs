//! `call`: one call of a function, over QUIC.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::ValueEnum;
use faaslet_net::client::{CallError, CallOptions};
use faaslet_net::{Mode as NetMode, Refusal, Reply};
use serde_json::json;

use super::client::connect_failure;
use super::exit::{Code, Failure};
use super::output::{duration, write_bytes};
use super::{Context, parse};
use crate::cell::Mode;

/// Longest input of a call.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// Call a function: its output goes to standard output.
#[derive(Debug, clap::Args)]
pub struct Call {
    /// The function
    name: String,
    /// The input
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file", allow_hyphen_values = true)]
    data: Option<String>,
    /// A file with the input; `-` is standard input
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// How long to wait [default: the function's own limit]
    #[arg(long, value_parser = parse::time)]
    timeout: Option<Duration>,
    /// The way into the function [default: as it was deployed]
    #[arg(long)]
    mode: Option<CliMode>,
    /// What to show
    #[arg(short, long, default_value = "raw")]
    output: Form,
}

/// A mode on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CliMode {
    /// From the image
    Fork,
    /// Initialised for the call
    Fresh,
}

impl From<CliMode> for Mode {
    fn from(mode: CliMode) -> Self {
        match mode {
            CliMode::Fork => Self::Fork,
            CliMode::Fresh => Self::Fresh,
        }
    }
}

/// How the output of a call is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The bytes of it
    Raw,
    /// The output with its times
    Json,
}

impl Call {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let input = self.input()?;
        let client = context.target.quic()?;
        let options = CallOptions {
            mode: match self.mode {
                None => NetMode::Default,
                Some(CliMode::Fork) => NetMode::Fork,
                Some(CliMode::Fresh) => NetMode::Fresh,
            },
            deadline: self.timeout,
            ..CallOptions::default()
        };
        let started = std::time::Instant::now();
        let reply = client.call_with(&self.name, input, options);
        let reply = reply.map_err(|error| failure(&error))?;
        let took = started.elapsed();
        if context.output.json || self.output == Form::Json {
            return context
                .output
                .show(&described(&reply, took), || described(&reply, took).to_string());
        }
        write_bytes(&reply.payload)?;
        if std::io::stdout().is_terminal()
            && reply.payload.last().is_some_and(|last| *last != b'\n')
        {
            write_bytes(b"\n")?;
        }
        tracing::debug!(run = duration(reply.timings.run), "answered");
        Ok(())
    }

    fn input(&self) -> Result<Vec<u8>, Failure> {
        if let Some(data) = &self.data {
            return Ok(data.clone().into_bytes());
        }
        let stdin = self.file.as_ref().is_some_and(|file| file.as_os_str() == "-");
        match &self.file {
            Some(path) if !stdin => {
                let file = std::fs::File::open(path).map_err(|error| {
                    Failure::local(format!("cannot read {}", path.display()), error)
                })?;
                bounded(file, &path.display().to_string())
            }
            None if std::io::stdin().is_terminal() => Ok(Vec::new()),
            _ => bounded(std::io::stdin().lock(), "standard input"),
        }
    }
}

fn bounded(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::local(format!("cannot read {name}"), error))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        let what = format!(
            "expected an input of at most {MAX_INPUT_BYTES} bytes; {name} has more; send a smaller one"
        );
        return Err(Failure::new(Code::Refused, what));
    }
    Ok(bytes)
}

fn described(reply: &Reply, took: Duration) -> serde_json::Value {
    let output = match std::str::from_utf8(&reply.payload) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(&reply.payload) }),
    };
    json!({
        "output": output,
        "bytes": reply.payload.len(),
        "run_us": reply.timings.run.as_nanos() as f64 / 1000.0,
        "round_trip_us": took.as_nanos() as f64 / 1000.0,
    })
}

/// A failed call as a command shows it.
fn failure(error: &CallError) -> Failure {
    let code = match error {
        CallError::Failed { .. } | CallError::Trapped { .. } => Code::Function,
        CallError::TimedOut { .. } | CallError::Refused { refusal: Refusal::Deadline, .. } => {
            Code::TimedOut
        }
        CallError::Lost { .. } | CallError::Unknown { .. } => Code::Lost,
        CallError::Connect(error) => return connect_failure(error),
        CallError::Refused { refusal: Refusal::Unauthorised, .. } => Code::Unreachable,
        CallError::Refused { .. } | CallError::NotSent(_) | CallError::Closed => Code::Refused,
    };
    Failure::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_fail_has_its_exit_code() {
        let message = || "m".to_owned();
        let table = [
            (CallError::Failed { message: message() }, Code::Function),
            (CallError::Trapped { message: message() }, Code::Function),
            (CallError::TimedOut { message: message() }, Code::TimedOut),
            (CallError::Lost { message: message() }, Code::Lost),
            (CallError::Unknown { reason: message() }, Code::Lost),
            (CallError::Closed, Code::Refused),
        ];
        for (error, code) in table {
            assert_eq!(failure(&error).code, code, "{error}");
        }
    }

    #[test]
    fn an_input_over_the_limit_is_refused_before_it_is_sent() {
        let endless = std::io::repeat(7);
        assert_eq!(bounded(endless, "it").unwrap_err().code, Code::Refused);
        assert_eq!(bounded(&b"abc"[..], "it"), Ok(b"abc".to_vec()));
    }
}
