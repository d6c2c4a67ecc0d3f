//! Rewrites a module and says how long it took and what is in it:
//!
//! ```text
//! cargo run --release -p faaslet-rewrite --example rewrite -- IN.wasm [OUT.wasm]
//! ```
//!
//! Any imports pass, and no entry is needed. `--synthetic MIB` makes a module of that size.

use std::error::Error;
use std::time::Instant;

use faaslet_rewrite::{Contract, Limits, rewrite_under};

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

/// Functions as a C compiler writes them, one in sixteen with a bulk operation.
fn synthetic(mebibytes: usize) -> Vec<u8> {
    use wasm_encoder::{
        BlockType, CodeSection, Function, FunctionSection, MemArg, MemorySection, MemoryType,
        Module, TypeSection, ValType,
    };
    let memarg = |offset| MemArg { offset, align: 2, memory_index: 0 };
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 16,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    while code.byte_len() < mebibytes << 20 {
        let mut function = Function::new([(4, ValType::I32), (1, ValType::F64)]);
        let mut body = function.instructions();
        for step in 0..100 {
            body.local_get(0).i32_load(memarg(step * 4)).local_tee(2).local_get(1).i32_add();
            body.local_set(3).local_get(3).i32_const(7).i32_and().if_(BlockType::Empty);
            body.local_get(0).local_get(3).i32_store(memarg(step * 8 + 1000)).else_();
            body.local_get(1).local_get(2).call(0).local_set(4).end();
        }
        if functions.len() % 16 == 0 {
            body.local_get(0).local_get(1).i32_const(64).memory_copy(0, 0);
        }
        body.local_get(3).end();
        functions.function(0);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&code);
    module.finish()
}
