//! `call`: a call through a real monitor, over QUIC and HTTP, beside a bare UDP echo; where the
//! scheduler puts the threads, and with all processes on one core.
//!
//! Each of so many callers waits for its answer before it calls again; `open.rs` does not wait.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use faaslet_net::client::Client;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::http::Connection;
use crate::measure::Times;
use crate::monitor::Monitor;
use crate::{echo, guests};

/// Time of one measurement.
const TIME: Duration = Duration::from_secs(3);
/// Time before it, without looking.
const WARM: Duration = Duration::from_millis(500);
/// Calls under way at a time, in the second measurement of each.
const IN_FLIGHT: usize = 64;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let all = sched_getaffinity(Pid::from_raw(0))?;
    let last = (0..CpuSet::count()).rfind(|core| all.is_set(*core).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.context("no core to run on")?)?;
    for (placement, cores) in [("", &all), (".one_core", &one)] {
        sched_setaffinity(Pid::from_raw(0), cores)?;
        let done = placed(book, placement);
        sched_setaffinity(Pid::from_raw(0), &all)?;
        done?;
    }
    Ok(())
}

/// All of it, with everything that is started from here on where this thread is.
fn placed(book: &mut Book, placement: &str) -> Result<()> {
    let folder = TempDir::new()?;
    let monitor = Monitor::up(folder.path())?;
    monitor.deploy("noop", &guests::text("noop")?)?;
    let udp = format!("udp{placement}");
    book.put_times(&udp, &echo::times(TIME)?, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (way, flights) in [("quic", [1, IN_FLIGHT]), ("http", [1, IN_FLIGHT])] {
        for flight in flights {
            let name = format!("call.{way}{placement}.c{flight}");
            let times = match way {
                "quic" => runtime.block_on(quic(&monitor, flight))?,
                _ => runtime.block_on(http(&monitor, flight))?,
            };
            book.put_times(&name, &times, (flight == 1).then_some(udp.as_str()));
            book.put(&format!("{name}.rate"), times.len() as f64 / TIME.as_secs_f64(), "1/s");
        }
    }
    Ok(())
}

/// A call over QUIC, whose answer must be empty.
pub(crate) async fn call(client: &Client) -> Result<()> {
    let reply = client.call("noop", &b""[..]).await?;
    ensure!(reply.payload.is_empty(), "noop answered {:?}", reply.payload);
    Ok(())
}

/// Keeps `flight` calls under way on one connection.
async fn quic(monitor: &Monitor, flight: usize) -> Result<Times> {
    let client = Client::connect(monitor.client()?).await?;
    let loops = (0..flight).map(|_| {
        let client = client.clone();
        looped(async move || call(&client).await)
    });
    together(loops).await
}

/// Keeps one request under way on each of `flight` connections.
async fn http(monitor: &Monitor, flight: usize) -> Result<Times> {
    let mut loops = Vec::new();
    for _ in 0..flight {
        let mut connection = Connection::open(monitor).await?;
        loops.push(looped(async move || connection.call().await));
    }
    together(loops.into_iter()).await
}

/// Repeats a call for the time of a measurement, and times each.
async fn looped(mut call: impl AsyncFnMut() -> Result<()>) -> Result<Times> {
    let begun = Instant::now();
    let (mut times, mut before) = (Times::new(), begun);
    while before - begun < WARM + TIME {
        call().await?;
        let now = Instant::now();
        if before - begun >= WARM {
            times.add(now - before);
        }
        before = now;
    }
    Ok(times)
}

/// Runs loops at the same time.
async fn together<F>(loops: impl Iterator<Item = F>) -> Result<Times>
where
    F: Future<Output = Result<Times>> + 'static,
{
    let local = tokio::task::LocalSet::new();
    let mut tasks = JoinSet::new();
    loops.for_each(|one| drop(tasks.spawn_local_on(one, &local)));
    let all = async {
        let mut times = Times::new();
        while let Some(one) = tasks.join_next().await {
            times.merge(&one??);
        }
        Ok(times)
    };
    local.run_until(all).await
}
