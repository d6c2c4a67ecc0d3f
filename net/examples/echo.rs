//! What a call costs over the network alone: bare UDP, bare QUIC and our protocol with a handler
//! that does nothing, one after the other in one run, over loopback.
//!
//! ```text
//! cargo run --release -p faaslet-net --example echo [CALLS]
//! ```
//!
//! Each is measured twice: where the scheduler puts the threads, and with all on one core.

use faaslet_net::client::{Client, ClientConfig};
use faaslet_net::server::{Handler, ReplySink, Server, ServerConfig, Tenant};
use faaslet_net::{Call, Reply, tls};
use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const PAYLOAD: &[u8] = &[7; 64];
const IN_FLIGHT: usize = 64;
const TOKEN: &[u8] = b"echo";
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn main() -> Result<()> {
    let calls = std::env::args().nth(1).map_or(Ok(20_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let keys = folder.path().join("tls");
    tls::generate(&keys)?;
    let all = sched_getaffinity(Pid::from_raw(0))?;
    let mut one = CpuSet::new();
    let core = (0..CpuSet::count()).rfind(|core| all.is_set(*core).unwrap_or(false));
    one.set(core.unwrap_or(0))?;
    for (placement, cores) in [("free", all), ("one core", one)] {
        sched_setaffinity(Pid::from_raw(0), &cores)?;
        let udp = udp(calls)?;
        report(placement, "udp", &udp, &udp);
        report(placement, "quinn", &quinn_echo::alone(&keys, calls)?, &udp);
        let (alone, rate, loaded) = faaslet(&keys, calls)?;
        report(placement, "faaslet", &alone, &udp);
        println!(
            "{placement:9} faaslet, {IN_FLIGHT} in flight: {rate:.0} calls/s, {}",
            of(&loaded)
        );
    }
    Ok(())
}

fn report(placement: &str, name: &str, histogram: &Histogram<u64>, base: &Histogram<u64>) {
    let ratio = histogram.value_at_quantile(0.5) as f64 / base.value_at_quantile(0.5) as f64;
    println!("{placement:9} {name:8} alone: {}, {ratio:.2} of udp", of(histogram));
}

fn of(histogram: &Histogram<u64>) -> String {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    format!("p50 {:.1} µs, p99 {:.1} µs", at(0.5), at(0.99))
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 10_000_000_000, 3)?)
}

/// Two blocking threads and two sockets: the least a round trip can cost.
fn udp(calls: usize) -> Result<Histogram<u64>> {
    let (server, client) = (UdpSocket::bind(ANY)?, UdpSocket::bind(ANY)?);
    client.connect(server.local_addr()?)?;
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            if length == 0 || server.send_to(&buffer[..length], from).is_err() {
                break;
            }
        }
    });
    let (mut histogram, mut buffer) = (histogram()?, [0; 2048]);
    for call in 0..calls + calls / 10 {
        let begin = Instant::now();
        client.send(PAYLOAD)?;
        client.recv(&mut buffer)?;
        if call >= calls / 10 {
            histogram.record(begin.elapsed().as_nanos() as u64)?;
        }
    }
    client.send(&[])?;
    server.join().map_err(|_| "the echo thread panicked")?;
    Ok(histogram)
}

struct Echo;

impl Handler for Echo {
    fn authenticate(&self, token: &[u8], _remote: SocketAddr) -> Option<Tenant> {
        (token == TOKEN).then(|| Tenant::new("echo"))
    }

