//! All connections of one endpoint, and which of them have something to do.

use super::link::{End, Link, Session};
use super::socket::Socket;
use bytes::BytesMut;
use faaslet_proto::Close;
use quinn_proto::{ConnectError, ConnectionHandle, DatagramEvent, Endpoint, Incoming, Transmit};
use quinn_udp::RecvMeta;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::task::Context;
use std::time::Instant;

/// Most datagrams in one transmit.
const MAX_TRANSMIT_SEGMENTS: usize = 32;
/// Most transmits of a connection before others have their turn.
const TRANSMIT_TURN: usize = 8;

/// A connection, for those who hold on to it longer than it may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    index: usize,
    serial: u64,
}

pub(crate) struct Hub<S> {
    endpoint: Endpoint,
    links: Vec<Option<Box<Link<S>>>>,
    /// Invariant: indices of the links whose `dirty` is set.
    dirty: Vec<usize>,
    /// Invariant: `armed` of each link that has one.
    timers: BTreeSet<(Instant, usize)>,
    next_serial: u64,
    open: usize,
    scratch: Vec<u8>,
    /// A transmit that the kernel had no room for; `scratch` holds its contents.
    blocked: Option<Transmit>,
}

impl<S: Session> Hub<S> {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            links: Vec::new(),
            dirty: Vec::new(),
            timers: BTreeSet::new(),
            next_serial: 0,
            open: 0,
            scratch: Vec::new(),
            blocked: None,
        }
    }

    /// Links that have a session.
    pub(crate) fn open_links(&self) -> usize {
        self.open
    }

    /// Keys of the links that have a session.
    pub(crate) fn keys(&self) -> Vec<LinkKey> {
        let links = self.links.iter().enumerate();
        links
            .filter_map(|(index, link)| {
                let link = link.as_ref().filter(|link| link.session.is_some())?;
                Some(LinkKey { index, serial: link.serial })
            })
            .collect()
    }

    /// The session of a link, which is served afterwards. Nothing if the link has ended.
    pub(crate) fn session(&mut self, key: LinkKey) -> Option<&mut S> {
        let link = self.links.get_mut(key.index)?.as_mut()?;
        if link.serial != key.serial || link.session.is_none() {
            return None;
        }
        mark(&mut self.dirty, link, key.index);
        link.session.as_mut()
    }

    /// Datagrams that have come over a link; nothing if it has ended.
    pub(crate) fn heard(&self, key: LinkKey) -> Option<u64> {
        let link = self.links.get(key.index)?.as_ref()?;
        (link.serial == key.serial).then(|| link.connection.stats().udp_rx.datagrams)
    }

    /// Ends a link from this end and gives its session back.
    pub(crate) fn close(&mut self, now: Instant, key: LinkKey, close: Close) -> Option<S> {
        self.session(key)?;
        self.end(now, key.index, &End::Ours(close))
    }

    /// Begins a connection to `addr`, whose certificate must be for `name`.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        config: quinn_proto::ClientConfig,
        addr: SocketAddr,
        name: &str,
        session: S,
    ) -> Result<LinkKey, ConnectError> {
        let (handle, connection) = self.endpoint.connect(now, config, addr, name)?;
        Ok(self.insert(handle, connection, session))
    }

    /// Accepts a connection, unless it turns out not to be one.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        incoming: Incoming,
        session: S,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Option<LinkKey> {
        self.scratch.clear();
        match self.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((handle, connection)) => Some(self.insert(handle, connection, session)),
            Err(error) => {
                tracing::debug!(cause = %error.cause, "a handshake was not accepted");
                if let Some(transmit) = error.response {
                    let _ = socket.poll_send(cx, &transmit, &self.scratch);
                }
                None
            }
        }
    }

    /// Turns a connection away; with `prove`, asks it to prove its address and try again.
    pub(super) fn turn_away(
        &mut self,
        incoming: Incoming,
        prove: bool,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) {
        self.scratch.clear();
        let transmit = if prove {
            match self.endpoint.retry(incoming, &mut self.scratch) {
                Ok(transmit) => transmit,
                Err(error) => return self.endpoint.ignore(error.into_incoming()),
            }
        } else {
            self.endpoint.refuse(incoming, &mut self.scratch)
        };
        // An answer without a connection behind it is dropped when the kernel has no room.
        let _ = socket.poll_send(cx, &transmit, &self.scratch);
    }

    fn insert(
        &mut self,
        handle: ConnectionHandle,
        connection: quinn_proto::Connection,
        session: S,
    ) -> LinkKey {
        let (index, serial) = (handle.0, self.next_serial);
        self.next_serial += 1;
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        let mut link = Box::new(Link::new(connection, serial, session));
        mark(&mut self.dirty, &mut link, index);
        self.links[index] = Some(link);
        self.open += 1;
        LinkKey { index, serial }
    }

    /// Hands a received datagram, or several joined, to the connections they belong to.
    pub(super) fn handle_datagrams(
        &mut self,
        now: Instant,
        meta: &RecvMeta,
        data: &[u8],
        socket: &mut Socket,
        cx: &mut Context<'_>,
        incoming: &mut Vec<Incoming>,
    ) {
        let mut data = BytesMut::from(data);
        while !data.is_empty() {
            let datagram = data.split_to(meta.stride.min(data.len()));
            let ecn = meta.ecn.and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
            let mut answer = Vec::new();
            match self.endpoint.handle(now, meta.addr, meta.dst_ip, ecn, datagram, &mut answer) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(Some(link)) = self.links.get_mut(handle.0) {
                        link.connection.handle_event(event);
                        mark(&mut self.dirty, link, handle.0);
                    }
                }
                Some(DatagramEvent::NewConnection(connection)) => incoming.push(connection),
                Some(DatagramEvent::Response(transmit)) => {
                    let _ = socket.poll_send(cx, &transmit, &answer);
                }
                None => {}
            }
        }
    }

    /// When [`Self::fire_timers`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Does what is due. `ended` gets the links that this ended.
    pub(super) fn fire_timers(&mut self, now: Instant, ended: &mut Vec<(LinkKey, Option<S>, End)>) {
        while let Some(&(due, index)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            let Some(Some(link)) = self.links.get_mut(index) else { continue };
            link.armed = None;
            mark(&mut self.dirty, link, index);
            if let Err(end) = link.handle_timeout(now) {
                let key = LinkKey { index, serial: link.serial };
                ended.push((key, self.end(now, index, &end), end));
            }
        }
    }

    /// True when some link has something to do that can be done now.
    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty() && self.blocked.is_none()
    }

    /// Takes in what the links with something to do have received, and lets `events` handle what
    /// happened on each.
    pub(super) fn pump_in(
        &mut self,
        now: Instant,
        ended: &mut Vec<(LinkKey, Option<S>, End)>,
        mut events: impl FnMut(LinkKey, SocketAddr, &mut S) -> Result<(), Close>,
    ) {
        for at in 0..self.dirty.len() {
            let index = self.dirty[at];
            let Some(Some(link)) = self.links.get_mut(index) else { continue };
            let key = LinkKey { index, serial: link.serial };
            let mut result = link.pump_in(now);
            if result.is_ok()
                && let Some(session) = &mut link.session
            {
                let remote = link.connection.remote_address();
                result = events(key, remote, session).map_err(End::Ours);
            }
            if let Err(end) = result {
                ended.push((key, self.end(now, index, &end), end));
            }
        }
    }

    /// Sends what the links with something to do have to send.
    pub(super) fn pump_out(
        &mut self,
        now: Instant,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        ended: &mut Vec<(LinkKey, Option<S>, End)>,
    ) -> io::Result<()> {
        if let Some(transmit) = self.blocked.take()
            && socket.poll_send(cx, &transmit, &self.scratch)?.is_pending()
        {
            self.blocked = Some(transmit);
            return Ok(());
        }
        for index in std::mem::take(&mut self.dirty) {
            let Some(Some(link)) = self.links.get_mut(index) else { continue };
            link.dirty = false;
            if let Err(end) = link.pump_out(now) {
                let key = LinkKey { index, serial: link.serial };
                ended.push((key, self.end(now, index, &end), end));
            }
            self.settle(now, index, socket, cx)?;
        }
        Ok(())
    }

    /// Transmits, tells the endpoint what it must know, and sets the link's timer.
    fn settle(
        &mut self,
        now: Instant,
        index: usize,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let more = self.transmit(now, index, socket, cx)?;
        let Some(Some(link)) = self.links.get_mut(index) else { return Ok(()) };
        while let Some(event) = link.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(index), event) {
                link.connection.handle_event(event);
            }
        }
        if link.connection.is_drained() {
            self.remove(index);
            return Ok(());
        }
        if more || link.has_more() {
            mark(&mut self.dirty, link, index);
        }
        let due = link.poll_timeout();
        // A timer that fires early finds nothing to do and is set anew: cheaper than moving it.
        if let Some(due) = due
            && link.armed.is_none_or(|armed| due < armed)
        {
            if let Some(armed) = link.armed {
                self.timers.remove(&(armed, index));
            }
            link.armed = Some(due);
            self.timers.insert((due, index));
        }
        Ok(())
    }

    /// True when the link has more to transmit.
    fn transmit(
        &mut self,
        now: Instant,
        index: usize,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let Some(Some(link)) = self.links.get_mut(index) else { return Ok(false) };
        let segments = socket.max_segments().min(MAX_TRANSMIT_SEGMENTS);
        for _ in 0..TRANSMIT_TURN {
            if self.blocked.is_some() {
                return Ok(true);
            }
            self.scratch.clear();
            let Some(transmit) = link.connection.poll_transmit(now, segments, &mut self.scratch)
            else {
                return Ok(false);
            };
            if socket.poll_send(cx, &transmit, &self.scratch)?.is_pending() {
                self.blocked = Some(transmit);
            }
        }
        Ok(true)
    }

    fn end(&mut self, now: Instant, index: usize, end: &End) -> Option<S> {
        let link = self.links.get_mut(index)?.as_mut()?;
        let session = link.session.take()?;
        self.open -= 1;
        link.close(now, end);
        mark(&mut self.dirty, link, index);
        Some(session)
    }

    fn remove(&mut self, index: usize) {
        if let Some(link) = self.links[index].take()
            && let Some(armed) = link.armed
        {
            self.timers.remove(&(armed, index));
        }
    }
}

fn mark<S>(dirty: &mut Vec<usize>, link: &mut Link<S>, index: usize) {
    if !std::mem::replace(&mut link.dirty, true) {
        dirty.push(index);
    }
}
