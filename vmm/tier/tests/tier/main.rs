//! The tier over real memfds, with slots as Faaslets have them, threads that store, and a model of
//! the owner.
#![allow(clippy::unwrap_used, reason = "tests")]

mod budget;
mod faaslet;
mod lengths;
mod locks;
mod model;
mod owner;
mod resizes;
mod storm;
mod values;
mod waits;
