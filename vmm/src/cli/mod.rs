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
mod doctor;
mod exit;
mod functions;
mod images;
mod logging;
mod logs;
mod manifest;
mod new;
mod output;
mod parse;
mod peers;
mod prewarm;
mod run;
mod runtime;
mod settings;
mod state;
mod tenant;
mod up;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use serde_json::json;

use client::{At, Plain, Right, Target};
use exit::{Code, EXIT_CODES, Failure};
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
    Up(Box<At<up::Up>>),
    /// Build, bake and store a function, so that it can be called
    Deploy(deploy::Deploy),
    /// Call a function
    Call(At<call::Call>),
    /// List functions
    Ps(At<functions::Ps>),
    /// Bring a function to hosts, with slots, before its calls come
    Prewarm(At<prewarm::Prewarm>),
    /// Show what functions print and log
    Logs(At<logs::Logs>),
    /// Remove a function
    Rm(At<functions::Named>),
    /// List the versions of a function
    Versions(At<functions::Named>),
    /// Make an earlier version the current one
    Rollback(At<functions::Rollback>),
    /// Replace environment and secrets of a function
    Env(At<functions::Env>),
    /// Tenants, their tokens and folders, for the operator
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Runtimes of languages, for the operator
    #[command(subcommand)]
    Runtime(runtime::Runtime),
    /// List the images of your functions
    Images(At<images::List>),
    /// Images: look at them, copy them
    #[command(subcommand)]
    Image(images::Image),
    /// Values that functions share: list, read, write, back up
    #[command(subcommand)]
    State(state::State),
    /// Keys of the hosts that share state, for the operator
    #[command(subcommand)]
    Peers(peers::Peers),
    /// Remove what no version needs
    Gc(At<images::Gc>),
    /// Run a WASI command, or call a function once, without a monitor
    Run(run::Run),
    /// Say what this machine has and lacks
    Doctor(At<Plain>),
    /// Make a new project
    New(New),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the version
    Version,
}

/// Make a new project.
#[derive(Debug, clap::Args)]
struct New {
    /// Its language
    #[arg(long, default_value = "rust")]
    lang: new::Lang,
    /// Its name, and the name of its folder
    name: String,
}

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
struct Completions {
    /// The shell
    shell: clap_complete::Shell,
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
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8));
        }
    };
    let context = Context { target: cli.target, output: Output { json: cli.json } };
    run(cli.command, context).unwrap_or_else(|failure| failure.show(cli.json))
}

fn run(command: Command, mut context: Context) -> Result<ExitCode, Failure> {
    let target = &mut context.target;
    match command {
        Command::Up(at) => at.into_command(target).run(&context)?,
        Command::Deploy(deploy) => deploy.run(&context)?,
        Command::Call(at) => at.into_command(target).run(&context)?,
        Command::Ps(at) => at.into_command(target).run(&context)?,
        Command::Prewarm(at) => at.into_command(target).run(&context)?,
        Command::Logs(at) => at.into_command(target).run(&context)?,
        Command::Rm(at) => at.into_command(target).remove(&context)?,
        Command::Versions(at) => at.into_command(target).versions(&context)?,
        Command::Rollback(at) => at.into_command(target).run(&context)?,
        Command::Env(at) => at.into_command(target).run(&context)?,
        Command::Tenant(tenant) => tenant.run(context)?,
        Command::Runtime(runtime) => runtime.run(context)?,
        Command::Images(at) => {
            at.into_command(target).run(&context, Right::Tenant)?;
        }
        Command::Image(image) => image.run(context)?,
        Command::State(state) => state.run(context)?,
        Command::Peers(peers) => peers.run(&context)?,
        Command::Gc(at) => at.into_command(target).run(&context)?,
        Command::Run(run) => return run.run(&context),
        Command::Doctor(at) => {
            let Plain {} = at.into_command(target);
            return doctor::run(&context);
        }
        Command::New(new) => new.run(&context)?,
        Command::Completions(Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "faaslet", &mut script);
            output::write_bytes(&script)?;
        }
        Command::Version => version(&context)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl New {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let made = new::create(self.lang, &self.name, Path::new("."));
        let folder = made.map_err(|error| Failure::new(Code::Local, error.to_string()))?;
        context.output.show(&json!({ "folder": folder }), || {
            format!(
                "{} is a project; next:\n  faaslet deploy {name}\n  faaslet call {name} --data '{}'",
                folder.display(),
                self.lang.example_input(),
                name = self.name,
            )
        })
    }
}

fn version(context: &Context) -> Result<(), Failure> {
    let engine = crate::engine::fingerprint();
    let engine = engine.map_err(|error| Failure::new(Code::Local, format!("{error:#}")))?;
    let value = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "abi": faaslet_abi::ABI_VERSION,
        "image_format": faaslet_snapshot::image::layout::FORMAT_VERSION,
        "engine": engine,
    });
    context.output.show(&value, || format!("faaslet {}", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_takes_json_and_the_monitors_folder() {
        for arguments in [
            &["faaslet", "ps", "--json", "--dir", "/x"][..],
            &["faaslet", "--json", "--dir", "/x", "deploy", "a.wasm", "--dir", "/guest"],
            &["faaslet", "tenant", "ls", "--dir", "/x", "--json"],
            &["faaslet", "--dir", "/x", "tenant", "grant", "t", "--dir", "/h::/g", "--json"],
            &["faaslet", "up", "--low-latency", "--log-json=false", "--json"],
            &["faaslet", "up", "--low-latency=false", "--json"],
            &["faaslet", "state", "ls", "--dir", "/x", "--json"],
            &["faaslet", "image", "ls", "--dir", "/x", "--json"],
            &["faaslet", "call", "f", "--dir", "/x", "--json", "--data", "-1"],
        ] {
            let cli = Cli::try_parse_from(arguments);
            assert!(cli.as_ref().is_ok_and(|cli| cli.json), "{arguments:?}: {cli:?}");
        }
    }

    #[test]
    fn the_folder_behind_a_command_goes_over_the_one_before() {
        let cli = Cli::try_parse_from(["faaslet", "--dir", "/a", "ps", "--dir", "/b"]).unwrap();
        let mut target = cli.target;
        let Command::Ps(at) = cli.command else { panic!("{:?}", cli.command) };
        at.into_command(&mut target);
        assert_eq!(target.dir.as_deref(), Some(Path::new("/b")));
    }
}
