//! The caller's end: a connection that is kept, many calls in flight on it.
//!
//! ```no_run
//! use faaslet_net::{client::{Client, ClientConfig}, tls};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let trust = tls::client_config("/var/lib/faaslet/tls/trust.pem".as_ref())?;
//! let config = ClientConfig::new("10.0.0.7:7300".parse()?, trust, "the token");
//! let client = Client::connect(config).await?;
//! let reply = client.call("resize", "input").await?;
//! println!("{}", reply.message());
//! # Ok(()) }
//! ```
//!
//! - A call that was sent when its connection broke is [`CallError::Unknown`]: it may have run. It
//!   is never sent twice behind the caller's back. A call that was not sent yet waits for the next
//!   connection.
//! - Dropping a call's future cancels the call.
//! - [`Client::state`] reads and writes the tenant's values of state.
//! - Calls over the limits wait for room instead of being refused.
//! - A connection that is lost is made again when the next call needs it, with growing pauses, a
//!   bounded number of times.
//!
//! [`Client`] needs a tokio runtime and works best on a current-thread one, where a call and its
//! answer wake no other thread. [`BlockingClient`] brings its own.

mod app;
mod blocking;
mod state;

pub(crate) use app::pause;
pub use blocking::BlockingClient;
pub use faaslet_proto::{StateFailure, state::StateVersion};
pub use state::{Condition, PutOptions, Spec, Stat, State, StateError, Value};

use crate::endpoint::{Driver, Socket, transport};
use crate::mailbox::Mailbox;
use crate::tls::ClientTls;
use app::{Answered, ClientApp, Post, Submission, What};
use bytes::Bytes;
use faaslet_proto::{CloseCode, Mode, NotSent, Outcome, Refusal, Reply, limits::Patience};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Calls of one client that are under way or wait for their turn, unless said otherwise.
const DEFAULT_MAX_IN_FLIGHT: usize = 256;

/// Where a client calls, and how.
#[derive(Clone)]
pub struct ClientConfig {
    /// The monitor's address.
    pub addr: SocketAddr,
    /// Which monitor to trust.
    pub tls: ClientTls,
    /// The credential. Never shown by `Debug`.
    pub token: Vec<u8>,
    /// Calls under way at the same time; more wait.
    pub max_in_flight: usize,
    /// For calls that have no deadline of their own.
    pub default_deadline: Option<Duration>,
    /// Attempts to connect before calls that wait fail.
    pub max_attempts: u32,
    /// The pause after the first failed attempt; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// How long the monitor may take; `greeting` bounds each attempt to connect.
    pub patience: Patience,
}

impl ClientConfig {
    /// Calls the monitor at `addr` with `token`.
    pub fn new(addr: SocketAddr, tls: ClientTls, token: impl Into<Vec<u8>>) -> Self {
        Self {
            addr,
            tls,
            token: token.into(),
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            default_deadline: None,
            max_attempts: 6,
            first_pause: Duration::from_millis(50),
            max_pause: Duration::from_secs(3),
            patience: Patience::default(),
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("addr", &self.addr)
            .field("max_in_flight", &self.max_in_flight)
            .field("default_deadline", &self.default_deadline)
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// This end has no socket or runtime.
    #[error("no socket to call from: {0}")]
    Local(String),
    /// The monitor said no.
    #[error("the monitor at {addr} refused the connection: {reason}")]
    Denied {
        /// Its address.
        addr: SocketAddr,
        /// For programs.
        code: CloseCode,
        /// For people.
        reason: String,
    },
    /// Nobody answered, or not as expected.
    #[error(
        "no connection to {addr} after {attempts} attempts: {reason}; is a monitor listening \
         there, and is its trust file the one in use?"
    )]
    Unreachable {
        /// The address.
        addr: SocketAddr,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        reason: String,
    },
}

/// Why a call has no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not run.
    #[error("refused: {refusal}{}", suffix(message))]
    Refused {
        /// Why.
        refusal: Refusal,
        /// More about it, or nothing.
        message: String,
    },
    /// The function returned a failure.
    #[error("the function failed: {message}")]
    Failed {
        /// What it said.
        message: String,
    },
    /// The function trapped.
    #[error("the function trapped: {message}")]
    Trapped {
        /// The trap with its backtrace.
        message: String,
    },
    /// Its deadline passed.
    #[error("the deadline passed{}", suffix(message))]
    TimedOut {
        /// More about it, or nothing.
        message: String,
    },
    /// It ran, and the monitor cannot say how it ended.
    #[error("the call was lost, and may have run{}", suffix(message))]
    Lost {
        /// More about it, or nothing.
        message: String,
    },
    /// The connection broke: the call may have run, may be running, or may never have arrived.
    #[error("the connection broke before the answer came, the call may have run: {reason}")]
    Unknown {
        /// How the connection ended.
        reason: String,
    },
    /// It was not sent: no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It was not sent: it cannot be.
    #[error(transparent)]
    NotSent(#[from] NotSent),
    /// It was not sent: the client was closed.
    #[error("the client was closed")]
    Closed,
}

