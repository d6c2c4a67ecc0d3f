//! A bare echo over `quinn`, the one of the network's examples: the least that a request between
//! hosts can cost.

use anyhow::{Result, anyhow};

use crate::measure::Times;

#[path = "../../net/examples/quinn_echo/mod.rs"]
mod quinn_echo;

/// What an echo took.
pub(crate) struct Echo {
    pub(crate) times: Times,
    /// Answers a second, with many messages under way.
    pub(crate) rate: f64,
}

/// Messages of `there` bytes, each answered by `back` bytes.
pub(crate) fn echo(there: usize, back: usize, messages: u64) -> Result<Echo> {
    let echo = quinn_echo::run(there, back, messages as usize);
    let (times, rate) = echo.map_err(|error| anyhow!("the bare echo: {error}"))?;
    Ok(Echo { times: Times::of(&times), rate })
}
