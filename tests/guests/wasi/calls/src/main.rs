//! Calls each function of WASI preview 1 with a success and its failures and prints what each
//! came to, one line a call: `function case: errno values`.
//!
//! It runs over a folder that the test makes (see `vmm/wasi/tests`), granted as `/data`, and a
//! second, empty one, granted as `/other`. Nothing that differs from run to run is printed: no
//! times, inodes or orders of the host, only what must hold of them. With an argument
//! `trap:NAME` it makes that one call instead, which has to end it.

mod bytes;
mod clocks;
mod descriptors;
mod directories;
mod paths;
mod process;
mod raw;
mod traps;

fn main() {
    let mut args = std::env::args().skip(1);
    match args.next() {
        Some(argument) if argument.starts_with("trap:") => traps::run(&argument["trap:".len()..]),
        _ => {
            process::run();
            clocks::run();
            descriptors::run();
            bytes::run();
            directories::run();
            paths::run();
            println!("end");
            process::exit();
        }
    }
}
