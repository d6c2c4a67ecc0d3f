//! `remote`: what a function costs on a host where it was not deployed, two monitors on this machine.
//!
//! Bare quinn is the peer of the calls, in the same run. Shipping is measured twice: as it comes,
//! each piece checked and dropped, and as a monitor does it, into its store and made ready to be
//! called.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use faaslet_net::client::BlockingClient;
use faaslet_net::peer::{HostId, PeerHandler, PeerReply, Peers, PeersConfig, tls};
use faaslet_net::ship::{Ask, Body, Range, Record, RecordFile, Reply, SERVICE, Urgency};
use faaslet_store::{Hash, Outline, PIECE_BYTES};
use tempfile::TempDir;

use crate::book::Book;
use crate::measure::{Times, middle};
use crate::monitor::Monitor;
use crate::quic;

/// Round trips of the bare echo.
const ECHOES: u64 = 5_000;
/// Functions that are called for the first time on the other host.
const FUNCTIONS: usize = 15;
/// Memory of a small function's image and of a large one's.
const SMALL_BYTES: usize = 256 << 10;
const LARGE_BYTES: usize = 240 << 20;
/// Reads under way at once, and pieces of each: as a monitor has them.
const READS: usize = 8;
const READ_BYTES: usize = 512 << 10;
/// How often the large image is shipped; the middle one counts.
const SHIPPINGS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(book: &mut Book) -> Result<()> {
    book.put_times("remote.echo", &quic::echo(64, 64, ECHOES)?.times, None);
    let pair = Pair::up()?;
    cold(book, &pair)?;
    again(book, &pair)?;
    warm(book, &pair)?;
    ship(book, &pair)
}

/// Two monitors that know each other, and a third host that is this process.
struct Pair {
    one: Monitor,
    two: Monitor,
    bench: Peers,
    _folder: TempDir,
}

/// This process gives nothing.
struct Nothing;

impl PeerHandler for Nothing {
    fn request(&self, _: HostId, _: bytes::Bytes, _: bytes::Bytes, reply: PeerReply) {
        reply.refuse("nothing is here");
    }
}

impl Pair {
    fn up() -> Result<Self> {
        let folder = TempDir::new()?;
        let names = ["one", "two", "bench"];
        let hosts = names.map(HostId::new);
        let sockets = names.map(|_| UdpSocket::bind("127.0.0.1:0"));
        let mut table: Vec<(HostId, SocketAddr)> = Vec::new();
        for (host, socket) in hosts.into_iter().zip(&sockets) {
            let socket = socket.as_ref().map_err(|error| anyhow!("no port: {error}"))?;
            table.push((host?, socket.local_addr()?));
        }
        drop(sockets);
        let authority = folder.path().join("authority");
        tls::generate_authority(&authority)?;
        let mut list = String::new();
        for (host, address) in &table {
            tls::generate_host(&authority, *host, &folder.path().join(host.as_str()))?;
            list += &format!("{host} {address}\n");
        }
        std::fs::write(folder.path().join("hosts"), list)?;
        let one = Monitor::up_as(folder.path(), "one")?;
        let two = Monitor::up_as(folder.path(), "two")?;
        let (host, address) = table[2];
        let keys = tls::load(&folder.path().join("bench"), host)?;
        let handler = std::sync::Arc::new(Nothing);
        let bench = Peers::bind(address, keys, PeersConfig::default(), &table, handler)?;
        Ok(Self { one, two, bench: bench.of(SERVICE), _folder: folder })
    }
}

/// A function that fills so much of its memory when it is initialised, differently for each seed,
/// and does nothing when it is called.
fn module(bytes: usize, seed: usize) -> Result<Vec<u8>> {
    let pages = bytes / 65_536 + 1;
    let text = format!(
        r#"(module (memory (export "memory") {pages})
        (func (export "faaslet_init") (local $at i32) (local $word i64)
            (local.set $word (i64.const {}))
            (local.set $at (i32.const 65536))
            (loop $next
                (local.set $word (i64.add (i64.const 1442695040888963407)
                    (i64.mul (local.get $word) (i64.const 6364136223846793005))))
                (i64.store (local.get $at) (local.get $word))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const {})))))
        (func (export "faaslet_main") (result i32) i32.const 0))"#,
        seed + 1,
        pages * 65_536
    );
    Ok(wat::parse_str(text)?)
}

/// Calls that bring a function of 256 KiB, of which the other host has nothing.
fn cold(book: &mut Book, pair: &Pair) -> Result<()> {
    let client = BlockingClient::connect(pair.two.client()?)?;
    let mut times = Times::new();
    for number in 0..FUNCTIONS {
        let name = format!("cold{number}");
        pair.one.deploy(&name, &module(SMALL_BYTES, number)?)?;
        times.add(called(&client, &name)?);
    }
    book.put_times("remote.call.cold", &times, Some("remote.echo"));
    Ok(())
}

