//! What a session makes of each frame.

use super::{PeerEvent, PeerSession, Stage, deadline, status};
use crate::CancelReason;
use crate::close::{Close, violation};
use crate::peer::asked::{Failure, PeerResponse};
use crate::peer::greeting::Greeting;
use crate::peer::limits::{MAX_FRAGMENT_BYTES, MAX_PAYLOAD_BYTES};
use crate::peer::served::{PeerRequest, Service, Serving};
use crate::peer::wire::{Frame, Kind};
use bytes::{Bytes, BytesMut};
use std::time::Instant;

/// A payload of which a part has arrived. Grows with what has arrived, never with what was
/// announced.
#[derive(Debug)]
pub(in crate::peer) struct Assembly {
    announced_bytes: u64,
    received_bytes: u64,
    /// Nothing when the payload is not wanted any more and only counted to its end.
    kept: Option<BytesMut>,
}

impl Assembly {
    fn new(announced_bytes: u64, wanted: bool) -> Self {
        Self { announced_bytes, received_bytes: 0, kept: wanted.then(BytesMut::new) }
    }

    /// Takes a piece and adds what is kept of it to `kept_bytes`; true if it was the last one.
    fn push(&mut self, frame: &Frame, kept_bytes: &mut u64, limit: u64) -> Result<bool, Close> {
        let (piece, rest_bytes) = (&frame.payload, frame.rest_bytes as u64);
        self.received_bytes += piece.len() as u64;
        // What the frame has yet to bring is judged with what it has brought, so that it does not
        // matter how it was cut on the way.
        let (announced_bytes, found_bytes) =
            (self.announced_bytes, self.received_bytes + rest_bytes);
        if found_bytes > announced_bytes {
            let id = frame.id;
            return violation!(
                "expected {announced_bytes} bytes for request {id}, found {found_bytes}"
            );
        }
        let Some(kept) = &mut self.kept else {
            return Ok(self.received_bytes == announced_bytes);
        };
        kept.extend_from_slice(piece);
        *kept_bytes += piece.len() as u64;
        let found_bytes = *kept_bytes + rest_bytes;
        if found_bytes > limit {
            return violation!(
                "expected at most {limit} bytes of unfinished payloads, found {found_bytes}"
            );
        }
        Ok(self.received_bytes == self.announced_bytes)
    }

    fn into_whole(self) -> Bytes {
        self.kept.unwrap_or_default().freeze()
    }

    /// Drops what has arrived and says how much it was; the rest is counted and dropped.
    pub(in crate::peer) fn discard(&mut self) -> u64 {
        self.kept.take().map_or(0, |kept| kept.len() as u64)
    }
}

impl<T> PeerSession<T> {
    pub(super) fn handle_frame(&mut self, now: Instant, frame: Frame) -> Result<(), Close> {
        match (&self.stage, frame.kind) {
            (Stage::Open, Kind::Request) => self.handle_request(now, frame),
            (Stage::Open, Kind::Response) => self.handle_response(now, frame),
            (Stage::Open, Kind::RequestData) => self.handle_request_data(&frame),
            (Stage::Open, Kind::ResponseData) => self.handle_response_data(now, &frame),
            (Stage::Open, Kind::Cancel) => self.handle_cancel(now, frame.id),
            (Stage::Open, Kind::GoAway) => {
                (self.leaving, self.told) = (true, true);
                let reason = String::from_utf8_lossy(&frame.payload).into_owned();
                self.events.push_back(PeerEvent::GoAway { reason });
                Ok(())
            }
            (Stage::Greeting { .. }, Kind::Hello) if !self.opener => {
                let greeting = Greeting::read(&frame, self.settings.hosts)?;
                self.theirs = greeting.limits;
                self.stage = Stage::Judging;
                self.events.push_back(PeerEvent::Hello { host: greeting.host });
                Ok(())
            }
            (Stage::Greeting { .. }, Kind::Welcome) if self.opener => {
                let greeting = Greeting::read(&frame, self.settings.hosts)?;
                self.theirs = greeting.limits;
                self.stage = Stage::Open;
                self.events.push_back(PeerEvent::Welcome { host: greeting.host });
                Ok(())
            }
            (Stage::Greeting { .. }, kind) => violation!("expected a greeting, found {kind:?}"),
            (Stage::Judging, kind) => violation!("expected to wait for the welcome: {kind:?}"),
            (Stage::Open, kind) => violation!("expected no second greeting, found {kind:?}"),
        }
    }

    fn handle_request(&mut self, now: Instant, frame: Frame) -> Result<(), Close> {
        let whole = is_whole(&frame)?;
        let (id, deadline) = (frame.id, deadline(now, frame.left_us));
        let bytes = frame.head.len() as u64 + u64::from(frame.whole_bytes);
        let assembly = || Assembly::new(frame.whole_bytes.into(), !self.leaving);
        let service = Service(frame.status);
        let arriving = (!whole).then(|| (service, frame.head.clone(), assembly()));
        let serving = Serving { deadline, bytes, arriving };
        self.served.insert(&self.settings.limits, id, serving)?;
        self.arriving += usize::from(!whole);
        if self.leaving {
            self.refuse(now, id, "this host is leaving");
        } else if whole {
            let Frame { head, payload, .. } = frame;
            let request = PeerRequest { service, head, payload, deadline };
            self.events.push_back(PeerEvent::Request { id, request });
        }
        Ok(())
    }

