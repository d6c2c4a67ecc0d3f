//! Host calls with pointers that a guest must not give: refused with a status, never a trap, and
//! nothing outside the guest's memory is read or written.

use std::fmt::Write;

use faaslet_abi::{Outcome, Status, import};

use super::{Bench, Random, built, call, call_export, number, returned, seed, text};
use crate::cell::{Call, Limits};

/// The guest's memory.
const SIZE: u64 = 65_536;
/// Calls of one run with arguments at random; `FAASLET_POINTERS` sets another number.
const CALLS: u64 = 20_000;
/// Where the exports put arguments, results and the handle of a call.
const SCRATCH: u32 = 1024;

/// A parameter of a host call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Param {
    /// A plain number.
    Number,
    /// A pointer to as many bytes as the next parameter says.
    Range,
    /// The length of the range before it.
    Length,
    /// A pointer to so many bytes.
    Fixed(u64),
    /// The handle of a call that was awaited.
    Handle,
    /// A number of 64 bits.
    Wide,
}
use Param::{Fixed, Handle, Length, Number, Range, Wide};

/// Every host call and its parameters.
const IMPORTS: [(&str, &[Param]); 20] = [
    (import::INPUT_LEN, &[]),
    (import::INPUT_READ, &[Number, Range, Length]),
    (import::OUTPUT_APPEND, &[Range, Length]),
    (import::OUTPUT_SET, &[Range, Length]),
    (import::ERROR_SET, &[Range, Length]),
    (import::CALL, &[Range, Length, Range, Length]),
    (import::CALL_EXPORT, &[Range, Length, Range, Length]),
    (import::CALL_TABLE, &[Number, Range, Length]),
    (import::AWAIT, &[Number, Wide]),
    (import::RESULT_LEN, &[Number]),
    (import::RESULT_READ, &[Handle, Number, Range, Length]),
    (import::RELEASE, &[Number]),
    (import::IDENTITY, &[Fixed(24)]),
    (import::TENANT, &[Range, Length]),
    (import::FUNCTION, &[Range, Length]),
    (import::LOG, &[Number, Range, Length]),
    (import::REQUEST_LEN, &[]),
    (import::REQUEST_READ, &[Number, Range, Length]),
    (import::RESPONSE_STATUS, &[Number]),
    (import::RESPONSE_HEADER, &[Range, Length, Range, Length]),
];

/// A guest with an export for each host call, which reads its arguments from the input and answers
/// what the host said.
fn guest() -> String {
    let mut text = String::from("(module\n");
    for (name, params) in IMPORTS {
        let types: Vec<_> = params.iter().map(|p| if *p == Wide { "i64" } else { "i32" }).collect();
        let _ = writeln!(
            text,
            r#"(import "faaslet_v1" "{name}" (func ${name} (param {}) (result i32)))"#,
            types.join(" ")
        );
    }
    let _ = writeln!(
        text,
        r#"(memory 1) (data (i32.const 512) "child") (table 1 funcref)
        (func $child (export "child") (drop (call $output_set (i32.const 512) (i32.const 5))))
        (func (export "faaslet_main"))
        (func $arguments
          (drop (call $input_read (i32.const 0) (i32.const {SCRATCH}) (i32.const 32))))"#
    );
    for (name, params) in IMPORTS {
        let mut arguments = String::new();
        for (at, param) in params.iter().enumerate() {
            let address = SCRATCH as usize + 8 * at;
            let _ = match param {
                Wide => write!(arguments, "(i64.load (i32.const {address}))"),
                Handle => write!(arguments, "(local.get $handle)"),
                _ => write!(arguments, "(i32.load (i32.const {address}))"),
            };
        }
        let awaited = "(local.set $handle (call $call_export
            (i32.const 512) (i32.const 5) (i32.const 0) (i32.const 0)))
          (drop (call $await (local.get $handle) (i64.const -1)))";
        let awaited = if params.contains(&Handle) { awaited } else { "" };
        let _ = writeln!(
            text,
            r#"(func (export "{name}") (result i32) (local $handle i32) (local $status i32)
              (call $arguments) {awaited}
              (local.set $status (call ${name} {arguments}))
              (i32.store (i32.const {SCRATCH}) (local.get $status))
              (call $output_set (i32.const {SCRATCH}) (i32.const 4)))"#
        );
    }
    text + ")"
}

