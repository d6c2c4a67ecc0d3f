//! What a request between hosts costs beside the same bytes over bare QUIC, in one run over
//! loopback: one at a time, and with 64 in flight on one connection.
//!
//! ```text
//! cargo run --release --example peer_echo [REQUESTS]
//! ```
//!
//! `push` sends 4 KiB and gets 64 B back, `pull` the other way round, `small` is 64 B both ways.
//! The bare echo is `quinn` with one task on either side of one long-lived stream, with nothing
//! around the bytes. Each is measured where the scheduler puts the threads, and on one core.

use bytes::Bytes;
use faaslet_net::peer::{HostId, PeerHandler, PeerReply, Peers, PeersConfig, tls};
use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

mod quinn_echo;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const IN_FLIGHT: usize = 64;
const SMALL_BYTES: usize = 64;
const LARGE_BYTES: usize = 4 << 10;
const HEAD: &[u8] = &[1; 16];
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(30);

/// Name, bytes there, bytes back.
const SHAPES: [(&str, usize, usize); 3] = [
    ("small", SMALL_BYTES, SMALL_BYTES),
    ("push", LARGE_BYTES, SMALL_BYTES),
    ("pull", SMALL_BYTES, LARGE_BYTES),
];

fn main() -> Result<()> {
    let requests = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    keys(folder.path())?;
    let all = sched_getaffinity(Pid::from_raw(0))?;
    let mut one = CpuSet::new();
    let core = (0..CpuSet::count()).rfind(|core| all.is_set(*core).unwrap_or(false));
    one.set(core.unwrap_or(0))?;
    for (placement, cores) in [("free", all), ("one core", one)] {
        sched_setaffinity(Pid::from_raw(0), &cores)?;
        for (name, there, back) in SHAPES {
            let bare = quinn_echo::run(there, back, requests)?;
            let (alone, rate) = peers(folder.path(), there, back, requests)?;
            let at = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.5) as f64 / 1000.0;
            println!(
                "{placement:9} {name:6} quinn {:6.1} µs, {:7.0}/s; peers {:6.1} µs ({:.2} of \
                 quinn), {rate:7.0}/s ({:.2} of quinn)",
                at(&bare.0),
                bare.1,
                at(&alone),
                at(&alone) / at(&bare.0),
                rate / bare.1
            );
        }
    }
    Ok(())
}

fn keys(folder: &Path) -> Result<()> {
    tls::generate_authority(&folder.join("authority"))?;
    for name in ["a", "b"] {
        let host = HostId::new(name)?;
        tls::generate_host(&folder.join("authority"), host, &folder.join(name))?;
    }
    Ok(())
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 10_000_000_000, 3)?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Answers so many bytes, whatever it is asked.
struct Answer(Bytes);

impl PeerHandler for Answer {
    fn request(&self, _from: HostId, head: Bytes, _payload: Bytes, reply: PeerReply) {
        reply.respond(head, self.0.clone());
    }
}

fn peers(
    folder: &Path,
    there: usize,
    back: usize,
    requests: usize,
) -> Result<(Histogram<u64>, f64)> {
    let handler = Arc::new(Answer(vec![7; back].into()));
    let bind = |name: &str| -> Result<Peers> {
        let tls = tls::load(&folder.join(name), HostId::new(name)?)?;
        Ok(Peers::bind(ANY, tls, PeersConfig::default(), &[], handler.clone())?)
    };
    let (a, b) = (bind("a")?, bind("b")?);
    let table = [(a.host(), a.local_addr()), (b.host(), b.local_addr())];
    a.set_table(&table);
    b.set_table(&table);
    let payload = Bytes::from(vec![7; there]);
    let (asker, asked) = (a.clone(), payload.clone());
    // On the endpoint's thread, where a monitor's own work is.
    let alone = a.runtime().spawn(async move {
        let mut histogram = histogram()?;
        for request in 0..requests + requests / 10 {
            let begin = Instant::now();
            asker.ask(b.host(), HEAD, asked.clone(), begin + PATIENCE).await?;
            if request >= requests / 10 {
                histogram.record(begin.elapsed().as_nanos() as u64)?;
            }
        }
        Ok::<_, Box<dyn Error + Send + Sync>>((histogram, b))
    });
    let (alone, b) = runtime()?.block_on(alone)??;
    let rate = in_flight(&a, b.host(), &payload, requests * 20)?;
    Ok((alone, rate))
}

/// A chain of requests: each response asks for the next.
struct Chain {
    peers: Peers,
    host: HostId,
    payload: Bytes,
    left: AtomicUsize,
    running: AtomicUsize,
    done: std::sync::Mutex<Option<oneshot::Sender<bool>>>,
}

impl Chain {
    fn next(self: Arc<Self>) {
        if self.left.fetch_sub(1, Ordering::Relaxed) > IN_FLIGHT {
            let (chain, until) = (self.clone(), Instant::now() + PATIENCE);
            let step = move |result: std::result::Result<_, _>| {
                if result.is_ok() { chain.next() } else { chain.end(false) }
            };
            if self.peers.request(self.host, HEAD, self.payload.clone(), until, step).is_ok() {
                return;
            }
            return self.end(false);
        }
        if self.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.end(true);
        }
    }

    fn end(&self, well: bool) {
        let done = self.done.lock().ok().and_then(|mut done| done.take());
        if let Some(done) = done {
            let _ = done.send(well);
        }
    }
}

fn in_flight(peers: &Peers, host: HostId, payload: &Bytes, requests: usize) -> Result<f64> {
    let (done, told) = oneshot::channel();
    let chain = Arc::new(Chain {
        peers: peers.clone(),
        host,
        payload: payload.clone(),
        left: AtomicUsize::new(requests + IN_FLIGHT),
        running: AtomicUsize::new(IN_FLIGHT),
        done: std::sync::Mutex::new(Some(done)),
    });
    let begin = Instant::now();
    for _ in 0..IN_FLIGHT {
        chain.clone().next();
    }
    if !told.blocking_recv()? {
        return Err("a request failed".into());
    }
    Ok(requests as f64 / begin.elapsed().as_secs_f64())
}
