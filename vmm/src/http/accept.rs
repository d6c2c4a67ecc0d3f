//! Connections: how many there may be, whose they are, and how long one may idle.
//!
//! One whose requests have shown no valid token is a *stranger*. Strangers are limited for each
//! address and over all, so that room is left for those who have shown one.

#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::{AddExtension, Next};
use axum::response::Response;
use axum_server::accept::Accept;
use faaslet_net::strangers::{MostStrangers, Strangers, TooMany};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tower_layer::Layer;

/// How many connections there may be, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Over all.
    pub connections: usize,
    /// Of strangers from one address.
    pub strangers_each: usize,
    /// Time without a request.
    pub idle: Duration,
}

impl Most {
    fn strangers(&self) -> MostStrangers {
        MostStrangers::of(self.connections, self.strangers_each)
    }
}

/// Takes connections up to a limit; more are closed at once.
#[derive(Clone, Debug)]
pub struct Limited(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: Most,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    strangers: Strangers,
}

impl Limited {
    /// Such limits.
    pub fn new(most: Most) -> Self {
        Self(Arc::new(Shared { most, counts: Mutex::default() }))
    }

    /// One more from an address, if there is room.
    fn admit(&self, address: IpAddr) -> Result<Connection, Refused> {
        let (mut counts, most) = (self.counts(), &self.0.most);
        if counts.all >= most.connections {
            return Err(Refused::All);
        }
        counts.strangers.room(most.strangers(), address)?;
        counts.all += 1;
        counts.strangers.enter(address);
        drop(counts);
        let (limited, known) = (self.clone(), AtomicBool::new(false));
        let (requests, rested) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        Ok(Connection(Arc::new(Standing { limited, address, known, requests, rested })))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("as many connections as may be")]
    All,
    #[error(transparent)]
    Stranger(#[from] TooMany),
}

/// A connection, as its requests find it among their extensions.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Standing>);

#[derive(Debug)]
struct Standing {
    limited: Limited,
    address: IpAddr,
    known: AtomicBool,
    requests: AtomicUsize,
    /// When the last request ended.
    rested: Mutex<Instant>,
}

impl Connection {
    /// It has shown a valid token.
    pub fn show(&self) {
        if !self.0.known.swap(true, Ordering::Relaxed) {
            self.0.limited.counts().strangers.leave(self.0.address);
        }
    }

    fn begin(&self) -> UnderWay {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// When it will have idled for too long, as it is now.
    fn idles_until(&self) -> Instant {
        let rested = match self.0.requests.load(Ordering::Relaxed) {
            0 => *self.rested(),
            _ => Instant::now(),
        };
        rested + self.0.limited.0.most.idle
    }

    fn rested(&self) -> MutexGuard<'_, Instant> {
        self.0.rested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut counts = self.limited.counts();
        counts.all -= 1;
        if !*self.known.get_mut() {
            counts.strangers.leave(self.address);
        }
    }
}

/// A request that has not been answered whole.
struct UnderWay(Connection);

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.rested() = Instant::now();
        self.0.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps a connection from idling until the answer has been taken whole.
pub async fn watch(
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let under_way = connection.begin();
    let answer = next.run(request).await;
    answer.map(|body| Body::new(Watched { body, _under_way: under_way }))
}

struct Watched {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl<S> Accept<TcpStream, S> for Limited {
    type Stream = Counted;
    type Service = AddExtension<S, Connection>;
    type Future = std::future::Ready<io::Result<(Counted, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let counted = || {
            let admitted = self.admit(stream.peer_addr()?.ip());
            let refused = |why| io::Error::new(io::ErrorKind::ConnectionRefused, why);
            let connection = admitted.map_err(refused)?;
            stream.set_nodelay(true)?;
            let idle = Box::pin(sleep(self.0.most.idle));
            let service = Extension(connection.clone()).layer(service);
            Ok((Counted { stream, connection, idle }, service))
        };
        std::future::ready(counted())
    }
}

/// A connection that counts, and ends when it has idled for too long.
#[derive(Debug)]
pub struct Counted {
    stream: TcpStream,
    connection: Connection,
    idle: Pin<Box<Sleep>>,
}

impl Counted {
    /// Ready when it has idled for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.idle.as_mut().poll(context).is_ready() {
            let until = self.connection.idles_until();
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.idle.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_idle(context).is_ready() {
            let error = io::Error::new(io::ErrorKind::TimedOut, "no request for too long");
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
