//! Heads of frames: written by rkyv, checked by bytecheck, read in place.
//!
//! The structs are the layout on the wire. To change one is to make a new protocol version.

use crate::call::{Outcome, Refusal};
use crate::close::{Close, violation};
use crate::state::{StateAnswer, StateOp};
use crate::wire::{HEADER_BYTES, Header, Kind};
use bytes::{Bytes, BytesMut};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::ser::{Positional, Writer};
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Portable, Serialize, api::high::HighValidator};

#[derive(Archive, Serialize)]
pub(crate) struct HelloHead {
    pub(crate) oldest_version: u16,
    pub(crate) newest_version: u16,
}

#[derive(Archive, Serialize)]
pub(crate) struct WelcomeHead<'a> {
    pub(crate) version: u16,
    pub(crate) max_in_flight: u32,
    pub(crate) max_input_bytes: u64,
    pub(crate) max_output_bytes: u64,
    pub(crate) max_inputs_bytes: u64,
    pub(crate) max_unread_bytes: u64,
    #[rkyv(with = InlineAsBox)]
    pub(crate) tenant: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct CallHead<'a> {
    pub(crate) id: u64,
    pub(crate) input_bytes: u64,
    /// Time left to the caller's deadline when it sent the call; 0 for no deadline.
    pub(crate) deadline_us: u64,
    pub(crate) attempt: u32,
    pub(crate) mode: u8,
    #[rkyv(with = InlineAsBox)]
    pub(crate) function: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct ReplyHead {
    pub(crate) id: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) queue_ns: u64,
    pub(crate) run_ns: u64,
    /// See [`outcome_to_wire`].
    pub(crate) outcome: u8,
    pub(crate) refusal: u8,
    pub(crate) detail: u64,
}

#[derive(Archive, Serialize)]
pub(crate) struct StateHead<'a> {
    pub(crate) id: u64,
    pub(crate) payload_bytes: u64,
    /// As in a call.
    pub(crate) deadline_us: u64,
    pub(crate) op: StateOp,
    #[rkyv(with = InlineAsBox)]
    pub(crate) key: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct StateReplyHead {
    pub(crate) id: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) answer: StateAnswer,
}

/// What is small enough to be read out of a head instead of in place.
pub(crate) fn owned<T>(kind: Kind, archived: &T::Archived) -> Result<T, Close>
where
    T: Archive,
    T::Archived: rkyv::Deserialize<T, rkyv::api::high::HighDeserializer<Failure>>,
{
    match rkyv::deserialize::<T, Failure>(archived) {
        Ok(owned) => Ok(owned),
        Err(_) => violation!("expected a valid head of a {kind:?} frame"),
    }
}

/// Head of data and cancel frames.
#[derive(Archive, Serialize)]
pub(crate) struct IdHead {
    pub(crate) id: u64,
}

/// Appends header and head to `out`; `payload_bytes` of payload are the caller's to append.
pub(crate) fn put_frame<T>(kind: Kind, head: &T, payload_bytes: usize, out: &mut BytesMut)
where
    T: for<'a> Serialize<Strategy<HeadWriter<'a>, Failure>>,
{
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    put_head(head, out);
    let head_bytes = out.len() - start - HEADER_BYTES;
    let header = Header { payload_bytes, head_bytes, kind };
    out[start..start + HEADER_BYTES].copy_from_slice(&header.to_bytes());
}

fn put_head<T>(head: &T, out: &mut BytesMut)
where
    T: for<'a> Serialize<Strategy<HeadWriter<'a>, Failure>>,
{
    let mut writer = HeadWriter(out);
    let written = rkyv::api::serialize_using::<_, Failure>(head, &mut writer);
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

/// Lets rkyv write at the end of the gathered small frames.
pub(crate) struct HeadWriter<'a>(&'a mut BytesMut);

impl Positional for HeadWriter<'_> {
    fn pos(&self) -> usize {
        self.0.len()
    }
}

impl Writer<Failure> for HeadWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Checks `head` and gives it back to be read in place.
pub(crate) fn read<T>(kind: Kind, head: &Bytes) -> Result<&T, Close>
where
    T: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>,
{
    match rkyv::access::<T, Failure>(head) {
        Ok(head) => Ok(head),
        Err(_) => violation!("expected a valid head of a {kind:?} frame, found {head:02x?}"),
    }
}

/// Outcome, refusal and its detail as numbers. They are frozen.
pub(crate) fn outcome_to_wire(outcome: Outcome) -> (u8, u8, u64) {
    let refusal = match outcome {
        Outcome::Returned => return (0, 0, 0),
        Outcome::Failed => return (1, 0, 0),
        Outcome::Trapped => return (2, 0, 0),
        Outcome::TimedOut => return (3, 0, 0),
        Outcome::Lost => return (5, 0, 0),
        Outcome::Refused(refusal) => refusal,
    };
    let (refusal, detail) = match refusal {
        Refusal::NotFound => (1, 0),
        Refusal::Overloaded { retry_after_ms } => (2, retry_after_ms.into()),
        Refusal::TooLarge { limit_bytes } => (3, limit_bytes),
        Refusal::Unauthorised => (4, 0),
        Refusal::ShuttingDown => (5, 0),
        Refusal::Deadline => (6, 0),
        Refusal::Cancelled => (7, 0),
        Refusal::TooDeep => (8, 0),
        Refusal::CannotBeMade => (9, 0),
    };
    (4, refusal, detail)
}

/// The outcome behind these numbers, if there is one.
pub(crate) fn outcome_from_wire(outcome: u8, refusal: u8, detail: u64) -> Option<Outcome> {
    Some(match (outcome, refusal) {
        (0, 0) => Outcome::Returned,
        (1, 0) => Outcome::Failed,
        (2, 0) => Outcome::Trapped,
        (3, 0) => Outcome::TimedOut,
        (5, 0) => Outcome::Lost,
        (4, 1) => Outcome::Refused(Refusal::NotFound),
        (4, 2) => {
            Outcome::Refused(Refusal::Overloaded { retry_after_ms: u32::try_from(detail).ok()? })
        }
        (4, 3) => Outcome::Refused(Refusal::TooLarge { limit_bytes: detail }),
        (4, 4) => Outcome::Refused(Refusal::Unauthorised),
        (4, 5) => Outcome::Refused(Refusal::ShuttingDown),
        (4, 6) => Outcome::Refused(Refusal::Deadline),
        (4, 7) => Outcome::Refused(Refusal::Cancelled),
        (4, 8) => Outcome::Refused(Refusal::TooDeep),
        (4, 9) => Outcome::Refused(Refusal::CannotBeMade),
        _ => return None,
    })
}
