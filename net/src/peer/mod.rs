//! Requests between monitors: [`Peers`], and the keys they trust each other by ([`tls`]).
//!
//! What it is: this host's end of a connection to each other host, opened when it is needed and
//! kept. Either end of a connection asks and answers. A request is a head (for the layer above, a
//! few bytes to be read in place) and a payload (bulk, up to 16 MiB); both arrive as they were
//! sent.
//!
//! What it is not: it knows nothing of what is asked, and it never sends a request twice. Who wants
//! a request to be executed once numbers it and asks again when [`PeerError::may_have_run`].
//!
//! ```text
//!  Peers::request ──mailbox──► driver ══QUIC, mTLS══ driver ──PeerHandler::request──► monitor
//!       ▲                        │                      ▲                                │
//!       └────────callback────────┘                      └──mailbox──PeerReply────────────┘
//! ```
//!
//! - Hosts listen for each other on an address of their own, apart from that of callers: trust and
//!   limits are others, and either can be firewalled without the other.
//! - A request waits for a connection until its deadline; attempts go on with growing pauses.
//! - What is under way to one host is bounded in requests and bytes, [`PeerError::Busy`] at once;
//!   so a host that does not read costs a bounded amount of memory.
//! - Callbacks and the handler run on the endpoint's thread and must not block.

mod app;
mod directory;
mod error;
mod link;
pub mod tls;

pub use directory::PeerCounters;
pub use error::PeerError;
pub use faaslet_proto::peer::limits::{MAX_HEAD_BYTES, MAX_PAYLOAD_BYTES};
pub use faaslet_proto::peer::{HostId, InvalidHostId, PeerLimits, PeerResponse, Service};

use crate::endpoint::{Driver, LinkKey, Socket, transport};
use crate::mailbox::Mailbox;
use crate::server::BindError;
use app::PeersApp;
use bytes::Bytes;
use directory::{Admitted, Directory, Row};
use faaslet_proto::CancelReason;
use faaslet_proto::limits::Patience;
use faaslet_proto::peer::PeerRequest;
use link::Asking;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tls::PeerTls;
use tokio::sync::oneshot;

/// What answers the requests of other hosts. Its methods run on the endpoint's thread and must not
/// block.
pub trait PeerHandler: Send + Sync + 'static {
    /// Takes a request of host `from`, which its certificate proves. It is answered through
    /// `reply`, now or later, from any thread.
    fn request(&self, from: HostId, head: Bytes, payload: Bytes, reply: PeerReply);

    /// Nobody waits for a request any more; its response will be dropped.
    fn cancel(&self, request: RequestRef, why: CancelReason) {
        let _ = (request, why);
    }
}

/// A request in flight, unique over the life of [`Peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestRef {
    link: LinkKey,
    id: u64,
}

/// Where the one response to a request goes. Dropped unused, the other host gets
/// [`PeerError::NoResponse`].
pub struct PeerReply {
    mailbox: Arc<Mailbox<Post>>,
    request: RequestRef,
    service: Service,
    deadline: Instant,
    used: bool,
}

impl PeerReply {
    /// The request that this answers, as [`PeerHandler::cancel`] names it.
    #[must_use]
    pub fn request(&self) -> RequestRef {
        self.request
    }

    /// What the request is for.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// When nobody waits for the response any more.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Answers the request. If nobody waits any more, the response is dropped.
    pub fn respond(self, head: impl Into<Bytes>, payload: impl Into<Bytes>) {
        let (head, payload) = (head.into(), payload.into());
        self.post(Response::Answer(PeerResponse { head, payload }));
    }

    /// The same, ahead of all large payloads that wait for the other host to read them.
    pub fn respond_ahead(self, head: impl Into<Bytes>, payload: impl Into<Bytes>) {
        let (head, payload) = (head.into(), payload.into());
        self.post(Response::Ahead(PeerResponse { head, payload }));
    }

    /// Says that the request was not executed and will not be.
    pub fn refuse(self, reason: impl Into<String>) {
        self.post(Response::Refuse(reason.into()));
    }

    fn post(mut self, response: Response) {
        self.used = true;
        let _ = self.mailbox.post(Post::Respond { request: self.request, response });
    }
}

impl Drop for PeerReply {
    fn drop(&mut self) {
        if !self.used {
            let response = Response::Nothing;
            let _ = self.mailbox.post(Post::Respond { request: self.request, response });
        }
    }
}

impl fmt::Debug for PeerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerReply").field(&self.request).finish()
    }
}

