//! `open`: calls through a real monitor at a rising rate, whether or not earlier ones have ended.
//!
//! A call's time runs from when it should have begun, so what queues up anywhere shows in it. The
//! generator is one thread; it stays awake between arrivals and so takes one core, which the
//! monitor shares with it where there are only two. A rate counts as reached when all of its calls
//! were answered, the last of them at most [`LATE`] after the last should have begun.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use faaslet_net::client::Client;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, yield_now};
use tokio::time::{sleep, timeout};

use crate::book::Book;
use crate::http::Connection;
use crate::measure::Times;
use crate::monitor::Monitor;
use crate::plot::{Curve, Plot};
use crate::{calls, guests};

/// Rates that are tried, a second; each way stops at the first that it does not reach.
const RATES: &[u32] = &[
    300, 1_000, 2_000, 4_000, 7_000, 10_000, 14_000, 20_000, 30_000, 50_000, 70_000, 100_000,
    130_000, 160_000, 200_000, 250_000, 300_000, 400_000,
];
/// Time of one rate.
const TIME: Duration = Duration::from_secs(1);
/// See the module's documentation.
const LATE: Duration = Duration::from_millis(100);
/// Times that a rate is tried: others may have had the machine the first time.
const TRIES: usize = 2;
/// Calls under way; a rate that needs more is not reached.
const MAX_UNDER_WAY: usize = 32 * 1024;
/// Calls under way on the QUIC connection; more wait in the client.
const MAX_IN_FLIGHT: usize = 1024;
/// HTTP connections; a call waits for one.
const CONNECTIONS: usize = 64;
/// Nearer than that, the generator does not sleep: its timers are no finer.
const AWAKE: Duration = Duration::from_millis(3);

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let folder = TempDir::new()?;
    let monitor = Monitor::up(folder.path())?;
    monitor.deploy("noop", &guests::text("noop")?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut curves = runtime.block_on(LocalSet::new().run_until(quic(book, &monitor)))?;
    curves.extend(runtime.block_on(LocalSet::new().run_until(http(book, &monitor)))?);
    Plot {
        file: "open.svg",
        title: "Calls through the monitor: rate against latency, generator on one of the cores",
        x: "calls a second",
        y: "from intended start, µs",
        from: (100.0, 10.0),
        to: (1_000_000.0, 1_000_000.0),
    }
    .draw(&curves)
}

async fn quic(book: &mut Book, monitor: &Monitor) -> Result<Vec<Curve>> {
    let mut config = monitor.client()?;
    config.max_in_flight = MAX_IN_FLIGHT;
    let client = Client::connect(config).await?;
    rising(book, "quic", || {
        let client = client.clone();
        async move { calls::call(&client).await }
    })
    .await
}

async fn http(book: &mut Book, monitor: &Monitor) -> Result<Vec<Curve>> {
    let free = Rc::new((Semaphore::new(CONNECTIONS), RefCell::new(Vec::new())));
    for _ in 0..CONNECTIONS {
        let connection = Connection::open(monitor).await?;
        free.1.borrow_mut().push(connection);
    }
    rising(book, "http", || {
        let free = Rc::clone(&free);
        async move {
            let _permit = free.0.acquire().await?;
            let connection = free.1.borrow_mut().pop();
            let mut connection = connection.context("no connection for a permit")?;
            connection.call().await?;
            free.1.borrow_mut().push(connection);
            Ok(())
        }
    })
    .await
}

/// One way at rising rates: its rows, and curves of median and 99th percentile.
async fn rising<F>(book: &mut Book, way: &str, call: impl Fn() -> F) -> Result<Vec<Curve>>
where
    F: Future<Output = Result<()>> + 'static,
{
    let (mut p50, mut p99, mut most) = (Vec::new(), Vec::new(), 0);
    call().await?;
    for rate in RATES {
        let Some(times) = tried(*rate, &call).await? else { break };
        book.put_times(&format!("call.{way}.open.{rate}"), &times, None);
        p50.push((f64::from(*rate), times.p50_us()));
        p99.push((f64::from(*rate), times.p99_us()));
        most = *rate;
    }
    book.put(&format!("call.{way}.open.most"), f64::from(most), "1/s");
    Ok(vec![Curve::new(format!("{way} p50"), p50), Curve::new(format!("{way} p99"), p99)])
}

async fn tried<F>(rate: u32, call: &impl Fn() -> F) -> Result<Option<Times>>
where
    F: Future<Output = Result<()>> + 'static,
{
    for _ in 0..TRIES {
        if let Some(times) = arrivals(rate, call).await? {
            return Ok(Some(times));
        }
    }
    Ok(None)
}

/// Calls at a fixed rate; `None` when it is not reached.
async fn arrivals<F>(rate: u32, call: &impl Fn() -> F) -> Result<Option<Times>>
where
    F: Future<Output = Result<()>> + 'static,
{
    let times = Rc::new(RefCell::new(Times::new()));
    let mut under_way = JoinSet::new();
    let begun = Instant::now();
    let all = async {
        for number in 0..(f64::from(rate) * TIME.as_secs_f64()) as u32 {
            let intended = begun + TIME.mul_f64(f64::from(number) / f64::from(rate));
            until(intended).await;
            let (answered, times) = (call(), Rc::clone(&times));
            under_way.spawn_local(async move {
                answered.await?;
                times.borrow_mut().add(intended.elapsed());
                anyhow::Ok(())
            });
            while let Some(ended) = under_way.try_join_next() {
                ended??;
            }
            if under_way.len() > MAX_UNDER_WAY {
                return Ok(false);
            }
        }
        while let Some(ended) = under_way.join_next().await {
            ended??;
        }
        Ok(true)
    };
    let reached = timeout(TIME + LATE, all).await.unwrap_or(Ok(false));
    // What is still under way must not disturb what is measured next.
    let left = async { while under_way.join_next().await.is_some() {} };
    timeout(10 * TIME, left).await.map_err(|_| anyhow!("calls without an answer"))?;
    let times = times.borrow().clone();
    reached.map(|reached: bool| reached.then_some(times))
}

/// Waits for a moment, awake at the end.
async fn until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        } else if left > AWAKE {
            sleep(left.saturating_sub(AWAKE)).await;
        } else {
            yield_now().await;
        }
    }
}
