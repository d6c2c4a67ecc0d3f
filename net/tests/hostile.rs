//! Peers that mean harm, or are merely broken, and a network that loses a server.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Bench, LONG, TOKEN, is_unknown};
use faaslet_net::client::{Client, ClientConfig, ConnectError};
use faaslet_net::server::ServerConfig;
use faaslet_net::{CloseCode, Limits, Patience, tls};
use faaslet_proto::ServerSettings;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("this should not take so long")
}

async fn still_answers(bench: &Bench) {
    let client = within(bench.client()).await.unwrap();
    assert_eq!(within(client.call("echo", "well")).await.unwrap().payload, "well");
}

/// A QUIC client that speaks no protocol of ours.
struct Stranger {
    _endpoint: quinn::Endpoint,
    connection: quinn::Connection,
}

impl Stranger {
    async fn connect(bench: &Bench) -> Self {
        Self::from(bench, "127.0.0.1:0").await
    }

    async fn from(bench: &Bench, local: &str) -> Self {
        let dir = bench.folder.path().join("tls");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join(tls::TRUST_FILE)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![tls::ALPN.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(Arc::new(config)).unwrap();
        let mut endpoint = quinn::Endpoint::client(local.parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(bench.addr, tls::SERVER_NAME).unwrap();
        Self { connection: within(connecting).await.unwrap(), _endpoint: endpoint }
    }

    async fn sends(&self, bytes: &[u8]) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, receive) = within(self.connection.open_bi()).await.unwrap();
        let _ = within(send.write_all(bytes)).await;
        (send, receive)
    }

    /// The code and the reason that the server ends the connection with.
    async fn ended(&self) -> (CloseCode, String) {
        match within(self.connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => (
                CloseCode::from_u64(close.error_code.into_inner()).unwrap(),
                String::from_utf8(close.reason.to_vec()).unwrap(),
            ),
            other => panic!("the server should end it: {other}"),
        }
    }
}

/// A frame with any content.
fn frame(kind: u8, head: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&(head.len() as u16).to_le_bytes());
    frame.extend_from_slice(&[kind, 0]);
    frame.extend_from_slice(head);
    frame.extend_from_slice(payload);
    frame
}

fn hello() -> Vec<u8> {
    frame(1, &[1, 0, 1, 0], TOKEN.as_bytes())
}