/// Numbers at which something could go wrong.
const EDGES: [u32; 22] = [
    0,
    1,
    2,
    7,
    24,
    128,
    129,
    4095,
    4096,
    16_384,
    16_385,
    65_512,
    65_513,
    65_535,
    65_536,
    65_537,
    0x7fff_ffff,
    0x8000_0000,
    0xbfff_ffff,
    0xc000_0000,
    0xffff_fff0,
    0xffff_ffff,
];

fn edge(random: &mut Random) -> u32 {
    EDGES[random.below(EDGES.len() as u64) as usize]
}

/// Whether all ranges lie in the memory.
fn inside(params: &[Param], arguments: &[u32]) -> bool {
    params.iter().enumerate().all(|(at, param)| {
        let length = match param {
            Range => u64::from(arguments[at + 1]),
            Fixed(length) => *length,
            _ => return true,
        };
        let (from, window) = (u64::from(arguments[at]), 3 << 30);
        // The window is empty: no bytes at its start are a range in it.
        from + length <= SIZE || (from == window && length == 0)
    })
}

fn ask(bench: &mut Bench, (name, params): (&str, &[Param]), arguments: &[u32]) -> i32 {
    let mut input = Vec::new();
    for argument in arguments {
        input.extend_from_slice(&u64::from(*argument).to_le_bytes());
    }
    let asked = Call { request: b"GET / HTTP/1.1\r\n".to_vec(), ..call_export(name, &input) };
    let answer = bench.run(0, asked);
    let said = text(&answer);
    assert_eq!(answer.outcome, Outcome::Returned, "{name} {arguments:x?}: {said}");
    let status = i32::from_le_bytes(answer.body[..4].try_into().unwrap());
    if !inside(params, arguments) {
        // Unless something else is wrong as well.
        let refused = [Status::Fault, Status::TooLarge, Status::Invalid, Status::NotFound];
        assert!(refused.iter().any(|s| *s as i32 == status), "{name} {arguments:x?}: {status}");
    }
    assert!(status >= 0 || Status::from_i32(status).is_some(), "{name} {arguments:x?}: {status}");
    status
}

fn bench() -> Bench {
    let mut bench = Bench::new(8);
    bench.add_text("pointers", &guest(), Limits::default());
    bench
}

#[test]
fn every_host_call_is_here() {
    assert_eq!(IMPORTS.map(|(name, _)| name).as_slice(), import::ALL);
}

#[test]
fn ranges_outside_memory_are_faults_and_ranges_at_its_end_are_not() {
    let mut bench = bench();
    for (name, params) in IMPORTS {
        for (at, param) in params.iter().enumerate() {
            if !matches!(param, Range | Fixed(_)) {
                continue;
            }
            let outside = [
                (65_536, 1),
                (65_535, 2),
                (65_537, 0),
                (u32::MAX, 1),
                (0xffff_fff0, 32),
                (0xc000_0000, 1),
            ];
            for (pointer, length) in outside {
                let mut arguments = [2_u32; 4];
                // The other range is a good one: four bytes that are a name.
                for (other, param) in params.iter().enumerate() {
                    match param {
                        Range => arguments[other] = 512,
                        Length => arguments[other] = 5,
                        _ => {}
                    }
                }
                arguments[at] = pointer;
                if *param == Range {
                    arguments[at + 1] = length;
                }
                let status = ask(&mut bench, (name, params), &arguments);
                assert_eq!(status, Status::Fault as i32, "{name} {arguments:x?}");
            }
            // Nothing, right at the end, is a range; a name may not be empty, though.
            let mut arguments = [2, 2, 2, 2];
            arguments[at] = if *param == Range { 65_536 } else { 65_512 };
            if *param == Range && params.iter().filter(|param| **param == Range).count() == 1 {
                arguments[at + 1] = 0;
                let status = ask(&mut bench, (name, params), &arguments);
                assert!(
                    status >= 0 || name == import::CALL_TABLE,
                    "{name} {arguments:x?}: {status}"
                );
            }
        }
    }
    bench.assert_clean();
}

