//! What the end-to-end tests share: the real program, a folder for it, and ways to talk to it.
//!
//! What it is: [`Site`] is a folder with guests and a monitor's data, [`Monitor`] a running
//! `faaslet up` over it, and [`Tenant`] somebody who calls it; [`Host`] and [`Relay`] are a network between monitors. What it
//! is not: any code of the product. The tests under `tests/` know the program by its command line, its wire and its files.
//!
//! Nothing here sleeps to wait for something: [`eventually`] looks until a condition holds or
//! [`PATIENCE`] is over. Processes are ended by their id, and a [`Monitor`] that is dropped checks
//! that it left none behind.
#![allow(clippy::unwrap_used)]

mod groups;
mod guests;
mod hosts;
mod http;
mod monitor;
mod network;
mod program;
mod relay;
mod site;
mod tenant;
pub mod tree;
mod wait;

pub use guests::{built, picture, wat_files};
pub use hosts::Hosts;
pub use http::Answer;
pub use monitor::{Monitor, halt_process, kill_process, resume_process};
pub use network::Host;
pub use program::{Ran, program};
pub use relay::{Fate, Relay, Rule};
pub use site::Site;
pub use tenant::Tenant;
pub use wait::{PATIENCE, eventually, eventually_some, is_alive, pause};
