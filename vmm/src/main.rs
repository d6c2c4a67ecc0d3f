//! The `faaslet` command.
//!
//! The monitor starts its cells and builders by running this program again with a hidden first
//! argument. They enter their jail before there is any thread, so that is looked at first.

use std::process::ExitCode;

use faaslet_sandbox::jail::Limits;
use faaslet_vmm::{builder, cell, cli};

fn main() -> ExitCode {
    let role = std::env::args_os().nth(1);
    match role.as_ref().and_then(|role| role.to_str()) {
        Some(cell::process::ROLE) => cell::process::main(Limits::default()),
        Some(builder::process::ROLE) => builder::process::main(Limits::default()),
        _ => cli::main(),
    }
}
