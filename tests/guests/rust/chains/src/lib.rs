//! Calls of other functions by the Rust SDK, each with what it gave: the input names the case, the
//! output is text. A case that fails says how.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use faaslet::{ChainError, Chained, Error, Raw, Text, chain, chain_export, chain_fn, join_all};

/// Calls of one fan-out.
const FAN: u64 = 200;
/// More calls than one may have open.
const MANY: u32 = 5000;
/// Bytes of a large result.
const LARGE_BYTES: usize = 1 << 20;

/// Counts calls of this image; one that is not 1 is a leak.
static CALLS: Mutex<u32> = Mutex::new(0);

#[faaslet::function]
fn sleeps(ms: u64) -> String {
    sleep(Duration::from_millis(ms));
    format!("slept {ms}")
}

#[faaslet::function]
fn fails(why: String) -> Result<(), Error> {
    Err(Error::new(format_args!("no: {why}")))
}

#[faaslet::function]
fn panics() {
    panic!("as it was told to");
}

#[faaslet::function]
fn large() -> Raw {
    Raw(vec![7; LARGE_BYTES])
}

/// A square, in a fork in which nobody has counted yet.
fn square(number: u64) -> u64 {
    let mut calls = CALLS.lock().unwrap_or_else(|calls| calls.into_inner());
    *calls += 1;
    if *calls == 1 { number * number } else { 0 }
}

/// Calls itself as often as it may.
fn deeper(depth: u32) -> u32 {
    let child: Result<Chained<u32>, _> = chain_fn(deeper, &(depth + 1));
    child.and_then(Chained::wait).unwrap_or(depth)
}

fn fan() -> Result<String, Error> {
    *CALLS.lock().unwrap_or_else(|calls| calls.into_inner()) += 1;
    let calls: Vec<Chained<u64>> =
        (0..FAN).map(|number| chain_fn(square, &number)).collect::<Result<_, _>>()?;
    Ok(join_all(calls)?.into_iter().sum::<u64>().to_string())
}

fn timeouts() -> Result<String, Error> {
    let slow: Chained<String> = chain_export("sleeps", &300)?;
    let early = slow.wait_timeout(Duration::from_millis(5))?;
    let again = slow.wait_timeout(Duration::ZERO)?;
    let quick: Chained<String> = chain_export("sleeps", &1)?;
    let quick = quick.wait_timeout(Duration::from_secs(20))?;
    Ok(format!("{early:?} {again:?} {quick:?} {:?}", slow.wait()?))
}

fn release() -> Result<String, Error> {
    let mut kept = Vec::new();
    for number in 0..MANY {
        let call: Chained<u64> = chain_fn(square, &u64::from(number))?;
        if number % 100 == 0 {
            kept.push(call);
        } else if number % 2 == 0 {
            call.wait()?;
        } else {
            call.wait_timeout(Duration::from_secs(20))?;
        }
    }
    let forgotten: Chained<String> = chain_export("sleeps", &1)?;
    drop(forgotten);
    Ok(join_all(kept)?.len().to_string())
}

fn outcomes() -> Result<String, Error> {
    let all: [ChainError; 6] = [
        error(chain_export::<()>("fails", "why")),
        error(chain_export::<()>("panics", &())),
        error(chain_export::<()>("nothing", &())),
        error(chain_export::<()>("faaslet:boot", &())),
        error(chain::<()>("nobody", &())),
        error(chain_export::<u64>("sleeps", &1)),
    ];
    Ok(all.map(|error| error.to_string()).join("\n"))
}

fn error<T: faaslet::Decode>(call: Result<Chained<T>, ChainError>) -> ChainError {
    match call.and_then(Chained::wait) {
        Err(error) => error,
        Ok(_) => ChainError::Lost,
    }
}

/// Holds large results until one is refused; then lets go of all, and gets one again.
fn hoard() -> Result<String, Error> {
    let calls: Vec<Chained<Raw>> =
        (0..20).map(|_| chain_export("large", &())).collect::<Result<_, _>>()?;
    let answers: Vec<_> = calls.iter().map(|call| call.wait_timeout(Duration::from_secs(20))).collect();
    let whole = |bytes: &Raw| bytes.0.len() == LARGE_BYTES;
    let held = answers.iter().flatten().flatten().filter(|bytes| whole(bytes)).count();
    let refused = answers.into_iter().find_map(Result::err);
    drop(calls);
    let again: Chained<Raw> = chain_export("large", &())?;
    let refused = refused.map_or_else(|| "none".into(), |error| error.to_string());
    Ok(format!("{held} {} {refused}", whole(&again.wait()?)))
}

#[faaslet::main]
fn run(case: Text) -> Result<Text, Error> {
    let text = match case.0.as_str() {
        "fan" => fan()?,
        "deep" => deeper(0).to_string(),
        "timeouts" => timeouts()?,
        "release" => release()?,
        "outcomes" => outcomes()?,
        "hoard" => hoard()?,
        other => chain::<Text>("echo", &Text(other.into()))?.wait()?.0,
    };
    Ok(Text(text))
}
