//! One QUIC connection with its one stream and its session.

use bytes::Bytes;
use faaslet_proto::{ClientSession, Close, CloseCode, ServerSession};
use quinn_proto::{
    Connection, ConnectionError, Dir, Event, ReadError, StreamEvent, StreamId, TransportErrorCode,
    VarInt, WriteError,
};
use std::any::Any;
use std::time::Instant;

/// Most bytes read from a connection before others have their turn.
const READ_TURN_BYTES: usize = 512 << 10;
/// What a refusal means that comes before the handshake, and so without a reason.
const FULL: &str = "it takes no more connections, at all or from this address; close some";

/// What a link needs of either end's state machine.
pub(crate) trait Session {
    fn handle_bytes(&mut self, now: Instant, chunk: Bytes) -> Result<(), Close>;
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Close>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self, now: Instant) -> Option<Bytes>;
    fn wants_bytes(&self) -> bool;
    /// The handshake is done; `identity` is the other end's chain of certificates, if it has one.
    fn handle_connected(&mut self, _identity: Option<Box<dyn Any>>) {}
}

macro_rules! session {
    ($type:ty) => {
        impl Session for $type {
            fn handle_bytes(&mut self, now: Instant, chunk: Bytes) -> Result<(), Close> {
                self.handle_bytes(now, chunk)
            }
            fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
                self.handle_timeout(now)
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
                self.poll_transmit(now)
            }
            fn wants_bytes(&self) -> bool {
                self.wants_bytes()
            }
        }
    };
}
session!(ServerSession);
session!(ClientSession);

/// Why a link carries no calls any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// This end closed it.
    Ours(Close),
    /// The other end closed it.
    Theirs(Close),
    /// The ends do not trust each other's certificates.
    Untrusted(String),
    /// The transport lost it.
    Lost(String),
}

impl End {
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Ours(close) | Self::Theirs(close) => close.reason.clone(),
            Self::Untrusted(reason) | Self::Lost(reason) => reason.clone(),
        }
    }
}

pub(crate) struct Link<S> {
    pub(super) connection: Connection,
    pub(super) serial: u64,
    /// Invariant: some until the link ends; what remains then is QUIC's farewell.
    pub(super) session: Option<S>,
    /// Invariant: when the driver's timer list has this link, and nothing if it has not.
    pub(super) armed: Option<Instant>,
    /// Invariant: true when the link is in the driver's list of links with something to do.
    pub(super) dirty: bool,
    stream: Option<StreamId>,
    readable: bool,
    unsent: Bytes,
}

impl<S: Session> Link<S> {
    pub(super) fn new(connection: Connection, serial: u64, session: S) -> Self {
        Self {
            connection,
            serial,
            session: Some(session),
            armed: None,
            dirty: false,
            stream: None,
            readable: false,
            unsent: Bytes::new(),
        }
    }

    /// Takes in what QUIC has received. An error ends the link.
    pub(super) fn pump_in(&mut self, now: Instant) -> Result<(), End> {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => {
                    if let Some(session) = &mut self.session {
                        session.handle_connected(self.connection.crypto_session().peer_identity());
                    }
                    if self.connection.side().is_client() {
                        self.stream = self.connection.streams().open(Dir::Bi);
                    }
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.stream = self.connection.streams().accept(Dir::Bi);
                    self.readable = true;
                }
                Event::Stream(StreamEvent::Readable { .. }) => self.readable = true,
                Event::Stream(StreamEvent::Stopped { .. }) => return Err(half_closed()),
                Event::ConnectionLost { reason } => return Err(end_of(reason)),
                _ => {}
            }
        }
        self.read(now)
    }

    fn read(&mut self, now: Instant) -> Result<(), End> {
        let (Some(stream), Some(session)) = (self.stream, &mut self.session) else { return Ok(()) };
        if !self.readable || !session.wants_bytes() {
            return Ok(());
        }
        let mut receive = self.connection.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else { return Err(half_closed()) };
        let mut turn = 0;
        let mut result = Ok(());
        while turn < READ_TURN_BYTES && session.wants_bytes() {
            match chunks.next(READ_TURN_BYTES) {
                Ok(Some(chunk)) => {
                    turn += chunk.bytes.len();
                    if let Err(close) = session.handle_bytes(now, chunk.bytes) {
                        result = Err(End::Ours(close));
                        break;
                    }
                }
                Err(ReadError::Blocked) => {
                    self.readable = false;
                    break;
                }
                Ok(None) | Err(ReadError::Reset(_)) => {
                    result = Err(half_closed());
                    break;
                }
            }
        }
        // Window updates go out with the next transmit, which always follows.
        let _ = chunks.finalize();
        result
    }

    /// Hands what waits to QUIC, as much as it takes.
    pub(super) fn pump_out(&mut self, now: Instant) -> Result<(), End> {
        let (Some(stream), Some(session)) = (self.stream, &mut self.session) else { return Ok(()) };
        loop {
            if self.unsent.is_empty() {
                match session.poll_transmit(now) {
                    Some(bytes) => self.unsent = bytes,
                    None => return Ok(()),
                }
            }
            let mut send = self.connection.send_stream(stream);
            match send.write_chunks(std::slice::from_mut(&mut self.unsent)) {
                Ok(_) => {}
                Err(WriteError::Blocked) => return Ok(()),
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return Err(half_closed()),
            }
        }
    }

    /// True when there is more to read and the session wants it.
    pub(super) fn has_more(&self) -> bool {
        self.readable && self.session.as_ref().is_some_and(Session::wants_bytes)
    }

    /// Tells the other end, unless it was the one to end it.
    pub(super) fn close(&mut self, now: Instant, end: &End) {
        if let End::Ours(close) = end {
            let code = VarInt::from_u32(close.code as u32);
            self.connection.close(now, code, Bytes::copy_from_slice(close.reason.as_bytes()));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), End> {
        if self.connection.poll_timeout().is_some_and(|due| due <= now) {
            self.connection.handle_timeout(now);
        }
        match &mut self.session {
            Some(session) if session.poll_timeout().is_some_and(|due| due <= now) => {
                session.handle_timeout(now).map_err(End::Ours)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        [self.connection.poll_timeout(), session].into_iter().flatten().min()
    }
}

fn half_closed() -> End {
    End::Ours(Close::new(CloseCode::Protocol, "expected the stream to stay open both ways"))
}

fn end_of(error: ConnectionError) -> End {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            match CloseCode::from_u64(close.error_code.into_inner()) {
                Some(code) => End::Theirs(Close::new(code, reason)),
                None => End::Lost(format!("closed with unknown code {}", close.error_code)),
            }
        }
        ConnectionError::TransportError(error) if is_crypto(error.code) => {
            End::Untrusted(error.to_string())
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            End::Theirs(Close::new(CloseCode::Full, FULL))
        }
        ConnectionError::ConnectionClosed(close) if is_crypto(close.error_code) => {
            End::Untrusted(format!("the other end says: {close}"))
        }
        other => End::Lost(other.to_string()),
    }
}

/// True for the codes that stand for an alert of TLS.
fn is_crypto(code: TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}
