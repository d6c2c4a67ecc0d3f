//! A cell: the process that runs the Faaslets of one tenant.
//!
//! What it is: slots, the host interface, and the queue of each worker thread. What it is not:
//! scheduling between hosts, names beyond its tenant, or compiling. Start at [`Worker`] for the
//! order of things, at [`Faaslet`] for one call.

mod audit;
mod backtrace;
mod call;
mod exchange;
mod faaslet;
mod file;
mod function;
mod host;
pub(crate) mod image;
mod limits;
mod live;
mod local;
mod peers;
pub mod process;
mod results;
mod stop;
mod streams;
mod tables;
mod thread;
mod ticker;
mod turns;
mod worker;

pub use audit::{AUDIT_ONE_IN, Audit};
pub use call::{Answer, Call, Entry, Mode, Refusal, ResponseHead};
pub use exchange::{Exchange, LogLine};
pub(crate) use faaslet::failure;
pub use faaslet::{Faaslet, MakeError, Ran, ScannerCell};
pub(crate) use file::read_all;
pub use function::{Function, Source};
pub(crate) use host::{Stage, linker};
pub use limits::{FILLING_WORKERS, Limits};
pub use local::{Ask, LocalTier, Replied, task_of, worker_of};
pub use stop::Stop;
pub use streams::Direct;
pub use ticker::Ticker;
pub use worker::{Counts, Departure, MAX_QUEUED_CALLS, Origin, Outside, Parent, Worker};

#[cfg(test)]
pub(crate) mod tests;