    fn handle_request_data(&mut self, frame: &Frame) -> Result<(), Close> {
        let id = frame.id;
        if id > self.served.last_id {
            return violation!("expected data of a request, found it for {id} that never began");
        }
        // A request that was refused, cancelled or timed out may have data under way: dropped.
        let Some(serving) = self.served.serving.get_mut(&id) else { return Ok(()) };
        let Some((_, _, assembly)) = &mut serving.arriving else {
            return violation!("expected no more data for request {id}, which is whole");
        };
        let limit_bytes = self.settings.limits.max_assembly_bytes;
        let last = assembly.push(frame, &mut self.assembled_bytes, limit_bytes)?;
        if last && let Some((service, head, assembly)) = serving.arriving.take() {
            let payload = assembly.into_whole();
            self.arriving -= 1;
            self.assembled_bytes -= payload.len() as u64;
            let request = PeerRequest { service, head, payload, deadline: serving.deadline };
            self.events.push_back(PeerEvent::Request { id, request });
        }
        Ok(())
    }

    fn handle_response(&mut self, now: Instant, frame: Frame) -> Result<(), Close> {
        let (id, whole) = (frame.id, is_whole(&frame)?);
        if frame.status > status::NO_RESPONSE {
            return violation!("expected a status of 0 to 4, found {}", frame.status);
        }
        let Some(waiting) = self.asked.waiting.get_mut(&id) else {
            return violation!("expected a response to a request in flight, found one to {id}");
        };
        if waiting.arriving.is_some() {
            return violation!("expected one response to request {id}, found a second");
        }
        if waiting.is_bulk {
            // It was answered before it had arrived.
            self.outgoing.drop_bulk(Kind::RequestData, id);
        }
        if whole {
            self.finish(now, id, frame.status, frame.head, frame.payload);
            return Ok(());
        }
        let assembly = Assembly::new(frame.whole_bytes.into(), waiting.tag.is_some());
        waiting.arriving = Some((frame.status, frame.head, assembly));
        self.arriving += 1;
        Ok(())
    }

    fn handle_response_data(&mut self, now: Instant, frame: &Frame) -> Result<(), Close> {
        let id = frame.id;
        let waiting = self.asked.waiting.get_mut(&id);
        let Some(waiting) = waiting.filter(|waiting| waiting.arriving.is_some()) else {
            return violation!("expected data of a response, found it for request {id}");
        };
        let Some((_, _, assembly)) = &mut waiting.arriving else { return Ok(()) };
        let limit_bytes = self.settings.limits.max_assembly_bytes;
        let last = assembly.push(frame, &mut self.assembled_bytes, limit_bytes)?;
        if last && let Some((status, head, assembly)) = waiting.arriving.take() {
            let payload = assembly.into_whole();
            self.arriving -= 1;
            self.assembled_bytes -= payload.len() as u64;
            self.finish(now, id, status, head, payload);
        }
        Ok(())
    }

    fn handle_cancel(&mut self, now: Instant, id: u64) -> Result<(), Close> {
        if id > self.served.last_id {
            return violation!("expected to cancel a request, found {id} that never began");
        }
        self.end_early(now, id, CancelReason::Caller, status::CANCELLED);
        Ok(())
    }

    fn finish(&mut self, now: Instant, id: u64, status: u8, head: Bytes, payload: Bytes) {
        let Some(waiting) = self.asked.remove(id) else { return };
        let Some(tag) = waiting.tag else { return };
        let reason = || String::from_utf8_lossy(&payload).into_owned();
        let result = match status {
            status::ANSWERED => Ok(PeerResponse { head, payload }),
            status::REFUSED => Err(Failure::Refused { reason: reason() }),
            status::TIMED_OUT => Err(Failure::TimedOut { may_have_run: true }),
            status::CANCELLED => Err(Failure::NoResponse { reason: "cancelled".to_owned() }),
            _ => Err(Failure::NoResponse { reason: reason() }),
        };
        let took = now.saturating_duration_since(waiting.asked_at);
        self.events.push_back(PeerEvent::Response { tag, took, result });
    }
}

/// True if the payload is whole; false if it follows in data frames.
fn is_whole(frame: &Frame) -> Result<bool, Close> {
    let (announced, found) = (frame.whole_bytes as usize, frame.payload.len());
    if announced > MAX_PAYLOAD_BYTES {
        return violation!(
            "expected a payload of at most {MAX_PAYLOAD_BYTES} bytes, found {announced}"
        );
    }
    if announced == found {
        return Ok(true);
    }
    if found == 0 && announced > MAX_FRAGMENT_BYTES {
        return Ok(false);
    }
    violation!(
        "expected {announced} bytes with {:?} {}, as it says, found {found}",
        frame.kind,
        frame.id
    )
}
