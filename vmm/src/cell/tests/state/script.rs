//! A guest that does what its input says: one host call after the other, with loads and stores of
//! its own between them, so that each test says in one place what a call does.

use std::fmt::Write;

use faaslet_abi::state::import;

/// Where the bytes of a script lie that its steps point to.
const DATA: u32 = 4096;
/// Where its results go: 8 bytes for each step.
const RESULTS: u32 = 64 << 10;
/// Where the steps lie.
const STEPS: u32 = 192 << 10;
/// Bytes of a step: number, which arguments are results, six arguments.
const STEP_BYTES: u32 = 56;
/// Most arguments of a step.
const ARGUMENTS: usize = 6;

/// Host calls and what they take: `i` for 32 bits, `l` for 64.
pub(super) const CALLS: [(&str, &str); 22] = [
    (import::OPEN, "iii"),
    (import::CLOSE, "i"),
    (import::STAT, "ii"),
    (import::READ, "ilii"),
    (import::WRITE, "ilii"),
    (import::MERGE, "ilii"),
    (import::MAP, "iliii"),
    (import::UNMAP, "i"),
    (import::PULL, "ill"),
    (import::PUSH, "illii"),
    (import::RESIZE, "il"),
    (import::GROW, "il"),
    (import::APPEND, "iiii"),
    (import::LOCK, "iil"),
    (import::UNLOCK, "ii"),
    (import::DELETE, "ii"),
    (import::LIST, "iiiiii"),
    (import::OPEN_VERSION, "ii"),
    (import::VERSIONS, "iii"),
    (import::WAIT, "iil"),
    (import::NOTIFY, "ii"),
    (import::ERROR, "ii"),
];

/// What the guest does by itself, after the host calls.
const OWN: [(&str, &str); 8] = [
    ("load", "(i64.load (i32.wrap_i64 (local.get $a0)))"),
    ("store", "(i64.store (i32.wrap_i64 (local.get $a0)) (local.get $a1)) (i64.const 0)"),
    ("add", "(i64.atomic.rmw.add (i32.wrap_i64 (local.get $a0)) (local.get $a1))"),
    ("load4", "(i64.load32_u (i32.wrap_i64 (local.get $a0)))"),
    ("sum", "(i64.add (local.get $a0) (local.get $a1))"),
    ("trap", "(unreachable)"),
    ("spin", "(loop $l (br $l)) (unreachable)"),
    ("sleep", "(i64.extend_i32_s (call $sleep (local.get $a0)))"),
];

/// The guest's text.
pub(super) fn guest() -> String {
    let mut text = String::from(
        r#"(module
        (import "faaslet_v1" "input_len" (func $input_len (result i32)))
        (import "faaslet_v1" "input_read" (func $in (param i32 i32 i32) (result i32)))
        (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff"
          (func $poll (param i32 i32 i32 i32) (result i32)))
"#,
    );
    for (name, params) in CALLS {
        let types: Vec<_> = params.chars().map(|p| if p == 'i' { "i32" } else { "i64" }).collect();
        let _ = writeln!(
            text,
            r#"(import "faaslet_v1" "{name}" (func ${name} (param {}) (result i32)))"#,
            types.join(" ")
        );
    }
    text.push_str(
        r"(memory 8)
        (func $sleep (param $ms i64) (result i32)
          (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.mul (local.get $ms) (i64.const 1000000)))
          (call $poll (i32.const 0) (i32.const 96) (i32.const 1) (i32.const 64)))
        (func $argument (param $step i32) (param $n i32) (result i64) (local $a i64)
          (local.set $a (i64.load (i32.add (i32.add (local.get $step) (i32.const 8))
            (i32.shl (local.get $n) (i32.const 3)))))
          (if (i32.and (i32.load (i32.add (local.get $step) (i32.const 4)))
                (i32.shl (i32.const 1) (local.get $n)))
            (then (local.set $a (i64.load (i32.wrap_i64 (local.get $a))))))
          (local.get $a))
        ",
    );
    step(&mut text);
    let _ = writeln!(
        text,
        r#"(func (export "faaslet_main") (result i32)
          (local $len i32) (local $data i32) (local $end i32) (local $at i32) (local $to i32)
          (local.set $len (call $input_len))
          (drop (call $in (i32.const 0) (i32.const 128) (i32.const 4)))
          (local.set $data (i32.load (i32.const 128)))
          (drop (call $in (i32.const 4) (i32.const {DATA}) (local.get $data)))
          (local.set $at (i32.const {STEPS}))
          (local.set $len (i32.sub (local.get $len) (i32.add (local.get $data) (i32.const 4))))
          (drop (call $in (i32.add (local.get $data) (i32.const 4)) (local.get $at)
            (local.get $len)))
          (local.set $end (i32.add (local.get $at) (local.get $len)))
          (local.set $to (i32.const {RESULTS}))
          (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (i64.store (local.get $to) (call $step (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const {STEP_BYTES})))
            (local.set $to (i32.add (local.get $to) (i32.const 8)))
            (br $next)))
          (drop (call $out (i32.const {DATA})
            (i32.sub (local.get $to) (i32.const {DATA}))))
          (i32.const 0)))"#
    );
    text
}

