//! Our calls against Wasmtime's: what the guests of `tests/guests/wasi` print, how they end and
//! what they leave behind must be equal.
//!
//! What Wasmtime says is recorded in `tests/guests/wasi/recorded`; where its command is at hand
//! (`tests/guests/wasi/reference.sh` fetches it) the record is checked too, and `FAASLET_RECORD=1`
//! makes it anew.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod support;

use std::collections::BTreeMap;

use support::engine::Guest;
use support::fixture::Fixture;
use support::{Outcome, Run, guest, reference};

const CALLS: Run<'static> =
    Run { args: &["one", "two three", ""], input: "some input\nand a second line\n" };
const STD: Run<'static> = Run { args: &["argument"], input: "some input\nand a second line\n" };

/// Every case of `calls/src/traps.rs`.
const TRAPS: &[&str] = &[
    "args_get",
    "args_get-odd",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "clock_time_get-odd",
    "fd_fdstat_get",
    "fd_filestat_get",
    "fd_pread",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "fd_pwrite",
    "fd_read",
    "fd_read-buffer",
    "fd_readdir",
    "fd_readdir-result",
    "fd_seek",
    "fd_tell",
    "fd_write",
    "fd_write-iovs",
    "fd_write-odd",
    "fd_write-result",
    "path_open",
    "path_open-result",
    "path_create_directory",
    "path_filestat_get",
    "path_readlink",
    "path_rename",
    "path_symlink",
    "path_link",
    "path_unlink_file",
    "path_remove_directory",
    "path_filestat_set_times",
    "poll_oneoff",
    "poll_oneoff-odd",
    "random_get",
    "random_get-long",
    "clock_res_get-4",
    "clock_time_get-minus",
    "fd_advise-6",
    "fd_advise-255",
    "fd_fdstat_set_flags-32",
    "fd_fdstat_set_rights-40",
    "fd_filestat_set_times-16",
    "fd_seek-3",
    "path_open-oflags",
    "path_open-fdflags",
    "path_open-lookup",
    "path_open-rights",
    "path_open-inherit",
    "path_filestat_get-lookup",
    "path_filestat_set_times-16",
    "path_link-lookup",
    "proc_raise-31",
    "proc_raise-200",
    "proc_exit-126",
    "proc_exit-minus",
    "random_get-empty",
    "fd_readdir-empty",
    "path_open-empty",
    "path_readlink-empty",
    "fd_write-none",
    "fd_pread-end",
    "fd_read-end",
    "fd_write-none-odd",
    "fd_write-empty",
    "poll_oneoff-none",
];

/// What a run printed, how it ended and what it left, as one text.
fn transcript(outcome: &Outcome, fixture: &Fixture) -> String {
    let end = match &outcome.end {
        Ok(status) => format!("exit {status}"),
        Err(_) => "trap".to_owned(),
    };
    format!("{}--- {end}\n{}", outcome.output, fixture.describe())
}

/// Fails with the first lines that differ.
fn assert_equal(ours: &str, theirs: &str) {
    let differ: Vec<String> = ours
        .lines()
        .zip(theirs.lines())
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("ours:     {a}\nWasmtime: {b}\n"))
        .collect();
    assert!(differ.is_empty(), "{} lines differ\n{}", differ.len(), differ.join("\n"));
    assert_eq!(ours.lines().count(), theirs.lines().count(), "one says more than the other");
}

#[test]
fn every_call_is_as_in_wasmtime() {
    let module = guest::build("calls");
    if let Some(command) = reference::command() {
        let fixture = Fixture::new();
        let theirs = reference::run(&command, &module, &fixture, CALLS);
        assert_eq!(theirs.end, Ok(7), "{}", theirs.errors);
        reference::check_record("calls.txt", &transcript(&theirs, &fixture));
    }
    let fixture = Fixture::new();
    let ours = Guest::new(&module).run(&fixture, CALLS);
    assert_eq!(ours.end, Ok(7), "{}", ours.output);
    let theirs = reference::recorded("calls.txt");
    assert_equal(&transcript(&ours, &fixture), &theirs);
    print_table(&ours.output);
}

/// Every function with how many of its cases were compared, and that none is missing.
fn print_table(output: &str) {
    let mut cases: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in output.lines() {
        let Some((name, rest)) = line.split_once(' ') else { continue };
        let failed = rest.rsplit_once(": ").is_some_and(|(_, result)| !result.starts_with('0'));
        let (all, failures) = cases.entry(name).or_default();
        *all += 1;
        *failures += usize::from(failed);
    }
    macro_rules! names {
        ([] $($kind:ident $name:ident($($param:ident: $ty:ty),*);)*) => { [$(stringify!($name)),*] };
    }
    let names = faaslet_wasi::for_each_import!(names);
    println!("{:<26}{:>6}{:>10}{:>7}  as in Wasmtime", "function", "cases", "failures", "traps");
    for name in names {
        let (mut all, failures) = cases.get(name).copied().unwrap_or_default();
        // The guest ends with it, so that it can print nothing of it.
        all += usize::from(name == "proc_exit");
        let traps = TRAPS.iter().filter(|trap| trap.split('-').next() == Some(name)).count();
        let verdict = if name.starts_with("sock_") { "refused, as ENOTSUP" } else { "yes" };
        println!("{name:<26}{all:>6}{failures:>10}{traps:>7}  {verdict}");
        assert!(all > 0, "{name} was not called");
    }
}

#[test]
fn an_ordinary_rust_program_is_as_in_wasmtime() {
    ordinary("std");
}

#[test]
fn an_ordinary_c_program_is_as_in_wasmtime() {
    ordinary("libc");
}

/// Compares a program that knows nothing of this test.
fn ordinary(name: &str) {
    let module = guest::build(name);
    let record = format!("{name}.txt");
    if let Some(command) = reference::command() {
        let fixture = Fixture::new();
        let theirs = reference::run(&command, &module, &fixture, STD);
        reference::check_record(&record, &transcript(&theirs, &fixture));
    }
    let fixture = Fixture::new();
    let ours = Guest::new(&module).run(&fixture, STD);
    assert_equal(&transcript(&ours, &fixture), &reference::recorded(&record));
    assert_eq!(ours.errors, "to the error stream\n");
}

#[test]
fn what_traps_in_wasmtime_traps_here() {
    let module = guest::build("calls");
    let guest = Guest::new(&module);
    let command = reference::command().map(|it| (reference::compile(&it, &module), it));
    let (mut ours, mut theirs) = (String::new(), String::new());
    for name in TRAPS {
        let argument = format!("trap:{name}");
        let run = Run { args: &[&argument], input: "input" };
        let fixture = Fixture::new();
        ours += &trap_line(name, &guest.run(&fixture, run), &fixture);
        if let Some((compiled, command)) = &command {
            let fixture = Fixture::new();
            let outcome = reference::run(command, compiled, &fixture, run);
            theirs += &trap_line(name, &outcome, &fixture);
        }
    }
    if command.is_some() {
        reference::check_record("traps.txt", &theirs);
    }
    assert_equal(&ours, &reference::recorded("traps.txt"));
}

/// How a case ended, what it printed before, and a hash of what it left.
fn trap_line(name: &str, outcome: &Outcome, fixture: &Fixture) -> String {
    let end = if outcome.end.is_err() { "trapped" } else { "went on" };
    let left = blake3::hash(fixture.describe().as_bytes()).to_hex();
    format!("{name}: {end}, printed {:?}, left {}\n", outcome.output, &left[..16])
}
