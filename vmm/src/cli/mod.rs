//! The command line: `faaslet up`, `deploy`, `call`, and what goes with them.
//!
//! What it is: flags in, requests to a monitor out, results shown. What it is not: anything that a
//! program should build on; that is HTTP (`http/openapi.json`) and the client of `faaslet-net`.
//! A file for each group of commands; [`exit`] has the exit codes.

mod build;
mod call;
mod client;
mod config;
mod deploy;
mod exit;
mod functions;
mod logs;
mod output;
mod parse;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use client::Target;
use exit::{EXIT_CODES, Failure};
use output::Output;

/// Runs serverless functions from snapshots.
#[derive(Debug, Parser)]
#[command(name = "faaslet", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    target: Target,
    /// Show results as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the monitor
    Up(up::Up),
    /// Build, bake and store a function, so that it can be called
    Deploy(deploy::Deploy),
    /// Call a function
    Call(call::Call),
    /// List functions
    Ps,
    /// Show what functions print and log
    Logs(logs::Logs),
    /// Remove a function
    Rm(functions::Named),
    /// List the versions of a function
    Versions(functions::Named),
    /// Make an earlier version the current one
    Rollback(functions::Rollback),
    /// Replace environment and secrets of a function
    Env(functions::Env),
}

/// What every command gets.
struct Context {
    target: Target,
    output: Output,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, errors to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::Code::Usage as u8));
        }
    };
    let context = Context { target: cli.target, output: Output { json: cli.json } };
    match run(cli.command, &context) {
        Ok(code) => code,
        Err(failure) => failure.show(cli.json),
    }
}

fn run(command: Command, context: &Context) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(up) => up.run(context)?,
        Command::Deploy(deploy) => deploy.run(context)?,
        Command::Call(call) => call.run(context)?,
        Command::Ps => functions::ps(context)?,
        Command::Logs(logs) => logs.run(context)?,
        Command::Rm(named) => named.remove(context)?,
        Command::Versions(named) => named.versions(context)?,
        Command::Rollback(rollback) => rollback.run(context)?,
        Command::Env(env) => env.run(context)?,
    }
    Ok(ExitCode::SUCCESS)
}
