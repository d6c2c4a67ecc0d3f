//! The monitor's end: listens, lets callers in by their credential, hands calls to a [`Handler`].
//!
//! ```text
//!  Server::bind ──► thread "faaslet-quic": current-thread runtime ──► driver
//!                                                   │ Handler::authenticate, call, cancel
//!                                                   ▼
//!                        any thread: ReplySink::reply ──mailbox──► driver
//! ```
//!
//! The handler is called on the endpoint's thread and must not block. What it starts may run
//! anywhere, on this thread too: [`Server::runtime`] is where a task runs without a thread to wake.

mod leaving;

use crate::endpoint::{Admission, App, Driver, End, Hub, LinkKey, Socket, transport};
use crate::mailbox::Mailbox;
use crate::strangers::{MostStrangers, Strangers};
use crate::tls::ServerTls;
use faaslet_proto::{
    Call, CancelReason, Close, CloseCode, Outcome, Refusal, Reply, ServerEvent, ServerSession,
    ServerSettings, StateReply, StateRequest,
};
use leaving::Leaving;
use quinn_proto::Incoming;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Strangers, above which a new one must prove its address first.
const PROVE_ABOVE_ALL: usize = 128;
/// The same for those of one address: whoever only writes it on its datagrams fills no share of it.
const PROVE_ABOVE_EACH: usize = 16;

/// Who a caller is, by its credential.
#[derive(Clone, Debug)]
pub struct Tenant {
    name: Arc<str>,
    credential: Credential,
}

impl Tenant {
    /// The tenant of this name, by a credential that does not end.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), credential: Credential::default() }
    }

    /// The same, by a credential that may end.
    #[must_use]
    pub fn by(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }
}

/// Whether what a caller showed gives it a right still. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Credential(Arc<AtomicBool>);

impl Credential {
    /// Gives no right from now on: no call is taken by it. [`Closer::close_ended`] also closes the
    /// connections that it opened.
    pub fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Closes connections of a server, from any thread.
#[derive(Clone)]
pub struct Closer(Arc<Mailbox<Post>>);

impl Closer {
    /// Closes the connections whose credentials have ended; their calls are cancelled.
    pub fn close_ended(&self) {
        // A server that has gone has no connections.
        let _ = self.0.post(Post::CloseEnded);
    }
}

impl std::ops::Deref for Tenant {
    type Target = str;
    fn deref(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What answers calls. Its methods run on the endpoint's thread and must not block.
pub trait Handler: Send + Sync + 'static {
    /// Whose credential `token` is; nothing for one that is unknown. Compare in constant time.
    fn authenticate(&self, token: &[u8], remote: SocketAddr) -> Option<Tenant>;

    /// Takes a call. It is answered through `reply`, now or later, from any thread.
    fn call(&self, tenant: &Tenant, call: Call, reply: ReplySink);

    /// Takes a request for state; as a call.
    fn state(&self, tenant: &Tenant, request: StateRequest, reply: ReplySink) {
        let _ = (tenant, request);
        reply.reply(Reply::refused(Refusal::CannotBeMade, "this server keeps no state"));
    }

    /// Nobody waits for a call any more; its reply will be dropped.
    fn cancel(&self, call: CallRef, why: CancelReason) {
        let _ = (call, why);
    }

    /// A batch of calls was handed over, and answers can be taken into what is sent next.
    fn turn(&self) {}

    /// The endpoint is about to sleep until something wakes its runtime. False when there is
    /// something to do: [`Handler::turn`] is called again.
    fn rest(&self) -> bool {
        true
    }
}

/// A call in flight, unique over the life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallRef {
    link: LinkKey,
    id: u64,
}

/// Where the one answer to a call goes. Dropped unused, it answers [`Outcome::Lost`].
pub struct ReplySink {
    mailbox: Arc<Mailbox<Post>>,
    call: CallRef,
    used: bool,
}

impl ReplySink {
    /// The call that this answers, as [`Handler::cancel`] names it.
    #[must_use]
    pub fn call(&self) -> CallRef {
        self.call
    }

    /// Answers the call. If nobody waits any more, the answer is dropped.
    pub fn reply(mut self, reply: Reply) {
        self.used = true;
        let _ = self.mailbox.post(Post::Reply { call: self.call, reply });
    }

    /// Answers a request for state.
    pub fn reply_state(mut self, reply: StateReply) {
        self.used = true;
        let _ = self.mailbox.post(Post::State { call: self.call, reply });
    }
}

impl Drop for ReplySink {
    fn drop(&mut self) {
        if !self.used {
            let reply = Reply::new(Outcome::Lost, "the call was dropped without an answer");
            let _ = self.mailbox.post(Post::Reply { call: self.call, reply });
        }
    }
}

impl fmt::Debug for ReplySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplySink").field(&self.call).finish()
    }
}

