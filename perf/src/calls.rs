//! `call`: a call through a real monitor, over QUIC and HTTP, beside a bare UDP echo; where the
//! scheduler puts the threads, and with all processes on one core.

use std::future::Future;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use faaslet_net::client::Client;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::guests;
use crate::measure::{self, Times};
use crate::monitor::Monitor;

/// Time of one measurement.
const TIME: Duration = Duration::from_secs(3);
/// Time before it, without looking.
const WARM: Duration = Duration::from_millis(500);
/// Calls under way at a time, in the second measurement of each.
const IN_FLIGHT: usize = 64;
/// What the echo carries.
const PAYLOAD: [u8; 64] = [7; 64];
/// Longest head of an HTTP answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;

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
    book.put_times(&udp, &echo()?, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (way, flights) in [("quic", [1, IN_FLIGHT]), ("http", [1, IN_FLIGHT])] {
        for flight in flights {
            let name = format!("call.{way}{placement}.c{flight}");
            let (times, took) = match way {
                "quic" => runtime.block_on(quic(&monitor, flight))?,
                _ => runtime.block_on(http(&monitor, flight))?,
            };
            book.put_times(&name, &times, (flight == 1).then_some(udp.as_str()));
            book.put(&format!("{name}.rate"), times.len() as f64 / took.as_secs_f64(), "1/s");
        }
    }
    Ok(())
}

/// Two blocking threads and two sockets: the least that a round trip can cost.
fn echo() -> Result<Times> {
    let (server, client) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    client.connect(server.local_addr()?)?;
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            if length == 0 || server.send_to(&buffer[..length], from).is_err() {
                break;
            }
        }
    });
    let (mut failed, mut buffer) = (None, [0; 2048]);
    let times = measure::times(TIME, || {
        let done = client.send(&PAYLOAD).and_then(|_| client.recv(&mut buffer));
        failed = failed.take().or(done.err());
    });
    client.send(&[])?;
    ensure!(server.join().is_ok(), "the echo panicked");
    failed.map_or(Ok(times), |error| Err(error.into()))
}

/// Keeps `flight` calls under way on one connection.
async fn quic(monitor: &Monitor, flight: usize) -> Result<(Times, Duration)> {
    let client = Client::connect(monitor.client()?).await?;
    let loops = (0..flight).map(|_| {
        let client = client.clone();
        looped(async move || {
            client.call("noop", &b""[..]).await?;
            Ok(())
        })
    });
    together(loops).await
}

/// Keeps one request under way on each of `flight` connections.
async fn http(monitor: &Monitor, flight: usize) -> Result<(Times, Duration)> {
    let token = monitor.token()?;
    let request = format!(
        "POST /f/noop HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
    );
    let mut loops = Vec::new();
    for _ in 0..flight {
        let mut stream = TcpStream::connect(monitor.address.http).await?;
        stream.set_nodelay(true)?;
        let request = request.clone();
        let mut answer = Vec::with_capacity(MAX_HEAD_BYTES);
        loops.push(looped(async move || {
            exchange(&mut stream, request.as_bytes(), &mut answer).await
        }));
    }
    together(loops.into_iter()).await
}

/// One request and its answer, which must be 200 and without a body.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request).await?;
    answer.clear();
    while !answer.ends_with(b"\r\n\r\n") {
        ensure!(answer.len() < MAX_HEAD_BYTES, "the answer has no end");
        ensure!(stream.read_buf(answer).await? > 0, "the monitor closed the connection");
    }
    if !answer.starts_with(b"HTTP/1.1 200")
        || !answer.windows(17).any(|part| part.eq_ignore_ascii_case(b"content-length: 0"))
    {
        bail!("expected 200 without a body; found {}", String::from_utf8_lossy(answer));
    }
    Ok(())
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

/// Runs loops at the same time; their times, and how long they took them for.
async fn together<F>(loops: impl Iterator<Item = F>) -> Result<(Times, Duration)>
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
        anyhow::Ok(times)
    };
    let times = local.run_until(all).await?;
    Ok((times, TIME))
}