    fn call(&self, _tenant: &Tenant, call: Call, reply: ReplySink) {
        reply.reply(Reply::returned(call.input));
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn faaslet(keys: &Path, calls: usize) -> Result<(Histogram<u64>, f64, Histogram<u64>)> {
    let config = ServerConfig::default();
    let server = Server::bind(ANY, &tls::server_config(keys)?, config, Arc::new(Echo))?;
    let trust = tls::client_config(keys)?;
    let config = ClientConfig::new(server.local_addr(), trust, TOKEN);
    runtime()?.block_on(async {
        let client = Client::connect(config).await?;
        // A task, not the future of `block_on`, which is polled less directly.
        let alone = tokio::spawn(alone(client.clone(), calls)).await??;
        let begin = Instant::now();
        let loaded = in_flight(&client, calls * 20).await?;
        let rate = loaded.len() as f64 / begin.elapsed().as_secs_f64();
        Ok((alone, rate, loaded))
    })
}

async fn alone(client: Client, calls: usize) -> Result<Histogram<u64>> {
    let mut histogram = histogram()?;
    for call in 0..calls + calls / 10 {
        let begin = Instant::now();
        client.call("noop", PAYLOAD).await?;
        if call >= calls / 10 {
            histogram.record(begin.elapsed().as_nanos() as u64)?;
        }
    }
    Ok(histogram)
}

async fn in_flight(client: &Client, calls: usize) -> Result<Histogram<u64>> {
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let client = client.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::with_capacity(calls / IN_FLIGHT);
            for _ in 0..calls / IN_FLIGHT {
                let begin = Instant::now();
                if let Err(error) = client.call("noop", PAYLOAD).await {
                    return Err(error.to_string());
                }
                latencies.push(begin.elapsed().as_nanos() as u64);
            }
            Ok(latencies)
        });
    }
    let mut histogram = histogram()?;
    while let Some(latencies) = tasks.join_next().await {
        for latency in latencies?? {
            histogram.record(latency)?;
        }
    }
    Ok(histogram)
}

/// The same bytes over one long-lived stream of plain `quinn`.
mod quinn_echo {
    use super::{ANY, Histogram, Instant, PAYLOAD, Path, Result, histogram, runtime, tls};
    use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use std::sync::Arc;

    pub(super) fn alone(keys: &Path, calls: usize) -> Result<Histogram<u64>> {
        let (config, keys) = (server_config(keys)?, keys.to_owned());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let server = std::thread::spawn(move || {
            let run = || -> Result<()> {
                runtime()?.block_on(async {
                    let endpoint = quinn::Endpoint::server(config, ANY)?;
                    tell.send(endpoint.local_addr()?)?;
                    serve(&endpoint).await
                })
            };
            run().map_err(|error| error.to_string())
        });
        let addr = told.recv()?;
        let histogram = runtime()?.block_on(async {
            let mut endpoint = quinn::Endpoint::client(ANY)?;
            endpoint.set_default_client_config(client_config(&keys)?);
            let connection = endpoint.connect(addr, tls::SERVER_NAME)?.await?;
            let histogram = tokio::spawn(drive(connection.clone(), calls)).await??;
            connection.close(0u32.into(), b"");
            endpoint.wait_idle().await;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(histogram)
        })?;
        server.join().map_err(|_| "the echo thread panicked")??;
        Ok(histogram)
    }

    async fn drive(connection: quinn::Connection, calls: usize) -> Result<Histogram<u64>> {
        let (mut send, mut receive) = connection.open_bi().await?;
        let (mut histogram, mut buffer) = (histogram()?, [0; PAYLOAD.len()]);
        for call in 0..calls + calls / 10 {
            let begin = Instant::now();
            send.write_all(PAYLOAD).await?;
            receive.read_exact(&mut buffer).await?;
            if call >= calls / 10 {
                histogram.record(begin.elapsed().as_nanos() as u64)?;
            }
        }
        Ok(histogram)
    }

    async fn serve(endpoint: &quinn::Endpoint) -> Result<()> {
        let connection = endpoint.accept().await.ok_or("no connection")?.await?;
        let (mut send, mut receive) = connection.accept_bi().await?;
        let mut buffer = [0; PAYLOAD.len()];
        while receive.read_exact(&mut buffer).await.is_ok() {
            send.write_all(&buffer).await?;
        }
        Ok(())
    }

    fn server_config(keys: &Path) -> Result<quinn::ServerConfig> {
        let certificate = CertificateDer::from_pem_file(keys.join(tls::SERVER_FILE))?;
        let key = PrivateKeyDer::from_pem_file(keys.join(tls::SERVER_KEY_FILE))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let crypto = QuicServerConfig::try_from(Arc::new(config))?;
        Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
    }

    fn client_config(keys: &Path) -> Result<quinn::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(keys.join(tls::TRUST_FILE))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let crypto = QuicClientConfig::try_from(Arc::new(config))?;
        Ok(quinn::ClientConfig::new(Arc::new(crypto)))
    }
}
