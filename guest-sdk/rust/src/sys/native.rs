//! A stand-in for the host, so that functions can be tested on the author's machine.
//!
//! It has one call at a time on each thread, and the calls that it chains below it: these run at
//! once, when they are started. Its limits and refusals are the host's. [`crate::test`] is how
//! authors reach it. It is not an emulation: a chained function of the same module shares the
//! memory of its caller here, where it would run in a fork.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use faaslet_abi::{Identity, Level, Outcome, Status};

use crate::entry::Entry;

pub(crate) mod state;

/// Depth of chains, as the host has it unless it is told another.
const MAX_DEPTH: u32 = 64;

/// Chained calls that one call may have open, as the host has it.
const MAX_OPEN_CHAINS: usize = 1024;

/// Stands for a function of another module: how its call ends, or why it is refused at once.
pub(crate) type Stub = Rc<dyn Fn(&[u8]) -> Result<(Outcome, Vec<u8>), Status>>;

/// What all calls of one test share.
#[derive(Default)]
pub(crate) struct World {
    stubs: HashMap<String, Stub>,
    exports: HashMap<String, Entry>,
    pub(crate) logs: Vec<(Level, String)>,
    pub(crate) state: state::Values,
    calls: u64,
}

impl World {
    pub(crate) fn new(stubs: HashMap<String, Stub>, exports: HashMap<String, Entry>) -> Self {
        Self { stubs, exports, ..Self::default() }
    }
}

/// One call.
#[derive(Default)]
pub(crate) struct Context {
    pub(crate) input: Vec<u8>,
    pub(crate) head: Vec<u8>,
    pub(crate) tenant: String,
    pub(crate) function: String,
    /// Invariant: its attempt is 1 or more in a call, and 0 outside of calls.
    pub(crate) identity: Identity,
    pub(crate) output: Vec<u8>,
    pub(crate) error: String,
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) results: BTreeMap<i32, (Outcome, Vec<u8>)>,
    pub(crate) handles: i32,
}

thread_local! {
    /// The calls that run on this thread, each chained by the one before it.
    static CALLS: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
}

/// Runs an entry as a call. `Err` is what it panicked with.
pub(crate) fn run(context: Context, entry: Entry) -> (std::thread::Result<i32>, Context) {
    let depth = CALLS.with_borrow_mut(|calls| {
        calls.push(context);
        calls.len()
    });
    let returned = catch_unwind(AssertUnwindSafe(|| entry()));
    let context = CALLS.with_borrow_mut(|calls| {
        calls.truncate(depth);
        calls.pop()
    });
    (returned, context.unwrap_or_default())
}

/// Gives the call that runs to `use_it`; outside of calls, one with nothing in it, as at the
/// initialisation.
fn with<T>(use_it: impl FnOnce(&mut Context) -> T) -> T {
    CALLS.with_borrow_mut(|calls| match calls.last_mut() {
        Some(call) => use_it(call),
        None => use_it(&mut Context::default()),
    })
}

impl Context {
    /// The context of a call that this one chains.
    fn chained(&self, input: &[u8]) -> Self {
        let mut world = self.world.borrow_mut();
        world.calls += 1;
        let mut call_id = self.identity.call_id;
        call_id[8..].copy_from_slice(&world.calls.to_be_bytes());
        Self {
            input: input.to_vec(),
            tenant: self.tenant.clone(),
            function: self.function.clone(),
            identity: Identity { call_id, attempt: 1, depth: self.identity.depth + 1 },
            world: Rc::clone(&self.world),
            ..Self::default()
        }
    }

    fn check_room(&self) -> Result<(), Status> {
        if self.identity.attempt == 0 {
            return Err(Status::Denied);
        }
        if self.identity.depth + 1 >= MAX_DEPTH {
            return Err(Status::TooDeep);
        }
        if self.results.len() >= MAX_OPEN_CHAINS {
            return Err(Status::Busy);
        }
        Ok(())
    }

    fn keep(&mut self, outcome: Outcome, body: Vec<u8>) -> i32 {
        self.handles += 1;
        self.results.insert(self.handles, (outcome, body));
        self.handles
    }
}