/// The function that does one step.
fn step(text: &mut String) {
    text.push_str("(func $step (param $step i32) (result i64)");
    for n in 0..ARGUMENTS {
        let _ = write!(text, " (local $a{n} i64)");
    }
    for n in 0..ARGUMENTS {
        let _ =
            write!(text, "(local.set $a{n} (call $argument (local.get $step) (i32.const {n})))");
    }
    let all = CALLS.len() + OWN.len();
    for n in (0..all).rev() {
        let _ = write!(text, "(block $b{n} ");
    }
    text.push_str("(br_table");
    for n in 0..all {
        let _ = write!(text, " $b{n}");
    }
    let _ = write!(text, " $b0 (i32.load (local.get $step))))");
    for (n, (name, params)) in CALLS.iter().enumerate() {
        let mut arguments = String::new();
        for (at, param) in params.chars().enumerate() {
            let _ = match param {
                'i' => write!(arguments, "(i32.wrap_i64 (local.get $a{at}))"),
                _ => write!(arguments, "(local.get $a{at})"),
            };
        }
        let close = if n + 1 < all { ")" } else { "" };
        let _ = write!(text, "(return (i64.extend_i32_s (call ${name} {arguments}))){close}");
    }
    for (n, (_, body)) in OWN.iter().enumerate() {
        let close = if CALLS.len() + n + 1 < all { ")" } else { "" };
        let _ = write!(text, "(return {body}){close}");
    }
    text.push_str("(unreachable))\n");
}

/// An argument: a number, or the result of a step before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg {
    Number(i64),
    Result(u32),
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A step's result, to be given to later steps, and found in the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step(u32);

impl From<Step> for Arg {
    fn from(step: Step) -> Self {
        Self::Result(RESULTS + 8 * step.0)
    }
}

/// A place in the script's data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: i64,
    pub(super) len: i64,
}

/// What one call does.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    data: Vec<u8>,
    steps: Vec<u8>,
    count: u32,
}

impl Script {
    /// Puts bytes where steps can point to them.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Place {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let at = i64::from(DATA) + self.data.len() as i64;
        self.data.extend_from_slice(bytes);
        Place { at, len: bytes.len() as i64 }
    }

    /// Does something: a host call, without its `state_`, or one of [`OWN`].
    pub(super) fn step(&mut self, name: &str, arguments: &[Arg]) -> Step {
        let host = CALLS.iter().position(|(call, _)| call.strip_prefix("state_") == Some(name));
        let own = || OWN.iter().position(|(own, _)| *own == name).map(|n| CALLS.len() + n);
        let number = host.or_else(own).unwrap_or_else(|| panic!("no step {name}"));
        let results = arguments.iter().enumerate().filter(|(_, a)| matches!(a, Arg::Result(_)));
        let mask = results.fold(0_u32, |mask, (n, _)| mask | 1 << n);
        self.steps.extend_from_slice(&(number as u32).to_le_bytes());
        self.steps.extend_from_slice(&mask.to_le_bytes());
        for n in 0..ARGUMENTS {
            let argument = match arguments.get(n) {
                Some(Arg::Number(number)) => *number,
                Some(Arg::Result(at)) => i64::from(*at),
                None => 0,
            };
            self.steps.extend_from_slice(&argument.to_le_bytes());
        }
        self.count += 1;
        Step(self.count - 1)
    }

    /// The input that makes the guest do it.
    pub(super) fn input(&self) -> Vec<u8> {
        assert!(self.data.len() < (RESULTS - DATA) as usize, "too much data");
        let len = (self.data.len() as u32).to_le_bytes();
        [&len[..], &self.data, &self.steps].concat()
    }
}

/// What a script came to.
#[derive(Clone, Debug)]
pub(super) struct Did(pub(super) Vec<u8>);

impl Did {
    /// The result of a step.
    pub(super) fn result(&self, step: Step) -> i64 {
        let at = (RESULTS - DATA + 8 * step.0) as usize;
        i64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    /// The bytes of a place, as the script left them.
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        let at = (place.at - i64::from(DATA)) as usize;
        &self.0[at..at + place.len as usize]
    }
}
