//! The bare echo that requests between hosts are compared with: `quinn`, one task on either side of
//! one long-lived stream, and nothing around the bytes.

use hdrhistogram::Histogram;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::PrivateKeyDer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const IN_FLIGHT: usize = 64;
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Median and rate of so many round trips, one after the other and many at once.
pub(crate) fn run(there: usize, back: usize, requests: usize) -> Result<(Histogram<u64>, f64)> {
    let (server_config, client_config) = configs()?;
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let server = std::thread::spawn(move || {
        let run = || -> Result<()> {
            runtime()?.block_on(async {
                let endpoint = quinn::Endpoint::server(server_config, ANY)?;
                tell.send(endpoint.local_addr()?)?;
                serve(&endpoint, there, back).await
            })
        };
        run().map_err(|error| error.to_string())
    });
    let addr = told.recv()?;
    let measured = runtime()?.block_on(async {
        let mut endpoint = quinn::Endpoint::client(ANY)?;
        endpoint.set_default_client_config(client_config);
        let connection = endpoint.connect(addr, "localhost")?.await?;
        let measured = tokio::spawn(drive(connection.clone(), there, back, requests)).await??;
        connection.close(0u32.into(), b"");
        endpoint.wait_idle().await;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(measured)
    })?;
    server.join().map_err(|_| "the echo thread panicked")??;
    Ok(measured)
}

async fn drive(
    connection: quinn::Connection,
    there: usize,
    back: usize,
    requests: usize,
) -> Result<(Histogram<u64>, f64)> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let (mut histogram, message) = (histogram()?, vec![7; there]);
    let mut buffer = vec![0; back];
    for request in 0..requests + requests / 10 {
        let begin = Instant::now();
        send.write_all(&message).await?;
        receive.read_exact(&mut buffer).await?;
        if request >= requests / 10 {
            histogram.record(begin.elapsed().as_nanos() as u64)?;
        }
    }
    let requests = requests * 20;
    let begin = Instant::now();
    for _ in 0..IN_FLIGHT {
        send.write_all(&message).await?;
    }
    for request in 0..requests {
        receive.read_exact(&mut buffer).await?;
        if request + IN_FLIGHT < requests {
            send.write_all(&message).await?;
        }
    }
    Ok((histogram, requests as f64 / begin.elapsed().as_secs_f64()))
}

async fn serve(endpoint: &quinn::Endpoint, there: usize, back: usize) -> Result<()> {
    let connection = endpoint.accept().await.ok_or("no connection")?.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let (mut buffer, message) = (vec![0; there], vec![7; back]);
    while receive.read_exact(&mut buffer).await.is_ok() {
        send.write_all(&message).await?;
    }
    Ok(())
}

fn configs() -> Result<(quinn::ServerConfig, quinn::ClientConfig)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key.into()))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate)?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = QuicServerConfig::try_from(Arc::new(server))?;
    let client = QuicClientConfig::try_from(Arc::new(client))?;
    Ok((
        quinn::ServerConfig::with_crypto(Arc::new(server)),
        quinn::ClientConfig::new(Arc::new(client)),
    ))
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 10_000_000_000, 3)?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