/// What a server is set up with.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// What each connection may use, and how long its other end may take.
    pub session: ServerSettings,
    /// Connections at the same time; more are refused.
    pub max_connections: usize,
    /// Of them, those of one address that have shown no valid token.
    pub max_strangers_each: usize,
    /// Of them, those of one tenant.
    pub max_connections_of_tenant: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            session: ServerSettings::default(),
            max_connections: 4096,
            max_strangers_each: 256,
            max_connections_of_tenant: 2048,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on UDP {addr}: {source}; is another monitor running there?")]
    Address {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No thread or runtime for the endpoint.
    #[error("cannot start the endpoint's thread: {0}")]
    Thread(io::Error),
}

/// A listening endpoint. Dropping it ends it at once; [`Server::drain`] lets calls finish.
#[derive(Debug)]
pub struct Server {
    mailbox: Arc<Mailbox<Post>>,
    local_addr: SocketAddr,
    runtime: tokio::runtime::Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Listens on `addr` (port 0 picks one) with a thread of its own.
    pub fn bind(
        addr: SocketAddr,
        tls: &ServerTls,
        config: ServerConfig,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, BindError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BindError::Thread)?;
        let socket = {
            let _entered = runtime.enter();
            Socket::bind(addr).map_err(|source| BindError::Address { addr, source })?
        };
        let local_addr =
            socket.local_addr().map_err(|source| BindError::Address { addr, source })?;
        let mailbox = Arc::new(Mailbox::new());
        let app = ServerApp::new(config, handler, mailbox.clone());
        let endpoint = transport::endpoint(Some(tls));
        let (crypto, handle) = (transport::server(tls), runtime.handle().clone());
        let thread = std::thread::Builder::new()
            .name("faaslet-quic".to_owned())
            .spawn(move || {
                let closing = CloseOnDrop(app.mailbox.clone());
                let driver = {
                    let _entered = runtime.enter();
                    Driver::new(app, socket, endpoint, Some(crypto))
                };
                let result = runtime.block_on(driver);
                drop(closing);
                result
            })
            .map_err(BindError::Thread)?;
        Ok(Self { mailbox, local_addr, runtime: handle, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Closes connections whose credentials have ended.
    #[must_use]
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.mailbox))
    }

    /// The endpoint's runtime, on whose thread the handler is called. It ends with the server.
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Takes no new connection and no new call, and goes on with those in flight until
    /// [`Server::drain`]. Connections without any are ended after a farewell; so are those whose
    /// other end has vanished, and their calls are cancelled.
    pub fn go_away(&self) {
        let _ = self.mailbox.post(Post::GoAway);
    }

    /// [`Server::go_away`]; lets calls in flight finish for at most `grace`, then ends. Returns at
    /// once; [`Server::join`] waits.
    pub fn drain(&self, grace: Duration) {
        let _ = self.mailbox.post(Post::Drain { grace });
    }

    /// Waits until the endpoint has ended: after [`Server::drain`], or because its socket failed.
    pub fn join(mut self) -> io::Result<()> {
        self.thread.take().map_or(Ok(()), join)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.mailbox.post(Post::Drain { grace: Duration::ZERO });
        if let Some(Err(error)) = self.thread.take().map(join) {
            tracing::error!(%error, "the QUIC endpoint failed");
        }
    }
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the endpoint's thread panicked")))
}