fn impatient() -> ServerConfig {
    let patience = Patience {
        greeting: Duration::from_millis(200),
        stall: Duration::from_millis(200),
        idle: LONG,
    };
    ServerConfig {
        session: ServerSettings { patience, limits: Limits::default() },
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn noise_in_datagrams_is_ignored() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let bench = Bench::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20_000 {
        let mut noise = vec![0; rng.random_range(0..1500)];
        rng.fill_bytes(&mut noise);
        if rng.random() && !noise.is_empty() {
            noise[0] |= 0xc0; // A long header, as a handshake begins.
        }
        let _ = socket.send_to(&noise, bench.addr);
    }
    still_answers(&bench).await;
}

#[tokio::test]
async fn noise_after_the_handshake_ends_the_connection() {
    let bench = Bench::new();
    let stranger = Stranger::connect(&bench).await;
    let _streams = stranger.sends(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let (code, reason) = stranger.ended().await;
    assert_eq!(code, CloseCode::Protocol);
    assert!(reason.contains("expected a frame of kind 1 to 9"), "{reason}");
    still_answers(&bench).await;
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection() {
    let bench = Bench::new();
    let stranger = Stranger::connect(&bench).await;
    let mut bytes = hello();
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0x7f, 0, 0, 3, 0]);
    let _streams = stranger.sends(&bytes).await;
    let (code, reason) = stranger.ended().await;
    assert_eq!(code, CloseCode::Protocol);
    // Calls before the welcome are out of place too, but the size is seen first.
    assert!(reason.contains("found 2147483647"), "{reason}");
    still_answers(&bench).await;
}

#[tokio::test]
async fn another_version_is_told_so() {
    let bench = Bench::new();
    let stranger = Stranger::connect(&bench).await;
    let _streams = stranger.sends(&frame(1, &[4, 0, 5, 0], TOKEN.as_bytes())).await;
    let (code, reason) = stranger.ended().await;
    assert_eq!(code, CloseCode::Version);
    assert!(reason.contains("1 to 2") && reason.contains("4 to 5"), "{reason}");
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_is_ended() {
    let bench = Bench::with(impatient());
    let (silent, half, slow) = tokio::join!(
        Stranger::connect(&bench),
        Stranger::connect(&bench),
        Stranger::connect(&bench)
    );
    let _half = half.sends(&hello()[..10]).await;
    let mut begun = hello();
    begun.extend_from_slice(&[0, 0]);
    let _begun = slow.sends(&begun).await;
    for stranger in [&silent, &half, &slow] {
        assert_eq!(stranger.ended().await.0, CloseCode::Stalled);
    }
    still_answers(&bench).await;
}

#[tokio::test]
async fn a_finished_stream_ends_the_connection() {
    let bench = Bench::new();
    let stranger = Stranger::connect(&bench).await;
    let (mut send, _receive) = stranger.sends(&hello()).await;
    send.finish().unwrap();
    assert_eq!(stranger.ended().await.0, CloseCode::Protocol);
}

/// Reads nothing while it asks for gigabytes: the server holds a bounded part of it.
#[tokio::test]
async fn a_reader_that_does_not_read_is_ended() {
    let bench = Bench::with(impatient());
    let before = resident_bytes();
    let client = within(bench.client()).await.unwrap();
    // A call's bytes, written by an honest session with other limits, then nothing is read.
    let stranger = Stranger::connect(&bench).await;
    let (mut send, mut receive) = stranger.sends(&hello()).await;
    let mut welcome = [0; 8];
    within(receive.read_exact(&mut welcome)).await.unwrap();
    let mut calls = honest_calls("big", &[1; 2], 1000);
    calls.drain(..hello().len());
    let _ = tokio::time::timeout(Duration::from_secs(5), send.write_all(&calls)).await;
    assert_eq!(stranger.ended().await.0, CloseCode::Stalled);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 600 << 20, "the server grew by {grown} bytes");
    assert_eq!(within(client.call("echo", "well")).await.unwrap().payload, "well");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// What a client sends that makes `count` calls: a hello, and the calls.
fn honest_calls(function: &str, input: &[u8], count: usize) -> Vec<u8> {
    use faaslet_proto::{ClientSession, Mode, Request, ServerSession};
    let now = std::time::Instant::now();
    let mut client =
        ClientSession::new(now, faaslet_proto::ClientSettings::default(), TOKEN.as_bytes());
    let mut server = ServerSession::new(now, ServerSettings::default());
    let mut sent = Vec::new();
    while let Some(bytes) = client.poll_transmit(now) {
        sent.extend_from_slice(&bytes);
        server.handle_bytes(now, bytes).unwrap();
    }
    server.welcome(now, "acme");
    while let Some(bytes) = server.poll_transmit(now) {
        client.handle_bytes(now, bytes).unwrap();
    }
    for _ in 0..count {
        let input = bytes::Bytes::copy_from_slice(input);
        let request = Request { function, input, mode: Mode::Default, attempt: 1, deadline: None };
        client.call(now, request).unwrap();
    }
    while let Some(bytes) = client.poll_transmit(now) {
        sent.extend_from_slice(&bytes);
    }
    sent
}

/// First datagrams of handshakes from callers that never go on: the honest still get in.
#[tokio::test]
async fn half_open_handshakes_do_not_keep_others_out() {
    let bench = Bench::new();
    let first = Arc::new(Mutex::new(Vec::new()));
    // A socket that takes down what a client would have sent, and answers nothing.
    let trap = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = bench.client_config();
    config.addr = trap.local_addr().unwrap();
    config.max_attempts = 1;
    config.patience.greeting = Duration::from_millis(10);
    for _ in 0..50 {
        let _ = within(Client::connect(config.clone())).await;
        let mut datagram = [0; 2000];
        let length = trap.recv(&mut datagram).unwrap();
        first.lock().unwrap().push(datagram[..length].to_vec());
    }
    for datagram in first.lock().unwrap().iter() {
        for _ in 0..20 {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(datagram, bench.addr).unwrap();
        }
    }
    still_answers(&bench).await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused() {
    let bench = Bench::with(ServerConfig { max_connections: 2, ..ServerConfig::default() });
    let one = within(bench.client()).await.unwrap();
    let two = within(bench.client()).await.unwrap();
    let mut config = bench.client_config();
    config.max_attempts = 1;
    is_full(within(Client::connect(config)).await);
    for client in [&one, &two] {
        within(client.call("echo", "")).await.unwrap();
    }
}

fn is_full(connected: Result<Client, ConnectError>) {
    let refused = connected.err().unwrap();
    assert!(matches!(refused, ConnectError::Denied { code: CloseCode::Full, .. }), "{refused:?}");
}

#[tokio::test]
async fn strangers_of_one_address_leave_room_for_others() {
    let bench = Bench::with(ServerConfig { max_strangers_each: 3, ..ServerConfig::default() });
    // One that shows its token is a stranger no more.
    let known = within(bench.client()).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(Stranger::connect(&bench).await);
    }
    let mut config = bench.client_config();
    config.max_attempts = 1;
    is_full(within(Client::connect(config)).await);
    let another = Stranger::from(&bench, "127.0.0.2:0").await;
    within(known.call("echo", "")).await.unwrap();
    // Where one goes, one may come.
    strangers.pop().unwrap().connection.close(0_u32.into(), b"");
    still_answers(&bench).await;
    drop((strangers, another));
}

#[tokio::test]
async fn a_tenant_has_no_more_connections_than_it_may() {
    let config = ServerConfig { max_connections_of_tenant: 2, ..ServerConfig::default() };
    let bench = Bench::with(config);
    let one = within(bench.client()).await.unwrap();
    let two = within(bench.client()).await.unwrap();
    let mut config = bench.client_config();
    config.max_attempts = 1;
    is_full(within(Client::connect(config)).await);
    for client in [&one, &two] {
        within(client.call("echo", "")).await.unwrap();
    }
}

/// Passes datagrams between one client and a server that can be exchanged for another.
struct Relay {
    addr: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let far = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let (addr, stop) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (server, client) = (Arc::new(Mutex::new(server)), Arc::new(Mutex::new(None)));
        let mut threads = Vec::new();
        for forth in [true, false] {
            let (near, far, stop) = (near.clone(), far.clone(), stop.clone());
            let (server, client) = (server.clone(), client.clone());
            threads.push(std::thread::spawn(move || {
                let (from, to) = if forth { (&near, &far) } else { (&far, &near) };
                from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                let mut datagram = vec![0; 65_536];
                while !stop.load(Ordering::SeqCst) {
                    let Ok((length, sender)) = from.recv_from(&mut datagram) else { continue };
                    let target = if forth {
                        *client.lock().unwrap() = Some(sender);
                        Some(*server.lock().unwrap())
                    } else {
                        *client.lock().unwrap()
                    };
                    if let Some(target) = target {
                        let _ = to.send_to(&datagram[..length], target);
                    }
                }
            }));
        }
        Self { addr, server, stop, threads }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// As after kill -9 and a restart: the new server has never heard of the connection and says so,
/// and the client need not wait until the old one counts as lost.
#[tokio::test]
async fn a_server_that_forgot_us_is_noticed_at_once() {
    let mut bench = Bench::new();
    let relay = Relay::to(bench.addr);
    let config = ClientConfig { addr: relay.addr, ..bench.client_config() };
    let client = within(Client::connect(config)).await.unwrap();
    within(client.call("echo", "before")).await.unwrap();
    let killed = bench.server.take();
    bench.addr = "127.0.0.1:0".parse().unwrap();
    bench.start();
    *relay.server.lock().unwrap() = bench.addr;
    // Sent to a server that does not know the connection: lost, and known to be.
    let error = tokio::time::timeout(Duration::from_secs(8), client.call("echo", "during")).await;
    assert!(is_unknown(&error.expect("noticed before the idle timeout").unwrap_err()));
    assert_eq!(within(client.call("echo", "after")).await.unwrap().payload, "after");
    drop(killed);
}