#[test]
fn no_arguments_trap_or_reach_outside() {
    let (seed, calls) = (seed(), number("FAASLET_POINTERS").unwrap_or(CALLS));
    println!("FAASLET_SEED={seed} FAASLET_POINTERS={calls}");
    let (mut random, mut bench) = (Random(seed), bench());
    bench.tick();
    for _ in 0..calls {
        let (name, params) = IMPORTS[random.below(20) as usize];
        let arguments: Vec<u32> = (0..4)
            .map(|_| if random.below(4) == 0 { random.next() as u32 } else { edge(&mut random) })
            .collect();
        ask(&mut bench, (name, params), &arguments);
    }
    bench.assert_clean();
}

#[test]
fn every_function_of_wasi_meets_wild_pointers_without_harm() {
    let (seed, calls) = (seed(), number("FAASLET_POINTERS").unwrap_or(CALLS) / 10);
    println!("FAASLET_SEED={seed} FAASLET_POINTERS={}", calls * 10);
    let mut text_of = String::from("(module\n");
    let mut body = String::new();
    for (name, types) in WASI {
        let params = types.replace('i', "i32 ").replace('l', "i64 ");
        let _ = writeln!(
            text_of,
            r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {params}) (result i32)))"#
        );
        let loads: String = types.chars().enumerate().fold(String::new(), |mut text, (at, ty)| {
            let load = if ty == 'i' { "i32.load" } else { "i64.load" };
            let _ = write!(text, "({load} (i32.const {}))", 8 * at);
            text
        });
        let _ = writeln!(
            body,
            r#"(func (export "{name}") (drop (call $input_read (i32.const 0) (i32.const 0) (i32.const 80)))
            (drop (call ${name} {loads})))"#
        );
    }
    let _ = writeln!(
        text_of,
        r#"(import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
        (memory 1) {body} (func (export "faaslet_main")))"#
    );
    let (mut random, mut bench) = (Random(seed), Bench::new(8));
    bench.add_text("wasi", &text_of, Limits::default());
    bench.tick();
    for _ in 0..calls {
        let (name, _) = WASI[random.below(WASI.len() as u64) as usize];
        let mut input = Vec::new();
        for _ in 0..10 {
            let value =
                if random.below(3) == 0 { random.below(6) as u32 } else { edge(&mut random) };
            input.extend_from_slice(&u64::from(value).to_le_bytes());
        }
        let soon = std::time::Instant::now() + std::time::Duration::from_millis(50);
        let answer = bench.run(0, Call { deadline: soon, ..call_export(name, &input) });
        // A wild pointer is an errno or, as in Wasmtime, a trap.
        let fine = [Outcome::Returned, Outcome::Trapped, Outcome::TimedOut];
        assert!(fine.contains(&answer.outcome), "{name} {input:?}: {}", text(&answer));
    }
    bench.assert_clean();
}

/// Functions of WASI that take pointers, with their parameters: i32 and i64 (l).
const WASI: [(&str, &str); 30] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_close", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_filestat_get", "ii"),
    ("fd_pread", "iiili"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_seek", "ilii"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("random_get", "ii"),
];

#[test]
fn the_c_guest_finds_every_check_in_its_place() {
    let module = built("pointers-c");
    let mut bench = Bench::new(8);
    let function = bench.add("pointers-c", &module, Limits::default());
    for request in [b"".to_vec(), b"GET /path HTTP/1.1\r\n".to_vec()] {
        let asked = Call { request, ..call(b"an input of more than eight bytes") };
        let said = returned(&bench.run(function, asked));
        assert!(said.starts_with("ok "), "{said}");
    }
    bench.assert_clean();
}
