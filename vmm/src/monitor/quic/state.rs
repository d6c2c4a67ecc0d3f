//! Requests for state, answered as those over HTTP are: by the tenant's session of this monitor.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faaslet_net::limits::MAX_READ_BYTES;
use faaslet_net::state::{
    StateAnswer, StateCondition, StateFailure, StateOp, StateReply, StateRequest, StateSpec,
    StateStat, StateVersion, names_to_bytes,
};
use faaslet_state::message::{Failure, Stat};
use faaslet_state::session::SessionError;
use faaslet_state::{Durability, Element, Epoch, Retention, Rule, Spec, Version};

use crate::monitor::state::{Outside, OutsideError, Precondition};

/// Longest wait for a change.
const MAX_WAIT: Duration = Duration::from_secs(60);

type Answered = Result<StateReply, StateReply>;

/// Does what is asked.
pub(super) async fn answer(outside: &Outside, request: StateRequest) -> StateReply {
    match attempt(outside, request).await {
        Ok(reply) | Err(reply) => reply,
    }
}

async fn attempt(outside: &Outside, request: StateRequest) -> Answered {
    let StateRequest { key, op, payload, .. } = request;
    match op {
        StateOp::Get { at, from, bytes } => get(outside, &key, at, (from, bytes)).await,
        StateOp::Stat => told(outside.stat(&key).await),
        StateOp::Watch { known, wait_ms } => {
            let wait = Duration::from_millis(wait_ms.into()).min(MAX_WAIT);
            told(outside.changed(&key, version_of(known), wait).await)
        }
        StateOp::Put { at, spec, condition } => {
            let place = (at.unwrap_or(0), at.is_none());
            let (spec, condition) = (spec_of(spec)?, condition_of(condition));
            told(outside.put(&key, place, payload, spec, condition).await)
        }
        StateOp::Append { spec } => {
            let spec = spec.map(spec_of).transpose()?;
            let (at, version, len) = outside.append_or_make(&key, payload, spec).await?;
            let version = version_to(version);
            Ok(StateReply::new(StateAnswer::Appended { at, len, version }))
        }
        StateOp::Remove { expected } => {
            outside.delete(&key, expected.map(version_of)).await?;
            Ok(StateReply::new(StateAnswer::Removed))
        }
        StateOp::List { limit } => {
            let after = std::str::from_utf8(&payload);
            let after = after.map_err(|_| invalid("expected a name in UTF-8 to begin behind"))?;
            let (names, more) = outside.list(&key, after, limit).await?;
            let payload = names_to_bytes(names.iter().map(String::as_str));
            Ok(StateReply { answer: StateAnswer::Listed { more }, payload })
        }
    }
}

async fn get(
    outside: &Outside,
    key: &str,
    at: Option<StateVersion>,
    (from, bytes): (u64, u64),
) -> Answered {
    let _turn = outside.turn_to_read().await?;
    let reading = outside.open(key, at.map(version_of)).await?;
    let stat = reading.stat;
    let end = from.saturating_add(bytes.min(MAX_READ_BYTES)).min(stat.len).max(from);
    let mut reading = reading.within(from..end)?;
    let mut whole = BytesMut::new();
    while let Some(part) = reading.next().await? {
        if whole.is_empty() && reading.is_empty() {
            return Ok(value(&stat, part));
        }
        whole.extend_from_slice(&part);
    }
    Ok(value(&stat, whole.freeze()))
}

fn told(stat: Result<Stat, OutsideError>) -> Answered {
    Ok(value(&stat?, Bytes::new()))
}

fn value(stat: &Stat, payload: Bytes) -> StateReply {
    let spec = stat.spec;
    let spec = StateSpec {
        element: spec.element() as u8,
        rule: spec.rule() as u8,
        durable: spec.durability() == Durability::Durable,
        quota_bytes: spec.quota_bytes(),
        keep_versions: spec.retention().versions,
        keep_age_s: spec.retention().age_s,
    };
    let (version, made) = (version_to(stat.version), version_to(stat.made));
    StateReply {
        answer: StateAnswer::Value(StateStat { spec, len: stat.len, version, made }),
        payload,
    }
}

fn spec_of(spec: StateSpec) -> Result<Spec, StateReply> {
    let element = Element::from_u8(spec.element);
    let element = element.ok_or_else(|| invalid("expected an element of 1 to 10"))?;
    let rule = Rule::from_u8(spec.rule).ok_or_else(|| invalid("expected a rule of 0 to 6"))?;
    let durability = if spec.durable { Durability::Durable } else { Durability::Memory };
    let retention = Retention { versions: spec.keep_versions, age_s: spec.keep_age_s };
    let made = Spec::new(element, rule, durability, spec.quota_bytes);
    Ok(made.map_err(|error| invalid(error.to_string()))?.retaining(retention))
}

fn condition_of(condition: StateCondition) -> Precondition {
    match condition {
        StateCondition::None => Precondition::None,
        StateCondition::Is(version) => Precondition::Is(version_of(version)),
        StateCondition::Absent => Precondition::Absent,
        StateCondition::Present => Precondition::Present,
    }
}

fn version_of(version: StateVersion) -> Version {
    Version::new(Epoch(version.epoch), version.n)
}

fn version_to(version: Version) -> StateVersion {
    StateVersion { epoch: version.epoch.0, n: version.n }
}

fn invalid(message: impl Into<Bytes>) -> StateReply {
    StateReply::failed(StateFailure::Invalid, message)
}

impl From<OutsideError> for StateReply {
    fn from(error: OutsideError) -> Self {
        let failure = match &error {
            OutsideError::Session { error, .. } => of_session(error),
            OutsideError::Precondition { .. } => StateFailure::Conflict,
            OutsideError::Rule { .. } | OutsideError::Range { .. } => StateFailure::Invalid,
            OutsideError::TooLong { .. } => StateFailure::TooLarge,
            OutsideError::TooManyWatches { .. } => StateFailure::Limit,
            OutsideError::Protocol => StateFailure::Internal,
            OutsideError::Ended => StateFailure::Unknown,
        };
        Self::failed(failure, error.to_string())
    }
}

fn of_session(error: &SessionError) -> StateFailure {
    let failure = match error {
        SessionError::Refused(failure) => failure,
        SessionError::Unknown => return StateFailure::Unknown,
        SessionError::Deadline | SessionError::NoOwner { .. } => return StateFailure::TimedOut,
        SessionError::Full { .. } => return StateFailure::Limit,
    };
    match failure {
        Failure::NotFound => StateFailure::NotFound,
        Failure::Lost => StateFailure::Lost,
        Failure::Collected { .. } => StateFailure::Collected,
        Failure::OtherSpec { .. } | Failure::Conflict { .. } => StateFailure::Conflict,
        Failure::Locked { .. } | Failure::LockTimeout { .. } => StateFailure::Locked,
        Failure::Storage { .. } => StateFailure::DiskFull,
        Failure::Length { .. } => StateFailure::TooLarge,
        Failure::Limit { .. } => StateFailure::Limit,
        _ => StateFailure::Invalid,
    }
}