/// Calls of functions that the other host has not heard of, whose files it has.
fn again(book: &mut Book, pair: &Pair) -> Result<()> {
    let client = BlockingClient::connect(pair.two.client()?)?;
    let (module, mut times) = (module(SMALL_BYTES, 0)?, Times::new());
    for number in 0..FUNCTIONS {
        let name = format!("again{number}");
        pair.one.deploy(&name, &module)?;
        times.add(called(&client, &name)?);
    }
    book.put_times("remote.call.cached", &times, Some("remote.echo"));
    Ok(())
}

/// Calls of a function that is warm there.
fn warm(book: &mut Book, pair: &Pair) -> Result<()> {
    let client = BlockingClient::connect(pair.two.client()?)?;
    let times =
        crate::measure::times(Duration::from_secs(1), || called(&client, "cold0").map(|_| ()))?;
    book.put_times("remote.call.warm", &times, Some("remote.echo"));
    Ok(())
}

fn called(client: &BlockingClient, name: &str) -> Result<Duration> {
    let begun = Instant::now();
    let reply = client.call(name, &b""[..])?;
    let took = begun.elapsed();
    ensure!(reply.payload.is_empty(), "{name} answered {:?}", reply.payload);
    Ok(took)
}

fn ship(book: &mut Book, pair: &Pair) -> Result<()> {
    pair.one.deploy("large", &module(LARGE_BYTES, 0)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = HostId::new("one")?;
    let rate = |bytes: u64, took: Duration| bytes as f64 * 8.0 / took.as_secs_f64() / 1e9;
    let rates = runtime.block_on(async {
        let mut rates = Vec::new();
        for _ in 0..SHIPPINGS {
            let file = image(&pair.bench, host).await?;
            let begun = Instant::now();
            pulled(&pair.bench, host, &file).await?;
            rates.push(rate(file.bytes, begun.elapsed()));
        }
        Ok::<_, anyhow::Error>(rates)
    })?;
    book.put("remote.ship.rate", middle(rates), "Gbit/s");
    let (bytes, took) = pair.one.prewarm("large", "two")?;
    book.put("remote.prewarm.rate", rate(bytes, took), "Gbit/s");
    Ok(())
}

async fn ask(peers: &Peers, host: HostId, body: Body) -> Result<(Reply, bytes::Bytes)> {
    let head = Ask::new("default", body).to_bytes()?;
    let deadline = Instant::now() + PATIENCE;
    let answer = peers.ask(host, head, bytes::Bytes::new(), deadline).await?;
    Ok((Reply::from_bytes(&answer.head)?, answer.payload))
}

/// The file of the large function's image.
async fn image(peers: &Peers, host: HostId) -> Result<RecordFile> {
    let (_, record) = ask(peers, host, Body::Find { function: "large".to_owned() }).await?;
    let files = Record::from_bytes(&record)?.files;
    files.into_iter().max_by_key(|file| file.bytes).context("a record without files")
}

/// Has a file sent, and checks each piece.
async fn pulled(peers: &Peers, host: HostId, file: &RecordFile) -> Result<()> {
    let (_, bytes) = ask(peers, host, Body::Outline { file: file.file }).await?;
    let outline = Outline::new(Hash(file.file.hash), file.bytes, &bytes)?;
    let pieces: Vec<u32> = (0..outline.pieces()).collect();
    let mut waiting: Vec<&[u32]> = pieces.chunks(READ_BYTES / PIECE_BYTES).rev().collect();
    let next = std::cell::RefCell::new(&mut waiting);
    let worker = || async {
        loop {
            let Some(pieces) = next.borrow_mut().pop() else { return Ok::<_, anyhow::Error>(()) };
            let range = |piece: &u32| {
                let (at, bytes) = outline.place(*piece);
                Range { at, bytes: bytes as u32 }
            };
            let ranges = pieces.iter().map(range).collect();
            let body = Body::Read { file: file.file, ranges, urgency: Urgency::Ahead };
            let (_, mut bytes) = ask(peers, host, body).await?;
            for piece in pieces {
                let own = bytes.split_to(outline.place(*piece).1.min(bytes.len()));
                ensure!(outline.fits(*piece, &own), "piece {piece} is another");
            }
        }
    };
    let workers: Vec<_> = (0..READS).map(|_| worker()).collect();
    for worker in futures_util::future::join_all(workers).await {
        worker?;
    }
    Ok(())
}

impl Monitor {
    /// Starts the monitor of a host of the list in `folder`.
    fn up_as(folder: &Path, host: &str) -> Result<Self> {
        let (list, keys) = (folder.join("hosts"), folder.join(host));
        let data = folder.join(format!("{host}-data"));
        std::fs::create_dir(&data)?;
        let text = |path: &Path| path.display().to_string();
        let flags = ["--peers", &text(&list), "--host", host, "--peer-keys", &text(&keys)];
        Self::up_with(&data, &flags)
    }

    /// Has a function made warm on a host; bytes that were moved, and the time.
    fn prewarm(&self, name: &str, host: &str) -> Result<(u64, Duration)> {
        let flags = ["prewarm", name, "--host", host, "--wait", "--json"];
        let rows: serde_json::Value = serde_json::from_slice(&self.command(&flags)?)?;
        let number = |field: &str| rows[0][field].as_u64().context("a row without a number");
        Ok((number("moved_bytes")?, Duration::from_micros(number("took_us")?)))
    }
}
