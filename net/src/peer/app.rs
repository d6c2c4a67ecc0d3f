//! The peers' side of the driver: connecting, asking, answering.
//!
//! For each host of the table:
//!
//! ```text
//!             request                        welcome
//!   Idle ──────────────► Connecting ───────────────────► Open
//!    ▲                     │      ▲                        │ lost, or sent away and drained
//!    │                     ▼ fail │ requests wait          │
//!    ├───────────────── Pausing ──┘ ◄──────────────────────┤
//!    └─────────────────────────────────────────────────────┘ no request waits
//! ```
//!
//! A connection that the other host opened serves as well: it is used while none of our own is
//! open. If both open one at the same time, both stay, one for each direction.

use super::directory::{Peer, Row};
use super::error::PeerError;
use super::link::{Asking, PeerLink};
use super::tls::{self, PeerTls};
use super::{PeerHandler, PeerReply, PeersConfig, Post, RequestRef, Response, Ticket};
use crate::client::pause;
use crate::endpoint::{Admission, App, End, Hub, LinkKey, transport};
use crate::mailbox::Mailbox;
use faaslet_proto::peer::{HostId, PeerEvent, PeerRequest, PeerSession, PeerSettings};
use faaslet_proto::{CancelReason, Close, CloseCode};
use quinn_proto::Incoming;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Connections whose other end is not proven, above which a new one must prove its address first.
const PROVE_ABOVE_HALF_OPEN: usize = 64;
/// Connections whose other end is not proven, above which new ones are refused.
const MAX_HALF_OPEN: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Connecting { key: LinkKey, attempt: u32 },
    Pausing { until: Instant, attempt: u32 },
    Open { key: LinkKey },
}

/// A host of the table.
struct Entry {
    peer: Arc<Peer>,
    addr: SocketAddr,
    stage: Stage,
    /// The connection that the host opened last.
    accepted: Option<LinkKey>,
    /// Requests that no connection has room for. Bounded by what is admitted.
    waiting: VecDeque<(Asking, PeerRequest)>,
    /// Why the last attempt to connect failed.
    failure: String,
}

impl Entry {
    fn new((peer, addr): Row) -> Self {
        let (stage, waiting, failure) = (Stage::Idle, VecDeque::new(), String::new());
        Self { peer, addr, stage, accepted: None, waiting, failure }
    }

    /// The connection for new requests.
    fn link(&self) -> Option<LinkKey> {
        match self.stage {
            Stage::Open { key } => Some(key),
            _ => self.accepted,
        }
    }

    fn note_connected(&self) {
        self.peer.is_connected.store(self.link().is_some(), Relaxed);
    }

    fn fail_waiting(&mut self, error: &PeerError) {
        for (asking, _) in self.waiting.drain(..) {
            asking.finish(Err(error.clone()));
        }
    }

    /// Sends what waits, as far as the connection has room.
    fn feed(&mut self, now: Instant, session: &mut PeerSession<Asking>) {
        while let Some((_, request)) = self.waiting.front()
            && session.has_room(bytes(request) as u64)
            && let Some((asking, request)) = self.waiting.pop_front()
        {
            ask(now, session, asking, request);
        }
    }
}

/// Sends a request over a session that has room.
fn ask(now: Instant, session: &mut PeerSession<Asking>, asking: Asking, request: PeerRequest) {
    asking.admitted.peer.count_sent(bytes(&request));
    if let Err((error, asking)) = session.request(now, request, asking) {
        let host = asking.host();
        asking.finish(Err(PeerError::of_not_asked(host, error)));
    }
}

fn bytes(request: &PeerRequest) -> usize {
    request.head.len() + request.payload.len()
}

pub(super) struct PeersApp {
    tls: PeerTls,
    config: PeersConfig,
    handler: Arc<dyn PeerHandler>,
    mailbox: Arc<Mailbox<Post>>,
    entries: HashMap<HostId, Entry>,
    /// Connections that others of the same host have replaced.
    replaced: Vec<LinkKey>,
    /// Connections whose other end is proven.
    proven: usize,
    /// Invariant: not later than the first thing that is due.
    due: Option<Instant>,
    /// When closing, when patience ends.
    closing_until: Option<Instant>,
}

