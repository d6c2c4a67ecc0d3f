//! HTTP: calls of functions, and everything else that a monitor is asked.
//!
//! What it is: routes, tokens, limits, and errors as problem+json, over [`Monitor`]. What it is
//! not: anything that decides; and it runs on a thread of its own, so that nobody's slow upload
//! stands in the way of a call over QUIC. [`openapi.json`](OPENAPI) says what there is.
//!
//! A client is given so much time for each part of a request ([`HEADER_LIMIT`], and in [`body`] the
//! rest), and there is a limit on connections and on bytes of bodies that are held at once.

mod accept;
mod auth;
mod body;
mod budget;
mod functions;
mod health;
mod host;
mod images;
mod invoke;
mod metrics;
mod modules;
mod operator;
mod prewarm;
mod problem;
mod router;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod uploads;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use faaslet_net::tls;
use faaslet_store::Name;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::api::Problem;
use crate::monitor::Monitor;
use accept::{Limited, Most};
use budget::{Budget, Share};
use uploads::Uploads;

/// What can be asked, as OpenAPI.
pub const OPENAPI: &str = include_str!("openapi.json");
/// Threads of the server. One: between two, each call wakes the one that has nothing to do.
const THREADS: usize = 1;
/// Requests at once that read files or wait for the disk; more wait for their turn.
const MAX_BLOCKING: usize = 16;
/// Time for a request's head.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// Time for the handshake of TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Connections at once, over all addresses.
const MAX_CONNECTIONS: usize = 1024;
/// Connections at once of one address that have shown no valid token.
const MAX_STRANGERS_EACH: usize = 256;
/// Time that a connection may be open without a request.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// How long answers under way may take at the end.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Why there is no HTTP server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on TCP {address}: {source}; is another monitor running there? choose an address with --http or --http-tls"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate.
    #[error("cannot serve HTTP over TLS: {0}; see the tls folder of the monitor's folder")]
    Tls(std::io::Error),
    /// No thread.
    #[error("cannot start the threads of the HTTP server: {0}")]
    Thread(std::io::Error),
}

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Time for a request's head.
    header: Duration,
    /// Connections.
    most: Most,
}

impl Default for Bounds {
    fn default() -> Self {
        let most = Most {
            connections: MAX_CONNECTIONS,
            strangers_each: MAX_STRANGERS_EACH,
            idle: IDLE_LIMIT,
        };
        Self { header: HEADER_LIMIT, most }
    }
}

/// What every request is handled with.
#[derive(Clone)]
struct App(Arc<Shared>);

struct Shared {
    monitor: Arc<Monitor>,
    /// Bytes of bodies that may be held now.
    bodies: Budget,
    /// Turns for what blocks a thread.
    blocking: Semaphore,
    uploads: Uploads,
}

impl App {
    fn monitor(&self) -> &Arc<Monitor> {
        &self.0.monitor
    }

    /// Bytes of bodies that a tenant may hold.
    fn share(&self, tenant: &Name) -> Share {
        self.0.bodies.share(tenant.as_str())
    }

    /// Bytes of bodies that the operator may hold, whose name no tenant has.
    fn operators_share(&self) -> Share {
        self.0.bodies.share("")
    }

    /// Runs what reads files or waits for the disk, on a thread that may. It runs to its end when
    /// its client has gone, and until then nobody else has its turn.
    async fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Arc<Monitor>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let shared = Arc::clone(&self.0);
        let done = tokio::spawn(async move {
            let _turn = shared.blocking.acquire().await;
            let monitor = Arc::clone(&shared.monitor);
            tokio::task::spawn_blocking(move || run(&monitor)).await
        });
        let failed = |error: tokio::task::JoinError| Problem::internal(error.to_string());
        done.await.map_err(failed)?.map_err(failed)
    }
}

/// A server that listens. Dropping it ends it at once; [`HttpServer::stop`] lets answers finish.
pub struct HttpServer {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    handle: Handle<SocketAddr>,
    runtime: Option<Runtime>,
}

