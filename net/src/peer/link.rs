//! A connection to another host: its session, the certificate behind it, and who waits on it.

use super::directory::{Admitted, Peer};
use super::error::PeerError;
use super::tls;
use crate::endpoint::Session;
use bytes::Bytes;
use faaslet_proto::Close;
use faaslet_proto::peer::{HostId, PeerResponse, PeerSession};
use rustls::pki_types::CertificateDer;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Gets the response; called once, on the endpoint's thread.
pub(super) type Done = Box<dyn FnOnce(Result<PeerResponse, PeerError>) + Send>;

/// One who waits for a response. Dropped, it is told [`PeerError::Closed`].
pub(super) struct Asking {
    pub(super) ticket: u64,
    pub(super) admitted: Admitted,
    done: Option<Done>,
}

impl Asking {
    pub(super) fn new(ticket: u64, admitted: Admitted, done: Done) -> Self {
        Self { ticket, admitted, done: Some(done) }
    }

    pub(super) fn finish(mut self, result: Result<PeerResponse, PeerError>) {
        if result.is_err() {
            self.admitted.peer.count_failure();
        }
        if let Some(done) = self.done.take() {
            done(result);
        }
    }

    /// It was never asked: nobody is told.
    pub(super) fn forget(mut self) {
        self.done = None;
    }

    pub(super) fn host(&self) -> HostId {
        self.admitted.peer.host
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(PeerError::Closed));
        }
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

pub(super) struct PeerLink {
    pub(super) session: PeerSession<Asking>,
    /// Whom this end meant to reach, if it opened the connection.
    pub(super) dialled: Option<HostId>,
    /// Who the other end is, once that is proven.
    pub(super) peer: Option<Arc<Peer>>,
    certificate: Option<CertificateDer<'static>>,
}

impl PeerLink {
    pub(super) fn new(session: PeerSession<Asking>, dialled: Option<HostId>) -> Self {
        Self { session, dialled, peer: None, certificate: None }
    }

    /// True if the other end has shown a certificate for `host`.
    pub(super) fn is(&self, host: HostId) -> bool {
        self.certificate.as_ref().is_some_and(|certificate| tls::is_for(certificate, host))
    }

    pub(super) fn host(&self) -> Option<HostId> {
        self.peer.as_ref().map(|peer| peer.host).or(self.dialled)
    }
}

impl Session for PeerLink {
    fn handle_bytes(&mut self, now: Instant, chunk: Bytes) -> Result<(), Close> {
        self.session.handle_bytes(now, chunk)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        self.session.handle_timeout(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.session.poll_transmit(now)
    }

    /// What may be received is bounded by what was granted, so there is no reason to pause.
    fn wants_bytes(&self) -> bool {
        true
    }

    fn handle_connected(&mut self, identity: Option<Box<dyn Any>>) {
        let chain =
            identity.and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
        self.certificate = chain.and_then(|chain| chain.into_iter().next());
    }
}