impl PeersApp {
    pub(super) fn new(
        tls: PeerTls,
        config: PeersConfig,
        handler: Arc<dyn PeerHandler>,
        mailbox: Arc<Mailbox<Post>>,
    ) -> Self {
        Self {
            tls,
            config,
            handler,
            mailbox,
            entries: HashMap::new(),
            replaced: Vec::new(),
            proven: 0,
            due: None,
            closing_until: None,
        }
    }

    fn settings(&self) -> PeerSettings {
        let PeersConfig { limits, patience, hosts, .. } = self.config;
        PeerSettings { limits, patience, hosts }
    }

    fn be_due(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn connect(&mut self, now: Instant, host: HostId, attempt: u32, hub: &mut Hub<PeerLink>) {
        let settings = self.settings();
        let Some(entry) = self.entries.get_mut(&host) else { return };
        let session = PeerSession::open(now, settings, self.tls.host);
        let config = transport::client(&self.tls.client);
        let link = PeerLink::new(session, Some(host));
        match hub.connect(now, config, entry.addr, &tls::name(host), link) {
            Ok(key) => entry.stage = Stage::Connecting { key, attempt: attempt + 1 },
            Err(error) => {
                let end = End::Lost(error.to_string());
                self.after_failure(now, host, attempt + 1, &end);
            }
        }
    }

    /// After a failed attempt: pauses, and if the hosts do not agree to talk, tells those who wait.
    fn after_failure(&mut self, now: Instant, host: HostId, attempt: u32, end: &End) {
        let until = now + pause(self.config.first_pause, self.config.max_pause, attempt);
        self.be_due(until);
        let Some(entry) = self.entries.get_mut(&host) else { return };
        entry.stage = Stage::Pausing { until, attempt };
        entry.failure = end.reason();
        entry.peer.connect_failures.fetch_add(1, Relaxed);
        let code = match end {
            End::Untrusted(_) => CloseCode::Unauthorised,
            End::Ours(close) | End::Theirs(close) => close.code,
            End::Lost(_) => return,
        };
        if matches!(code, CloseCode::Unauthorised | CloseCode::Version | CloseCode::Protocol) {
            let (addr, reason) = (entry.addr, end.reason());
            tracing::warn!(%host, %addr, reason, "no agreement with a peer");
            entry.fail_waiting(&PeerError::Denied { host, addr, code, reason });
        }
    }

    fn submit(
        &mut self,
        now: Instant,
        asking: Asking,
        request: PeerRequest,
        hub: &mut Hub<PeerLink>,
    ) {
        if self.closing_until.is_some() {
            return asking.finish(Err(PeerError::Closed));
        }
        let host = asking.host();
        let Some(entry) = self.entries.get_mut(&host) else {
            return asking.finish(Err(PeerError::UnknownHost { host }));
        };
        if entry.waiting.is_empty()
            && let Some(link) = entry.link().and_then(|key| hub.session(key))
            && link.session.has_room(bytes(&request) as u64)
        {
            return ask(now, &mut link.session, asking, request);
        }
        let (deadline, stage) = (request.deadline, entry.stage);
        entry.waiting.push_back((asking, request));
        let unreached = stage == Stage::Idle && entry.accepted.is_none();
        self.be_due(deadline);
        if unreached {
            self.connect(now, host, 0, hub);
        }
    }

    fn cancel(&mut self, now: Instant, ticket: Ticket, hub: &mut Hub<PeerLink>) {
        let Some(entry) = self.entries.get_mut(&ticket.host) else { return };
        let it = |asking: &Asking| asking.ticket == ticket.number;
        if let Some(at) = entry.waiting.iter().position(|(asking, _)| it(asking)) {
            if let Some((asking, _)) = entry.waiting.remove(at) {
                asking.finish(Err(PeerError::Cancelled));
            }
            return;
        }
        let own = if let Stage::Open { key } = entry.stage { Some(key) } else { None };
        for key in [own, entry.accepted].into_iter().flatten() {
            let Some(link) = hub.session(key) else { continue };
            if let Some(id) = link.session.find(it)
                && let Some(asking) = link.session.cancel(now, id)
            {
                return asking.finish(Err(PeerError::Cancelled));
            }
        }
    }

    fn set_table(&mut self, now: Instant, rows: Vec<Row>, hub: &mut Hub<PeerLink>) {
        let mut before = std::mem::take(&mut self.entries);
        let mut ended = Vec::new();
        for row in rows {
            let host = row.0.host;
            let mut entry = before.remove(&host).unwrap_or_else(|| Entry::new(row.clone()));
            if entry.addr != row.1 {
                entry.addr = row.1;
                ended.extend(own_link(&entry));
            }
            self.entries.insert(host, entry);
        }
        for (host, mut gone) in before {
            ended.extend(own_link(&gone).into_iter().chain(gone.accepted));
            gone.fail_waiting(&PeerError::UnknownHost { host });
            gone.peer.is_connected.store(false, Relaxed);
        }
        for key in ended {
            self.close(now, key, Close::new(CloseCode::Done, "the table of hosts changed"), hub);
        }
    }

    fn close(&mut self, now: Instant, key: LinkKey, close: Close, hub: &mut Hub<PeerLink>) {
        let link = hub.close(now, key, close.clone());
        self.handle_end(now, key, link, &End::Ours(close), hub);
    }

    fn drain(&mut self, now: Instant, until: Instant, hub: &mut Hub<PeerLink>) {
        let until = self.closing_until.map_or(until, |earlier| earlier.min(until));
        self.closing_until = Some(until);
        self.be_due(until);
        for entry in self.entries.values_mut() {
            entry.fail_waiting(&PeerError::Closed);
        }
        for key in hub.keys() {
            match hub.session(key) {
                Some(link) if link.session.is_open() => {
                    link.session.go_away(now, CLOSING_REASON);
                }
                _ => {
                    self.close(now, key, Close::new(CloseCode::ShuttingDown, CLOSING_REASON), hub);
                }
            }
        }
    }

    /// Lets in the other end of `link`, which says that it is `host`, or says why not.
    fn handle_hello(
        &mut self,
        now: Instant,
        key: LinkKey,
        host: HostId,
        link: &mut PeerLink,
    ) -> Result<(), Close> {
        let here = self.tls.host;
        let denied = |reason: String| Err(Close::new(CloseCode::Unauthorised, reason));
        if !link.is(host) {
            return denied(format!(
                "expected the certificate of host {host}, as the hello says, found another host's"
            ));
        }
        let Some(entry) = self.entries.get_mut(&host) else {
            return denied(format!(
                "host {host} is not in the table of host {here}: add it there, or correct the \
                 address of {here}"
            ));
        };
        link.session.welcome(now);
        link.peer = Some(entry.peer.clone());
        self.proven += 1;
        entry.peer.connects.fetch_add(1, Relaxed);
        if let Some(replaced) = entry.accepted.replace(key) {
            self.replaced.push(replaced);
            self.be_due(now);
        }
        Ok(())
    }

    fn handle_welcome(
        &mut self,
        key: LinkKey,
        host: HostId,
        link: &mut PeerLink,
    ) -> Result<(), Close> {
        let Some(expected) = link.dialled.filter(|expected| *expected == host) else {
            let reason = format!("expected the welcome of another host than {host}");
            return Err(Close::new(CloseCode::Unauthorised, reason));
        };
        let Some(entry) = self.entries.get_mut(&expected) else {
            return Err(Close::new(CloseCode::Done, "the table of hosts changed"));
        };
        entry.stage = Stage::Open { key };
        link.peer = Some(entry.peer.clone());
        self.proven += 1;
        entry.peer.connects.fetch_add(1, Relaxed);
        Ok(())
    }

    fn handle_event(
        &mut self,
        now: Instant,
        key: LinkKey,
        event: PeerEvent<Asking>,
        link: &mut PeerLink,
    ) -> Result<(), Close> {
        match event {
            PeerEvent::Hello { host } => return self.handle_hello(now, key, host, link),
            PeerEvent::Welcome { host } => return self.handle_welcome(key, host, link),
            PeerEvent::Request { id, request } => {
                let Some(peer) = &link.peer else { return Ok(()) };
                peer.count_served();
                peer.count_received(bytes(&request));
                let PeerRequest { service, head, payload, deadline } = request;
                let mailbox = self.mailbox.clone();
                let request = RequestRef { link: key, id };
                let reply = PeerReply { mailbox, request, service, deadline, used: false };
                self.handler.request(peer.host, head, payload, reply);
            }
            PeerEvent::Cancelled { id, why } => {
                self.handler.cancel(RequestRef { link: key, id }, why);
            }
            PeerEvent::Response { tag, took, result } => {
                let peer = &tag.admitted.peer;
                if let Ok(response) = &result {
                    peer.count_round_trip(took);
                    peer.count_received(response.head.len() + response.payload.len());
                }
                let host = peer.host;
                tag.finish(result.map_err(|failure| PeerError::of_failure(host, failure)));
            }
            PeerEvent::GoAway { reason } => {
                tracing::debug!(host = ?link.host(), reason, "a peer is leaving");
            }
        }
        Ok(())
    }

    /// What became of the connection, for its host.
    fn after_end(
        &mut self,
        now: Instant,
        host: HostId,
        key: LinkKey,
        end: &End,
        hub: &mut Hub<PeerLink>,
    ) {
        let Some(entry) = self.entries.get_mut(&host) else { return };
        if entry.accepted == Some(key) {
            entry.accepted = None;
        }
        match entry.stage {
            Stage::Connecting { key: own, attempt } if own == key => {
                return self.after_failure(now, host, attempt, end);
            }
            Stage::Open { key: own } if own == key => entry.stage = Stage::Idle,
            _ => {}
        }
        entry.note_connected();
        if entry.stage == Stage::Idle && entry.accepted.is_none() && !entry.waiting.is_empty() {
            self.connect(now, host, 0, hub);
        }
    }

    fn expire_waiting(&mut self, now: Instant) {
        for (host, entry) in &mut self.entries {
            let expired = |(_, request): &(Asking, PeerRequest)| request.deadline <= now;
            while let Some(at) = entry.waiting.iter().position(expired) {
                let Some((asking, _)) = entry.waiting.remove(at) else { break };
                let reason = entry.failure.clone();
                let error = PeerError::TimedOut { host: *host, may_have_run: false, reason };
                asking.finish(Err(error));
            }
        }
    }

    /// Ends the pauses that are over: an attempt if somebody waits, otherwise none until then.
    fn end_pauses(&mut self, now: Instant, hub: &mut Hub<PeerLink>) {
        let over = |entry: &Entry| match entry.stage {
            Stage::Pausing { until, attempt } if until <= now => Some(attempt),
            _ => None,
        };
        let over: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(host, entry)| Some((*host, over(entry)?, entry.waiting.is_empty())))
            .collect();
        for (host, attempt, nobody_waits) in over {
            if !nobody_waits {
                self.connect(now, host, attempt, hub);
            } else if let Some(entry) = self.entries.get_mut(&host) {
                entry.stage = Stage::Idle;
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let pauses = self.entries.values().filter_map(|entry| match entry.stage {
            Stage::Pausing { until, .. } => Some(until),
            _ => None,
        });
        let waiting = self.entries.values().flat_map(|entry| &entry.waiting);
        let deadlines = waiting.map(|(_, request)| request.deadline);
        pauses.chain(deadlines).chain(self.closing_until).min()
    }
}

fn respond(now: Instant, request: RequestRef, response: Response, hub: &mut Hub<PeerLink>) {
    let Some(link) = hub.session(request.link) else { return };
    let (session, id) = (&mut link.session, request.id);
    match response {
        Response::Answer(response) => {
            if let Some(peer) = &link.peer {
                peer.count_sent(response.head.len() + response.payload.len());
            }
            session.respond(now, id, response);
        }
        Response::Ahead(response) => {
            if let Some(peer) = &link.peer {
                peer.count_sent(response.head.len() + response.payload.len());
            }
            session.respond_ahead(now, id, response);
        }
        Response::Refuse(reason) => {
            session.refuse(now, id, &reason);
        }
        Response::Nothing => {
            session.no_response(now, id, "the request was dropped without a response");
        }
    }
}

fn own_link(entry: &Entry) -> Option<LinkKey> {
    match entry.stage {
        Stage::Connecting { key, .. } | Stage::Open { key } => Some(key),
        Stage::Idle | Stage::Pausing { .. } => None,
    }
}

const CLOSING_REASON: &str = "the host is leaving";

impl App for PeersApp {
    type Session = PeerLink;
    type Post = Post;

    fn mailbox(&self) -> &Mailbox<Post> {
        &self.mailbox
    }

    fn handle_post(&mut self, now: Instant, post: Post, hub: &mut Hub<PeerLink>) {
        match post {
            Post::Ask { asking, request } => self.submit(now, asking, request, hub),
            Post::Cancel(ticket) => self.cancel(now, ticket, hub),
            Post::Respond { request, response } => respond(now, request, response, hub),
            Post::Table(rows) => self.set_table(now, rows, hub),
            Post::Drain { grace } => self.drain(now, now + grace, hub),
        }
    }

    fn handle_events(
        &mut self,
        now: Instant,
        key: LinkKey,
        _remote: SocketAddr,
        link: &mut PeerLink,
    ) -> Result<(), Close> {
        while let Some(event) = link.session.poll_event() {
            self.handle_event(now, key, event, link)?;
        }
        if link.session.is_drained() {
            return Err(Close::new(CloseCode::Done, "one end is leaving, nothing is in flight"));
        }
        if let Some(entry) = link.peer.as_ref().and_then(|peer| self.entries.get_mut(&peer.host)) {
            entry.note_connected();
            if entry.link() == Some(key) {
                entry.feed(now, &mut link.session);
            }
        }
        Ok(())
    }

    fn handle_end(
        &mut self,
        now: Instant,
        key: LinkKey,
        link: Option<PeerLink>,
        end: &End,
        hub: &mut Hub<PeerLink>,
    ) {
        let Some(link) = link else { return };
        self.proven -= usize::from(link.peer.is_some());
        let host = link.host();
        tracing::debug!(?host, reason = end.reason(), "a connection between hosts ended");
        for id in link.session.given_out() {
            self.handler.cancel(RequestRef { link: key, id }, CancelReason::Disconnected);
        }
        let Some(host) = host else {
            if matches!(end, End::Untrusted(_) | End::Ours(_)) {
                tracing::warn!(reason = end.reason(), "a peer was refused");
            }
            return;
        };
        for (asking, may_have_run) in link.session.into_unanswered() {
            let reason = end.reason();
            asking.finish(Err(if may_have_run {
                PeerError::Lost { host, reason }
            } else {
                PeerError::NotSent { host, reason }
            }));
        }
        self.after_end(now, host, key, end, hub);
    }

    fn admit(
        &mut self,
        now: Instant,
        incoming: &Incoming,
        open_links: usize,
    ) -> Admission<PeerLink> {
        let half_open = open_links.saturating_sub(self.proven);
        if self.closing_until.is_some() || half_open >= MAX_HALF_OPEN {
            return Admission::Refuse;
        }
        if half_open >= PROVE_ABOVE_HALF_OPEN
            && !incoming.remote_address_validated()
            && incoming.may_retry()
        {
            return Admission::Prove;
        }
        let session = PeerSession::accept(now, self.settings(), self.tls.host);
        Admission::Accept(PeerLink::new(session, None))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn handle_timeout(&mut self, now: Instant, hub: &mut Hub<PeerLink>) {
        for key in std::mem::take(&mut self.replaced) {
            let reason = "the same host opened another connection";
            self.close(now, key, Close::new(CloseCode::Done, reason), hub);
        }
        self.expire_waiting(now);
        self.due = None;
        self.end_pauses(now, hub);
        if self.closing_until.is_some_and(|until| until <= now) {
            for key in hub.keys() {
                self.close(now, key, Close::new(CloseCode::ShuttingDown, CLOSING_REASON), hub);
            }
        }
        if let Some(due) = self.next_due() {
            self.be_due(due);
        }
    }

    fn is_done(&self, hub: &Hub<PeerLink>) -> bool {
        self.closing_until.is_some() && hub.open_links() == 0
    }
}