/// Refuses posts once the driver is gone, however it went.
struct CloseOnDrop(Arc<Mailbox<Post>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

#[derive(Debug)]
enum Post {
    Reply { call: CallRef, reply: Reply },
    State { call: CallRef, reply: StateReply },
    GoAway,
    CloseEnded,
    Drain { grace: Duration },
}

struct ServerApp {
    config: ServerConfig,
    handler: Arc<dyn Handler>,
    mailbox: Arc<Mailbox<Post>>,
    /// Invariant: the connections that were welcomed and have not ended.
    tenants: HashMap<LinkKey, Tenant>,
    strangers: Strangers,
    /// Invariant: where each of `strangers` came from.
    from: HashMap<LinkKey, IpAddr>,
    leaving: Option<Leaving>,
}

impl ServerApp {
    fn new(config: ServerConfig, handler: Arc<dyn Handler>, mailbox: Arc<Mailbox<Post>>) -> Self {
        let (strangers, from) = (Strangers::default(), HashMap::new());
        Self { config, handler, mailbox, tenants: HashMap::new(), strangers, from, leaving: None }
    }

    fn handle_hello(
        &mut self,
        now: Instant,
        key: LinkKey,
        token: &[u8],
        remote: SocketAddr,
        session: &mut ServerSession,
    ) -> Result<(), Close> {
        let Some(tenant) = self.handler.authenticate(token, remote) else {
            let reason = "this monitor knows no such token; ask its operator for one";
            return Err(Close::new(CloseCode::Unauthorised, reason));
        };
        let others = self.tenants.values().filter(|other| ***other == *tenant).count();
        if others >= self.config.max_connections_of_tenant {
            return Err(full(others));
        }
        session.welcome(now, &tenant);
        self.not_a_stranger(key);
        self.tenants.insert(key, tenant);
        Ok(())
    }

    /// It has shown a token, or has gone.
    fn not_a_stranger(&mut self, key: LinkKey) {
        if let Some(address) = self.from.remove(&key) {
            self.strangers.leave(address);
        }
    }

    /// Who asks and where the answer goes, if the credential gives a right still.
    fn taken(&self, key: LinkKey, id: u64) -> Result<Option<(&Tenant, ReplySink)>, Close> {
        let Some(tenant) = self.tenants.get(&key) else { return Ok(None) };
        if tenant.credential.has_ended() {
            return Err(no_right());
        }
        let (mailbox, call) = (self.mailbox.clone(), CallRef { link: key, id });
        Ok(Some((tenant, ReplySink { mailbox, call, used: false })))
    }

    fn close_ended(&mut self, now: Instant, hub: &mut Hub<ServerSession>) {
        let ended = self.tenants.iter().filter(|(_, tenant)| tenant.credential.has_ended());
        let ended: Vec<_> = ended.map(|(key, _)| *key).collect();
        for key in ended {
            let session = hub.close(now, key, no_right());
            self.handle_end(now, key, session, &End::Ours(no_right()), hub);
        }
    }
}

/// What a caller is told whose credential has ended.
fn no_right() -> Close {
    Close::new(CloseCode::Unauthorised, "the token was removed; ask the operator for another one")
}

/// What a caller is told whose tenant has as many connections as it may.
fn full(found: usize) -> Close {
    let reason = format!(
        "the tenant has {found} connections, as many as it may; close some: one carries many calls"
    );
    Close::new(CloseCode::Full, reason)
}

impl App for ServerApp {
    type Session = ServerSession;
    type Post = Post;

    fn mailbox(&self) -> &Mailbox<Post> {
        &self.mailbox
    }

    fn handle_post(&mut self, now: Instant, post: Post, hub: &mut Hub<ServerSession>) {
        match post {
            Post::Reply { call, reply } => {
                if let Some(session) = hub.session(call.link) {
                    session.reply(now, call.id, reply);
                }
            }
            Post::State { call, reply } => {
                if let Some(session) = hub.session(call.link) {
                    session.state_reply(now, call.id, reply);
                }
            }
            Post::GoAway => self.go_away(now, hub),
            Post::CloseEnded => self.close_ended(now, hub),
            Post::Drain { grace } => self.drain(now, now + grace, hub),
        }
    }

    fn handle_events(
        &mut self,
        now: Instant,
        key: LinkKey,
        remote: SocketAddr,
        session: &mut ServerSession,
    ) -> Result<(), Close> {
        while let Some(event) = session.poll_event() {
            match event {
                ServerEvent::Hello { token } => {
                    self.handle_hello(now, key, &token, remote, session)?;
                }
                ServerEvent::Call { id, call } => {
                    let Some((tenant, sink)) = self.taken(key, id)? else { continue };
                    self.handler.call(tenant, call, sink);
                }
                ServerEvent::State { id, request } => {
                    let Some((tenant, sink)) = self.taken(key, id)? else { continue };
                    self.handler.state(tenant, request, sink);
                }
                ServerEvent::Cancelled { id, why } => {
                    self.handler.cancel(CallRef { link: key, id }, why);
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self) {
        self.handler.turn();
    }

    fn rest(&mut self) -> bool {
        self.handler.rest()
    }

    fn handle_end(
        &mut self,
        _now: Instant,
        key: LinkKey,
        session: Option<ServerSession>,
        end: &End,
        _hub: &mut Hub<ServerSession>,
    ) {
        let tenant = self.tenants.remove(&key);
        self.not_a_stranger(key);
        tracing::debug!(reason = end.reason(), ?tenant, "a connection ended");
        for id in session.iter().flat_map(ServerSession::given_out) {
            self.handler.cancel(CallRef { link: key, id }, CancelReason::Disconnected);
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        incoming: &Incoming,
        open_links: usize,
    ) -> Admission<ServerSession> {
        let (address, config) = (incoming.remote_address().ip(), &self.config);
        if self.leaving.is_some() || open_links >= config.max_connections {
            return Admission::Refuse;
        }
        let many = self.strangers.count() >= PROVE_ABOVE_ALL
            || self.strangers.of(address) >= PROVE_ABOVE_EACH.min(config.max_strangers_each);
        if many && !incoming.remote_address_validated() && incoming.may_retry() {
            return Admission::Prove;
        }
        let most = MostStrangers::of(config.max_connections, config.max_strangers_each);
        if let Err(why) = self.strangers.room(most, address) {
            tracing::debug!(%address, %why, "a connection was refused");
            return Admission::Refuse;
        }
        Admission::Accept(ServerSession::new(now, self.config.session))
    }

    fn handle_accepted(&mut self, key: LinkKey, remote: SocketAddr) {
        self.strangers.enter(remote.ip());
        self.from.insert(key, remote.ip());
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.leaving.as_ref().map(Leaving::due)
    }

    fn handle_timeout(&mut self, now: Instant, hub: &mut Hub<ServerSession>) {
        self.leave(now, hub);
    }

    fn is_done(&self, hub: &Hub<ServerSession>) -> bool {
        self.leaving.as_ref().is_some_and(Leaving::ends) && hub.open_links() == 0
    }
}
