//! The driver: one task that owns a socket, QUIC and the sessions of every connection on it.
//!
//! A round: receive → timers → take in what each connection has received → let new ones in → posts
//! from other threads → send. A round follows a round until nothing is left to do, then the task sleeps until
//! the socket, a timer or the mailbox wakes it. So what many calls have to send goes out together.
//!
//! What an end of the protocol does with its events is its [`App`]'s business.

mod hub;
mod link;
mod socket;
mod sys;
pub(crate) mod transport;

pub(crate) use hub::{Hub, LinkKey};
pub(crate) use link::{End, Session};
pub(crate) use socket::Socket;

use crate::mailbox::Mailbox;
use faaslet_proto::Close;
use quinn_proto::{Endpoint, EndpointConfig, Incoming, ServerConfig};
use socket::Received;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// Rounds in a row before other tasks of the thread have their turn.
const MAX_ROUNDS: usize = 64;

/// What a driver does with a connection that wants in.
pub(crate) enum Admission<S> {
    /// Let it in, with this session.
    Accept(S),
    /// Have it prove its address and try again.
    Prove,
    /// Send it away.
    Refuse,
}

/// One end of the protocol around its sessions.
pub(crate) trait App: Unpin {
    type Session: Session;
    type Post;

    fn mailbox(&self) -> &Mailbox<Self::Post>;
    fn handle_post(&mut self, now: Instant, post: Self::Post, hub: &mut Hub<Self::Session>);
    /// Handles what happened on a connection. An error ends it.
    fn handle_events(
        &mut self,
        now: Instant,
        key: LinkKey,
        remote: SocketAddr,
        session: &mut Self::Session,
    ) -> Result<(), Close>;
    /// The events of a round have been handled.
    fn turn(&mut self) {}
    /// The driver is about to sleep; false if it must not.
    fn rest(&mut self) -> bool {
        true
    }
    /// Handles the end of a connection; its session, if it still had one.
    fn handle_end(
        &mut self,
        now: Instant,
        key: LinkKey,
        session: Option<Self::Session>,
        end: &End,
        hub: &mut Hub<Self::Session>,
    );
    fn admit(
        &mut self,
        now: Instant,
        incoming: &Incoming,
        open_links: usize,
    ) -> Admission<Self::Session>;
    /// A connection was let in.
    fn handle_accepted(&mut self, _key: LinkKey, _remote: SocketAddr) {}
    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant, hub: &mut Hub<Self::Session>);
    /// True when the driver shall end after what is left to send is sent.
    fn is_done(&self, hub: &Hub<Self::Session>) -> bool;
}

type Ended<S> = Vec<(LinkKey, Option<S>, End)>;

/// See the module. Ends when its app says so, or with the socket's error.
pub(crate) struct Driver<A: App> {
    app: A,
    hub: Hub<A::Session>,
    socket: Socket,
    received: Received,
    posts: Vec<A::Post>,
    incoming: Vec<Incoming>,
    ended: Ended<A::Session>,
    sleep: Pin<Box<Sleep>>,
    /// Invariant: when `sleep` wakes this task, if it was asked to.
    asleep_until: Option<Instant>,
}

impl<A: App> Driver<A> {
    /// A driver on `socket`. Must be called where a tokio runtime is entered.
    pub(crate) fn new(
        app: A,
        socket: Socket,
        config: EndpointConfig,
        server: Option<Arc<ServerConfig>>,
    ) -> Self {
        let allow_mtud = !socket.may_fragment();
        Self {
            app,
            hub: Hub::new(Endpoint::new(Arc::new(config), server, allow_mtud, None)),
            socket,
            received: Received::new(),
            posts: Vec::new(),
            incoming: Vec::new(),
            ended: Vec::new(),
            sleep: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            asleep_until: None,
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let now = Instant::now();
        let received = self.receive(now, cx)?;
        self.hub.fire_timers(now, &mut self.ended);
        if self.app.poll_timeout().is_some_and(|due| due <= now) {
            self.app.handle_timeout(now, &mut self.hub);
        }
        let app = &mut self.app;
        self.hub.pump_in(now, &mut self.ended, |key, remote, session| {
            app.handle_events(now, key, remote, session)
        });
        self.handle_ended(now);
        self.app.turn();
        // After those that ended have made room.
        self.admit(now, cx);
        self.handle_posts(now);
        self.hub.pump_out(now, &mut self.socket, cx, &mut self.ended)?;
        self.handle_ended(now);
        Ok(received || self.hub.has_work())
    }

    fn receive(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        match self.socket.poll_receive(cx, &mut self.received) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                for (meta, data) in self.received.iter() {
                    let incoming = &mut self.incoming;
                    self.hub.handle_datagrams(now, meta, data, &mut self.socket, cx, incoming);
                }
                Ok(true)
            }
        }
    }

    fn admit(&mut self, now: Instant, cx: &mut Context<'_>) {
        for incoming in self.incoming.drain(..) {
            match self.app.admit(now, &incoming, self.hub.open_links()) {
                Admission::Accept(session) => {
                    let remote = incoming.remote_address();
                    let accepted = self.hub.accept(now, incoming, session, &mut self.socket, cx);
                    if let Some(key) = accepted {
                        self.app.handle_accepted(key, remote);
                    }
                }
                Admission::Prove => self.hub.turn_away(incoming, true, &mut self.socket, cx),
                Admission::Refuse => self.hub.turn_away(incoming, false, &mut self.socket, cx),
            }
        }
    }

    fn handle_posts(&mut self, now: Instant) {
        self.app.mailbox().take(&mut self.posts);
        for post in self.posts.drain(..) {
            self.app.handle_post(now, post, &mut self.hub);
        }
    }

    fn handle_ended(&mut self, now: Instant) {
        for (key, session, end) in self.ended.drain(..) {
            self.app.handle_end(now, key, session, &end, &mut self.hub);
        }
    }

    /// True when a timer is due already.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> bool {
        let due = [self.hub.poll_timeout(), self.app.poll_timeout()].into_iter().flatten().min();
        let Some(due) = due else { return false };
        if self.asleep_until.is_none_or(|until| due < until) {
            self.asleep_until = Some(due);
            self.sleep.as_mut().reset(due.into());
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            self.asleep_until = None;
            return true;
        }
        false
    }
}

impl<A: App> Future for Driver<A>
where
    A::Post: Unpin,
    A::Session: Unpin,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.app.mailbox().wake_up(cx.waker());
        for _ in 0..MAX_ROUNDS {
            if this.round(cx)? {
                continue;
            }
            if this.app.is_done(&this.hub) {
                return Poll::Ready(Ok(()));
            }
            if this.app.rest() && this.app.mailbox().fall_asleep() && !this.poll_timers(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