/// What peers are set up with.
#[derive(Clone, Copy, Debug)]
pub struct PeersConfig {
    /// What each connection takes from its other end.
    pub limits: PeerLimits,
    /// How long the other end may take; `greeting` bounds each attempt to connect.
    pub patience: Patience,
    /// Requests under way to one host, those included that wait for a connection.
    pub max_queued: usize,
    /// Heads and payloads of those.
    pub max_queued_bytes: u64,
    /// The pause after the first failed attempt to connect; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// A digest of the list of hosts, which must be the same at both ends; 0 for none.
    pub hosts: u64,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            limits: PeerLimits::default(),
            patience: Patience { greeting: Duration::from_secs(2), ..Patience::default() },
            max_queued: 4096,
            max_queued_bytes: 128 << 20,
            first_pause: Duration::from_millis(20),
            max_pause: Duration::from_secs(1),
            hosts: 0,
        }
    }
}

/// A request that was taken, for [`Peers::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    host: HostId,
    number: u64,
}

/// This host's end of all connections between hosts. Cheap to clone; the last one dropped ends it
/// at once, [`Peers::drain`] lets requests finish. What is asked through it is for one service.
#[derive(Clone, Debug)]
pub struct Peers(Arc<Shared>, Service);

#[derive(Debug)]
struct Shared {
    host: HostId,
    config: PeersConfig,
    directory: Directory,
    mailbox: Arc<Mailbox<Post>>,
    next_ticket: AtomicU64,
    local_addr: SocketAddr,
    runtime: tokio::runtime::Handle,
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Peers {
    /// Listens for other hosts on `addr` (port 0 picks one), as the host that `tls` is for, with a
    /// thread of its own. Connections are opened from the same address, so other hosts must be
    /// reachable from it. `table` is the first of [`Peers::set_table`], known before anybody is
    /// heard: a host that comes back must not refuse those who waited for it.
    pub fn bind(
        addr: SocketAddr,
        tls: PeerTls,
        config: PeersConfig,
        table: &[(HostId, SocketAddr)],
        handler: Arc<dyn PeerHandler>,
    ) -> Result<Self, BindError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BindError::Thread)?;
        let address = |source| BindError::Address { addr, source };
        let socket = {
            let _entered = runtime.enter();
            Socket::bind(addr).map_err(address)?
        };
        let local_addr = socket.local_addr().map_err(address)?;
        let (mailbox, handle) = (Arc::new(Mailbox::new()), runtime.handle().clone());
        let host = tls.host();
        let app = PeersApp::new(tls.clone(), config, handler, mailbox.clone());
        let closing = CloseOnDrop(mailbox.clone());
        let run = move || {
            let driver = {
                let _entered = runtime.enter();
                let endpoint = transport::endpoint(Some(&tls.server));
                Driver::new(app, socket, endpoint, Some(transport::server(&tls.server)))
            };
            let result = runtime.block_on(driver);
            drop(closing);
            result
        };
        let peers = Self(
            Arc::new(Shared {
                host,
                config,
                directory: Directory::default(),
                mailbox,
                next_ticket: AtomicU64::new(0),
                local_addr,
                runtime: handle,
                thread: Mutex::new(None),
            }),
            Service::default(),
        );
        peers.set_table(table);
        let name = "faaslet-peers".to_owned();
        let thread =
            std::thread::Builder::new().name(name).spawn(run).map_err(BindError::Thread)?;
        *peers.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(peers)
    }

    /// The same connections, to ask another service of the hosts.
    #[must_use]
    pub fn of(&self, service: Service) -> Self {
        Self(Arc::clone(&self.0), service)
    }

    /// The hosts of the table, but this one, by name.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostId> {
        self.0.directory.counters().into_iter().map(|(host, _)| host).collect()
    }

    /// This host.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.0.host
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr
    }

    /// The endpoint's runtime, on whose thread handler and callbacks are called. It ends with the
    /// last [`Peers`].
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.0.runtime
    }

    /// Replaces the table of hosts: whom this host asks, where, and whom it lets in. A row for this
    /// host itself is skipped, so that all hosts can share one table; of two rows for one host the
    /// last counts. Connections to hosts that stay where they are stay open.
    pub fn set_table(&self, table: &[(HostId, SocketAddr)]) {
        let mut rows: Vec<(HostId, SocketAddr)> = Vec::with_capacity(table.len());
        for row in table.iter().filter(|(host, _)| *host != self.0.host) {
            match rows.iter_mut().find(|(host, _)| *host == row.0) {
                Some(known) => *known = *row,
                None => rows.push(*row),
            }
        }
        self.0.directory.replace(&rows, |rows| {
            let _ = self.0.mailbox.post(Post::Table(rows));
        });
    }

    /// Asks `host`. `done` is called once, on the endpoint's thread, with the response or why there
    /// is none, not much later than `deadline`; unless this returns an error, then never.
    pub fn request(
        &self,
        host: HostId,
        head: impl Into<Bytes>,
        payload: impl Into<Bytes>,
        deadline: Instant,
        done: impl FnOnce(Result<PeerResponse, PeerError>) + Send + 'static,
    ) -> Result<Ticket, PeerError> {
        let (head, payload) = (head.into(), payload.into());
        for (what, limit, found) in
            [("head", MAX_HEAD_BYTES, head.len()), ("payload", MAX_PAYLOAD_BYTES, payload.len())]
        {
            if found > limit {
                let (limit_bytes, found_bytes) = (limit as u64, found as u64);
                return Err(PeerError::TooLarge { what, limit_bytes, found_bytes });
            }
        }
        let peer = self.0.directory.peer(host).ok_or(PeerError::UnknownHost { host })?;
        let bytes = (head.len() + payload.len()) as u64;
        let admitted = Admitted::new(peer, bytes, &self.0.config)?;
        let number = self.0.next_ticket.fetch_add(1, Ordering::Relaxed);
        let asking = Asking::new(number, admitted, Box::new(done));
        let request = PeerRequest { service: self.1, head, payload, deadline };
        match self.0.mailbox.post(Post::Ask { asking, request }) {
            Ok(()) => Ok(Ticket { host, number }),
            Err(post) => {
                if let Post::Ask { asking, .. } = post {
                    asking.forget();
                }
                Err(PeerError::Closed)
            }
        }
    }

    /// Asks `host` and waits for the response. Dropping the future cancels the request.
    pub async fn ask(
        &self,
        host: HostId,
        head: impl Into<Bytes>,
        payload: impl Into<Bytes>,
        deadline: Instant,
    ) -> Result<PeerResponse, PeerError> {
        let (tell, told) = oneshot::channel();
        let ticket = self.request(host, head, payload, deadline, move |result| {
            // Nobody listens any more: then it is for nobody.
            let _ = tell.send(result);
        })?;
        let mut cancel = CancelOnDrop { peers: self, ticket: Some(ticket) };
        let result = told.await.unwrap_or(Err(PeerError::Closed));
        cancel.ticket = None;
        result
    }

    /// Takes a request back: its callback gets [`PeerError::Cancelled`], unless it has ended. The
    /// other host is told.
    pub fn cancel(&self, ticket: Ticket) {
        let _ = self.0.mailbox.post(Post::Cancel(ticket));
    }

    /// Counters of each host in the table, by name.
    #[must_use]
    pub fn counters(&self) -> Vec<(HostId, PeerCounters)> {
        self.0.directory.counters()
    }

    /// Takes no new connection and no new request, lets those in flight finish for at most `grace`,
    /// then ends. Returns at once; [`Peers::join`] waits.
    pub fn drain(&self, grace: Duration) {
        let _ = self.0.mailbox.post(Post::Drain { grace });
    }

    /// Waits until the endpoint has ended: after [`Peers::drain`], or because its socket failed.
    /// Not to be called on the endpoint's thread.
    pub fn join(&self) -> io::Result<()> {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| {
            let panicked = |_| Err(io::Error::other("the peers' thread panicked"));
            thread.join().unwrap_or_else(panicked)
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.mailbox.post(Post::Drain { grace: Duration::ZERO });
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by a callback, which runs on that thread itself.
        let Some(thread) = thread.filter(|it| it.thread().id() != std::thread::current().id())
        else {
            return;
        };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the peers' endpoint failed"),
            Err(_) => tracing::error!("the peers' thread panicked"),
        }
    }
}

struct CancelOnDrop<'a> {
    peers: &'a Peers,
    ticket: Option<Ticket>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.peers.cancel(ticket);
        }
    }
}

/// Refuses posts once the driver is gone, however it went; those that wait are told by being
/// dropped.
struct CloseOnDrop(Arc<Mailbox<Post>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

enum Post {
    Ask { asking: Asking, request: PeerRequest },
    Cancel(Ticket),
    Respond { request: RequestRef, response: Response },
    Table(Vec<Row>),
    Drain { grace: Duration },
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask { .. } => "Ask",
            Self::Cancel(_) => "Cancel",
            Self::Respond { .. } => "Respond",
            Self::Table(_) => "Table",
            Self::Drain { .. } => "Drain",
        })
    }
}

enum Response {
    Answer(PeerResponse),
    Ahead(PeerResponse),
    Refuse(String),
    Nothing,
}
