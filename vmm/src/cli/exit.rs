//! Exit codes, and errors as the command line shows them.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;

/// What a command ends with. The numbers are documented and stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The function failed or trapped; or what was to be verified is damaged.
    Function = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No monitor there, or it does not let us in.
    Unreachable = 3,
    /// The monitor refused: there is no such thing, a limit, a module that is none.
    Refused = 4,
    /// A deadline passed.
    TimedOut = 5,
    /// The call may have run: its cell or the connection was lost.
    Lost = 6,
    /// Something of this machine failed: a file, a port, a build.
    Local = 7,
}

/// The table of exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  the function failed or trapped, or an image is damaged
  2  the command line is wrong
  3  the monitor cannot be reached, or does not let us in
  4  the monitor refused: no such function, a limit, a module that is none
  5  a deadline passed
  6  the call may have run, its answer was lost
  7  something of this machine failed: a file, a port, a build
`run` of a WASI command ends with the program's own status.";

/// Why a command did not work.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the command ends with.
    pub code: Code,
    /// What was expected, what was found, what to do.
    pub message: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Something of this machine failed.
    pub fn local(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Code::Local, format!("{what}: {error}"))
    }

    /// Shows it on standard error.
    pub fn show(&self, json: bool) -> ExitCode {
        if json {
            let code = self.code as u8;
            eprintln!("{}", json!({ "error": { "code": code, "message": self.message } }));
        } else {
            eprintln!("faaslet: {}", self.message);
        }
        ExitCode::from(self.code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_has_every_code() {
        let codes = [
            Code::Function,
            Code::Usage,
            Code::Unreachable,
            Code::Refused,
            Code::TimedOut,
            Code::Lost,
            Code::Local,
        ];
        for (index, code) in codes.into_iter().enumerate() {
            assert_eq!(code as usize, index + 1, "codes are frozen");
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", code as u8)), "{code:?}");
        }
    }
}
