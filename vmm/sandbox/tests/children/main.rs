//! Children as the monitor sees them: how they start, work, end, and what is left of them.
//!
//! The program is its own child: with a role as its first argument it acts that part (`parts.rs`),
//! otherwise it runs the tests below, one after the other.
#![allow(clippy::unwrap_used)]

mod cost;
mod elsewhere;
mod parts;
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(role) = arguments.get(1).filter(|role| role.starts_with("__")) {
        return parts::act(role, &arguments[2..]);
    }
    let filter = arguments.get(1).filter(|argument| !argument.starts_with('-'));
    let mut failed = 0;
    for (name, test) in tests::ALL {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let good = std::panic::catch_unwind(test).is_ok();
        failed += usize::from(!good);
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
    }
    if filter.is_none() {
        cost::print();
    }
    println!("{failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
