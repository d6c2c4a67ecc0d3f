//! The faaslet monitor, its cells and builders, and the command line over them.

pub mod api;
pub mod builder;
pub mod cell;
pub mod cli;
pub mod control;
pub mod engine;
pub mod http;
pub mod monitor;
pub mod wire;