/// Runs a chained function of this module and keeps how it ended.
fn run_chained(entry: Entry, input: &[u8]) -> Result<i32, Status> {
    let context = with(|call| call.check_room().map(|()| call.chained(input)))?;
    let (returned, context) = run(context, entry);
    let (outcome, body) = match returned {
        Ok(0) => (Outcome::Returned, context.output),
        Ok(_) => (Outcome::Failed, context.error.into_bytes()),
        Err(panic) => (Outcome::Trapped, panic_text(panic.as_ref()).into_bytes()),
    };
    Ok(with(|call| call.keep(outcome, body)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// The host calls.
pub(crate) mod calls {
    use super::{Entry, Identity, Level, Outcome, Status, run_chained, with};

    /// Largest output of a call, as the host has it unless it is told another.
    const MAX_OUTPUT_BYTES: usize = 64 << 20;

    /// Longest line of the log, and what a test keeps of it.
    const MAX_LOG_LINE_BYTES: usize = 4 * 1024;

    /// Lines of the log that a test keeps.
    const MAX_LOG_LINES: usize = 10_000;

    pub(crate) fn call_constructors() {}

    pub(crate) fn input() -> Vec<u8> {
        with(|call| call.input.clone())
    }

    pub(crate) fn set_output(bytes: &[u8]) -> Result<(), Status> {
        if bytes.len() > MAX_OUTPUT_BYTES {
            return Err(Status::TooLarge);
        }
        with(|call| call.output = bytes.to_vec());
        Ok(())
    }

    pub(crate) fn set_error(message: &str) {
        with(|call| message.clone_into(&mut call.error));
    }

    pub(crate) fn call(name: &str, input: &[u8]) -> Result<i32, Status> {
        let stub = with(|call| {
            call.check_room()?;
            Ok(call.world.borrow().stubs.get(name).cloned())
        })?;
        let (outcome, body) = match stub {
            Some(stub) => stub(input)?,
            None => (
                Outcome::Refused,
                format!("no function {name:?} in this test: give it one with `Call::stub`")
                    .into_bytes(),
            ),
        };
        Ok(with(|call| call.keep(outcome, body)))
    }

    pub(crate) fn call_export(name: &str, input: &[u8]) -> Result<i32, Status> {
        let entry = with(|call| call.world.borrow().exports.get(name).copied());
        run_chained(entry.ok_or(Status::NotFound)?, input)
    }

    pub(crate) fn call_entry(entry: Entry, input: &[u8]) -> Result<i32, Status> {
        run_chained(entry, input)
    }

    pub(crate) fn wait(handle: i32, _timeout_ms: i64) -> Result<Outcome, Status> {
        with(|call| call.results.get(&handle).map(|result| result.0).ok_or(Status::BadHandle))
    }

    pub(crate) fn result(handle: i32) -> Result<Vec<u8>, Status> {
        with(|call| call.results.get(&handle).map(|result| result.1.clone()))
            .ok_or(Status::BadHandle)
    }

    pub(crate) fn release(handle: i32) {
        with(|call| call.results.remove(&handle));
    }

    pub(crate) fn identity() -> Identity {
        with(|call| call.identity)
    }

    pub(crate) fn tenant() -> String {
        with(|call| call.tenant.clone())
    }

    pub(crate) fn function() -> String {
        with(|call| call.function.clone())
    }

    pub(crate) fn log(level: Level, line: &str) {
        let line = &line[..line.floor_char_boundary(MAX_LOG_LINE_BYTES)];
        with(|call| {
            let logs = &mut call.world.borrow_mut().logs;
            if logs.len() < MAX_LOG_LINES {
                logs.push((level, line.to_owned()));
            }
        });
    }

    pub(crate) fn has_request() -> bool {
        with(|call| !call.head.is_empty())
    }

    pub(crate) fn request_head() -> Vec<u8> {
        with(|call| call.head.clone())
    }

    pub(crate) fn set_status(status: u16) -> Result<(), Status> {
        if !(200..600).contains(&status) {
            return Err(Status::Invalid);
        }
        with(|call| call.status = Some(status));
        Ok(())
    }

    pub(crate) fn add_header(name: &str, value: &str) -> Result<(), Status> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let visible = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
        if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(visible) {
            return Err(Status::Invalid);
        }
        with(|call| call.headers.push((name.to_owned(), value.to_owned())));
        Ok(())
    }
}
