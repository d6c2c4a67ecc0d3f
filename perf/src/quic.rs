//! A bare echo over `quinn`: one task on either side of one long-lived stream, nothing around the
//! bytes. The least that a request between hosts can cost.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use rustls::pki_types::PrivateKeyDer;
use tokio::runtime::{Builder, Runtime};

use crate::measure::Times;

/// Messages under way at a time, in the second measurement.
const IN_FLIGHT: u64 = 64;
/// Times as many messages in the second measurement.
const MORE: u64 = 20;
const ANYWHERE: &str = "127.0.0.1:0";

/// What an echo took.
pub(crate) struct Echo {
    pub(crate) times: Times,
    /// Answers a second, with [`IN_FLIGHT`] messages under way.
    pub(crate) rate: f64,
}

/// Messages of `there` bytes, each answered by `back` bytes.
pub(crate) fn echo(there: usize, back: usize, messages: u64) -> Result<Echo> {
    let (server_config, client_config) = configs()?;
    let (tell, told) = sync_channel(1);
    let server = std::thread::spawn(move || {
        runtime()?.block_on(async {
            let endpoint = Endpoint::server(server_config, ANYWHERE.parse()?)?;
            tell.send(endpoint.local_addr()?)?;
            serve(&endpoint, there, back).await
        })
    });
    let address = told.recv().context("the echo did not listen")?;
    let echo = runtime()?.block_on(async {
        let mut endpoint = Endpoint::client(ANYWHERE.parse()?)?;
        endpoint.set_default_client_config(client_config);
        let connection = endpoint.connect(address, "localhost")?.await?;
        let echo = tokio::spawn(drive(connection.clone(), there, back, messages)).await??;
        connection.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
        Ok::<_, anyhow::Error>(echo)
    })?;
    server.join().map_err(|_| anyhow!("the echo panicked"))??;
    Ok(echo)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn drive(connection: Connection, there: usize, back: usize, messages: u64) -> Result<Echo> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let (message, mut answer) = (vec![7; there], vec![0; back]);
    let (warm, mut times) = (messages / 10, Times::new());
    for number in 0..warm + messages {
        let begun = Instant::now();
        send.write_all(&message).await?;
        receive.read_exact(&mut answer).await?;
        if number >= warm {
            times.add(begun.elapsed());
        }
    }
    let (all, begun) = (messages * MORE, Instant::now());
    for _ in 0..IN_FLIGHT {
        send.write_all(&message).await?;
    }
    for number in 0..all {
        receive.read_exact(&mut answer).await?;
        if number + IN_FLIGHT < all {
            send.write_all(&message).await?;
        }
    }
    Ok(Echo { times, rate: all as f64 / begun.elapsed().as_secs_f64() })
}

async fn serve(endpoint: &Endpoint, there: usize, back: usize) -> Result<()> {
    let connection = endpoint.accept().await.context("no connection")?.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let (mut message, answer) = (vec![0; there], vec![7; back]);
    while receive.read_exact(&mut message).await.is_ok() {
        send.write_all(&answer).await?;
    }
    Ok(())
}

/// Of two ends that trust a certificate made for them.
fn configs() -> Result<(ServerConfig, ClientConfig)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
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
    Ok((ServerConfig::with_crypto(Arc::new(server)), ClientConfig::new(Arc::new(client))))
}