fn suffix(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// A call to make; [`Client::call`] is short for one with a name and an input.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// The way into the function.
    pub mode: Mode,
    /// How long to wait; the client's default if nothing.
    pub deadline: Option<Duration>,
    /// 1 for the first attempt; for those who try again what was [`CallError::Unknown`].
    pub attempt: u32,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { mode: Mode::Default, deadline: None, attempt: 1 }
    }
}

/// A handle on a connection to a monitor. Cheap to clone; the last one dropped ends it.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    mailbox: Arc<Mailbox<Post>>,
    permits: Arc<Semaphore>,
    next_ticket: AtomicU64,
    default_deadline: Option<Duration>,
    tenant: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("tenant", &self.0.tenant).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, and returns when the monitor has let us in.
    pub async fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        let any: IpAddr = match config.addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = |error: std::io::Error| ConnectError::Local(error.to_string());
        let socket = Socket::bind(SocketAddr::new(any, 0)).map_err(local)?;
        let mailbox = Arc::new(Mailbox::new());
        let permits = Arc::new(Semaphore::new(config.max_in_flight));
        let default_deadline = config.default_deadline;
        let (welcomed, welcome) = oneshot::channel();
        let app = ClientApp::new(config, mailbox.clone(), welcomed);
        let driver = Driver::new(app, socket, transport::endpoint(None), None);
        let closing = CloseOnDrop(mailbox.clone());
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::error!(%error, "the client's socket failed");
            }
            drop(closing);
        });
        // From here on the driver ends when `shared` does.
        let mut shared = Shared {
            mailbox,
            permits,
            next_ticket: AtomicU64::new(0),
            default_deadline,
            tenant: String::new(),
        };
        shared.tenant = welcome
            .await
            .unwrap_or_else(|_| Err(ConnectError::Local("the socket failed".to_owned())))?;
        Ok(Self(Arc::new(shared)))
    }

    /// Who we are, by our credential.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// Calls a function and waits for its output.
    pub async fn call(&self, function: &str, input: impl Into<Bytes>) -> Result<Reply, CallError> {
        self.call_with(function, input, CallOptions::default()).await
    }

    /// Calls a function as `options` say and waits for its output.
    pub async fn call_with(
        &self,
        function: &str,
        input: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Reply, CallError> {
        let what = What::Call { mode: options.mode, attempt: options.attempt };
        match self.submit(what, function, input.into(), options.deadline).await? {
            Answered::Call(reply) => output(reply),
            Answered::State(_) => Err(CallError::Lost { message: String::new() }),
        }
    }

    /// Sends what a caller asks for when there is room, and waits for its answer.
    async fn submit(
        &self,
        what: What,
        name: &str,
        input: Bytes,
        deadline: Option<Duration>,
    ) -> Result<Answered, CallError> {
        let deadline = deadline.or(self.0.default_deadline);
        let deadline = deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let permit = self.permit(deadline).await?;
        let ticket = self.0.next_ticket.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let name = name.into();
        let submission = Submission { ticket, what, name, input, deadline, answer };
        self.0.mailbox.post(Post::Submit(submission)).map_err(|_| CallError::Closed)?;
        let mut cancel = CancelOnDrop { mailbox: &self.0.mailbox, ticket: Some(ticket) };
        let result = answered.await.unwrap_or(Err(CallError::Closed));
        cancel.ticket = None;
        drop(permit);
        result
    }

    async fn permit(
        &self,
        deadline: Option<Instant>,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, CallError> {
        if let Ok(permit) = self.0.permits.try_acquire() {
            return Ok(permit);
        }
        let permit = self.0.permits.acquire();
        let permit = match deadline {
            None => permit.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), permit)
                .await
                .map_err(|_| NotSent::Deadline)?,
        };
        permit.map_err(|_| CallError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.mailbox.post(Post::Close);
    }
}

struct CancelOnDrop<'a> {
    mailbox: &'a Mailbox<Post>,
    ticket: Option<u64>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let _ = self.mailbox.post(Post::Cancel(ticket));
        }
    }
}

/// Refuses posts once the driver is gone, however it went; those that wait are answered by being
/// dropped.
struct CloseOnDrop(Arc<Mailbox<Post>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

/// The reply if it is an output, otherwise the error that it stands for.
fn output(reply: Reply) -> Result<Reply, CallError> {
    let message = || reply.message().into_owned();
    Err(match reply.outcome {
        Outcome::Returned => return Ok(reply),
        Outcome::Failed => CallError::Failed { message: message() },
        Outcome::Trapped => CallError::Trapped { message: message() },
        Outcome::TimedOut => CallError::TimedOut { message: message() },
        Outcome::Refused(refusal) => CallError::Refused { refusal, message: message() },
        Outcome::Lost => CallError::Lost { message: message() },
    })
}
