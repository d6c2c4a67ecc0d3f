//! Rewrites a module and says how long it took and what is in it:
//!
//! ```text
//! cargo run --release -p faaslet-rewrite --example rewrite -- IN.wasm [OUT.wasm]
//! ```
//!
//! Any imports pass, and no entry is needed. `--synthetic MIB` makes a module of that size.

#[path = "../benches/rewrite/synthetic.rs"]
mod synthetic;

use std::error::Error;
use std::time::Instant;

use faaslet_rewrite::{Contract, Limits, rewrite_under};
use synthetic::synthetic;

/// Timed runs, of which the fastest is shown beside the first.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let input = args.next().ok_or("expected a module: rewrite IN.wasm [OUT.wasm]")?;
    let module = if input == "--synthetic" {
        synthetic(args.next().ok_or("expected a size in MiB")?.parse()?)
    } else {
        std::fs::read(&input)?
    };
    let limits = Limits { module_bytes: usize::MAX, ..Limits::default() };
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..RUNS {
        let start = Instant::now();
        last = Some(rewrite_under(&module, &limits, Contract::Open)?);
        times.push(start.elapsed());
    }
    let Some(of) = last else { return Ok(()) };
    println!("{} bytes in, {} out", module.len(), of.wasm.len());
    println!("first {:?}, fastest {:?}", times[0], times.iter().min().unwrap_or(&times[0]));
    println!("{} functions, {} globals listed", of.plan.original_functions, of.plan.globals.len());
    println!("plan {} bytes as JSON", serde_json::to_vec(&of.plan)?.len());
    match &of.plan.keep {
        Ok(()) => println!("an instance can be kept"),
        Err(why) => println!("an instance cannot be kept: {why}"),
    }
    if let Some(output) = args.next() {
        std::fs::write(output, &of.wasm)?;
    }
    Ok(())
}
