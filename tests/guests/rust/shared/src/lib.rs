//! Work on values that are shared, each kind in the way that its author would write it: a number
//! that is swapped for another under the global write lock, counters that many count in, and stores
//! that never stop.
#![forbid(unsafe_code)]

mod storm;

use std::time::Duration;

use faaslet::state::{Counter, Lock, Log, StateError, Vector};
use faaslet::{Error, Status};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Task {
    /// Sets the number of a value that is there, under the global write lock.
    Swap { key: String, to: u64, wait_ms: u64 },
    /// Counts one.
    Count { key: String, how: How },
    /// What was counted.
    Total { key: String, how: How },
    /// Opens a value with at least so many numbers; how many there are then.
    Open { key: String, len: usize },
    /// Stores to elements of a value until it is over.
    Store { key: String, element: String, rule: String, part: [usize; 2], writer: usize, seed: u64 },
    /// Pushes a value so often, then says that it is over.
    Push { key: String, element: String, times: u32 },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// Under the local write lock: the count is this host's until somebody pushes.
    Local,
    /// Under the global write lock.
    Global,
    /// By differences that add up.
    Sum,
    /// By a record for each.
    Append,
}

/// What became of it.
#[derive(Serialize)]
#[serde(tag = "came", rename_all = "snake_case")]
enum Came {
    /// The number that was there, and is not any more.
    Swapped { from: u64 },
    /// The same, unless nothing has changed: no answer came.
    Maybe { from: u64 },
    /// Nothing has changed.
    Refused { why: String },
    Counted { total: u64 },
    /// The last step of each element.
    Stored { steps: Vec<u8> },
    Pushed,
}

/// Does something for elements of the type with this name.
macro_rules! of_element {
    ($name:ident, $run:ident($($argument:expr),*)) => {
        match $name.as_str() {
            "u8" => storm::$run::<u8>($($argument),*),
            "u16" => storm::$run::<u16>($($argument),*),
            "u32" => storm::$run::<u32>($($argument),*),
            "u64" => storm::$run::<u64>($($argument),*),
            "i8" => storm::$run::<i8>($($argument),*),
            "i16" => storm::$run::<i16>($($argument),*),
            "i32" => storm::$run::<i32>($($argument),*),
            "i64" => storm::$run::<i64>($($argument),*),
            "f32" => storm::$run::<f32>($($argument),*),
            "f64" => storm::$run::<f64>($($argument),*),
            _ => return Err(Error::new("no such element")),
        }
    };
}

#[faaslet::main]
fn shared(task: Task) -> Result<Came, Error> {
    match task {
        Task::Swap { key, to, wait_ms } => Ok(swap(&key, to, Duration::from_millis(wait_ms))),
        Task::Count { key, how } => {
            count(&key, how)?;
            Ok(Came::Counted { total: 1 })
        }
        Task::Total { key, how } => Ok(Came::Counted { total: total(&key, how)? }),
        Task::Open { key, len } => {
            let value = Vector::<u64>::named(key).max_len(64).len(len).open()?;
            value.pull()?;
            Ok(Came::Counted { total: value.len()? as u64 })
        }
        Task::Store { key, element, rule, part: [from, to], writer, seed } => {
            let rule = storm::rule(&rule).ok_or_else(|| Error::new("no such rule"))?;
            let steps = of_element!(element, store(&key, rule, from..to, writer, seed))?;
            Ok(Came::Stored { steps })
        }
        Task::Push { key, element, times } => {
            of_element!(element, push(&key, times))?;
            Ok(Came::Pushed)
        }
    }
}

fn swap(key: &str, to: u64, wait: Duration) -> Came {
    let mut from = None;
    match try_swap(key, to, wait, &mut from) {
        Ok(from) => Came::Swapped { from },
        Err(error) => match from {
            Some(from) if error.status() == Status::Unknown => Came::Maybe { from },
            _ => Came::Refused { why: error.to_string() },
        },
    }
}

/// Notes in `read` what was there once the push has begun.
fn try_swap(
    key: &str,
    to: u64,
    wait: Duration,
    read: &mut Option<u64>,
) -> Result<u64, StateError> {
    let value = Vector::<u64>::existing(key)?;
    let guard = value.lock_timeout(Lock::GlobalWrite, wait)?;
    value.pull()?;
    let from = value.read(0, 1)?.first().copied().unwrap_or(0);
    value.write(0, &[to])?;
    *read = Some(from);
    value.push()?;
    // It is pushed, whatever becomes of the lock.
    drop(guard);
    Ok(from)
}

fn number(key: &str) -> Result<Vector<u64>, StateError> {
    Vector::named(key).durable().max_len(1).len(1).open()
}

/// One more, by a read and a write that another could come between.
fn one_more(value: &Vector<u64>) -> Result<(), StateError> {
    let before = value.read(0, 1)?[0];
    std::thread::sleep(Duration::from_millis(1));
    value.write(0, &[before + 1])
}

fn count(key: &str, how: How) -> Result<(), StateError> {
    match how {
        How::Local => {
            let value = number(key)?;
            let guard = value.lock(Lock::LocalWrite)?;
            one_more(&value)?;
            guard.unlock()
        }
        How::Global => {
            let value = number(key)?;
            let guard = value.lock(Lock::GlobalWrite)?;
            value.pull()?;
            one_more(&value)?;
            guard.push().map(drop)
        }
        How::Sum => {
            let counter = Counter::durable(key)?;
            counter.add(1)?;
            counter.push()
        }
        How::Append => Log::durable(key)?.append(b"one").map(drop),
    }
}

fn total(key: &str, how: How) -> Result<u64, StateError> {
    match how {
        How::Local | How::Global => {
            let value = number(key)?;
            value.pull()?;
            Ok(value.read(0, 1)?[0])
        }
        How::Sum => Counter::durable(key)?.pull().map(i64::cast_unsigned),
        How::Append => Ok(Log::durable(key)?.read(0)?.0.len() as u64),
    }
}