/// Serves a monitor over HTTP, and over TLS where `tls` says, with threads of its own.
///
/// # Errors
/// See [`HttpError`].
pub fn serve(
    monitor: Arc<Monitor>,
    address: SocketAddr,
    tls: Option<SocketAddr>,
) -> Result<HttpServer, HttpError> {
    serve_within(monitor, address, tls, Bounds::default())
}

fn serve_within(
    monitor: Arc<Monitor>,
    address: SocketAddr,
    tls: Option<SocketAddr>,
    bounds: Bounds,
) -> Result<HttpServer, HttpError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("faaslet-http")
        .enable_all()
        .build()
        .map_err(HttpError::Thread)?;
    let certificates = monitor.config.dir.join("tls");
    let app = App(Arc::new(Shared {
        monitor,
        bodies: Budget::default(),
        blocking: Semaphore::new(MAX_BLOCKING),
        uploads: Uploads::default(),
    }));
    let (handle, limit) = (Handle::new(), Limited::new(bounds.most));
    let (listener, address) = listen(address)?;
    let entered = runtime.enter();
    let mut server = axum_server::from_tcp(listener)
        .map_err(|source| HttpError::Address { address, source })?
        .handle(handle.clone())
        .acceptor(limit.clone());
    bounded(&mut server, bounds);
    let server = server.first_request_timeout(bounds.header);
    spawn(server.serve(router::router(app.clone()).into_make_service()));
    let tls_address = match tls {
        None => None,
        Some(tls) => {
            let acceptor = tls_acceptor(&runtime, &certificates)?.acceptor(limit);
            Some(serve_tls(tls, acceptor, &handle, app, bounds)?)
        }
    };
    drop(entered);
    Ok(HttpServer { address, tls_address, handle, runtime: Some(runtime) })
}

/// Shows the folder's certificate.
fn tls_acceptor(runtime: &Runtime, certificates: &Path) -> Result<RustlsAcceptor, HttpError> {
    // The first to be set is the one that is used; all set the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (certificate, key) =
        (certificates.join(tls::SERVER_FILE), certificates.join(tls::SERVER_KEY_FILE));
    let config = runtime.block_on(RustlsConfig::from_pem_file(certificate, key));
    Ok(RustlsAcceptor::new(config.map_err(HttpError::Tls)?).handshake_timeout(HANDSHAKE_LIMIT))
}

fn serve_tls(
    address: SocketAddr,
    acceptor: RustlsAcceptor<Limited>,
    handle: &Handle<SocketAddr>,
    app: App,
    bounds: Bounds,
) -> Result<SocketAddr, HttpError> {
    let (listener, address) = listen(address)?;
    let mut server = axum_server::from_tcp(listener)
        .map_err(|source| HttpError::Address { address, source })?
        .handle(handle.clone())
        .acceptor(acceptor);
    bounded(&mut server, bounds);
    let server = server.first_request_timeout(bounds.header);
    spawn(server.serve(router::router(app).into_make_service()));
    Ok(address)
}

fn spawn(serving: impl Future<Output = std::io::Result<()>> + Send + 'static) {
    tokio::spawn(async {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the HTTP server failed");
        }
    });
}

/// Limits on what a client may send before anything of ours looks at it.
fn bounded<A: axum_server::Address, B>(server: &mut axum_server::Server<A, B>, bounds: Bounds) {
    let builder = server.http_builder();
    builder.http1().header_read_timeout(bounds.header).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(HEADER_LIMIT)
        .keep_alive_timeout(HEADER_LIMIT);
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), HttpError> {
    let failed = |source| HttpError::Address { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl HttpServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    #[must_use]
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Takes no new connections, lets answers under way finish for a short time, and ends.
    pub fn stop(mut self) {
        self.handle.graceful_shutdown(Some(END_LIMIT));
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(END_LIMIT);
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
