use super::*;
use crate::key::MAX_KEY_BYTES;
use crate::message::{
    Body, LockMode, MAX_LISTED, MAX_PULL_RANGES, MAX_PUSH_CHUNKS, MAX_RENEWED, PullRange, Request,
    SessionId, Stamp, VersionStat,
};
use crate::spec::{Durability, Element, Rule, Spec};
use crate::version::{Epoch, Version};

const LAST: Version = Version::new(Epoch(u64::MAX), u64::MAX);

/// Longer than every name of a tenant.
const TENANT_BYTES: usize = 256;

fn bodies() -> Vec<Body> {
    let stamp = Stamp { session: SessionId(u128::MAX), sequence: u64::MAX };
    let spec = Spec::new(Element::U64, Rule::Sum, Durability::Durable, 1 << 20).unwrap();
    let (made, expected, fence) = (LAST, Some(LAST), Some(LAST));
    let range = PullRange { first: 1, count: 1, since: LAST };
    vec![
        Body::Create { spec, renew: true, stamp },
        Body::Stat,
        Body::Pull { ranges: vec![range; MAX_PULL_RANGES], at: Some(LAST) },
        Body::Push { stamp, made, expected, fence, len: 1 },
        Body::Append { stamp, made, fence },
        Body::Resize { stamp, made, expected, fence, len: 1 },
        Body::Delete { stamp, made, expected, fence },
        Body::Lock { stamp, holder: 1, mode: LockMode::Write, wait_us: 1 },
        Body::Unlock { stamp, fence: LAST, abandoned: true },
        Body::Renew { sessions: vec![SessionId(1); MAX_RENEWED] },
        Body::End { session: SessionId(1) },
        Body::Open { stamp, at: Some(LAST) },
        Body::Close { stamp },
        Body::List { after: "k".repeat(MAX_KEY_BYTES), limit: 1 },
        Body::Versions,
    ]
}

#[test]
fn the_largest_request_of_each_kind_fits_into_a_head() {
    for body in bodies() {
        let (tenant, key) = ("t".repeat(TENANT_BYTES), "k".repeat(MAX_KEY_BYTES));
        let request = Request { tenant, key, epoch: Epoch(1), body };
        let bytes = request.to_bytes().unwrap().len();
        assert!(bytes <= MAX_HEAD_BYTES, "{bytes}: {request:?}");
    }
}

/// What an owner may answer, with as much in it as there can be.
fn replies() -> Vec<Reply> {
    let stat = VersionStat { version: LAST, len: 1, age_ms: 2, changed_bytes: 3 };
    let why = "ä".repeat(10_000);
    vec![
        Reply::Pushed { version: LAST, len: 1, before: vec![LAST; MAX_PUSH_CHUNKS] },
        Reply::Pushed { version: LAST, len: 1, before: Vec::new() },
        Reply::Versions { versions: vec![stat; MAX_LISTED as usize] },
        Reply::Granted { fence: LAST, abandoned: true, lease_ms: 1, version: LAST },
        Reply::Failed(Failure::Storage { why: why.clone() }),
        Reply::Failed(Failure::Malformed { why: why.clone() }),
        Reply::Failed(Failure::Limit { what: why, limit: 1 }),
        Reply::Done,
    ]
}

#[test]
fn the_largest_reply_of_each_kind_fits_into_a_head_and_reads_back() {
    for reply in replies() {
        let (head, payload) = reply.clone().to_wire(Payload::default()).unwrap();
        assert!(head.len() <= MAX_HEAD_BYTES, "{}: {reply:?}", head.len());
        let read = Reply::from_wire(&head, &payload.to_vec()).unwrap();
        if !matches!(reply, Reply::Failed(_)) {
            assert_eq!(read, reply);
        }
    }
}

#[test]
fn a_list_that_is_cut_is_refused() {
    let reply = Reply::Pushed { version: LAST, len: 1, before: vec![LAST; 3] };
    let (head, payload) = reply.to_wire(Payload::default()).unwrap();
    let read = Reply::from_wire(&head, &payload.to_vec()[..40]);
    assert!(matches!(read, Err(Failure::Malformed { .. })), "{read:?}");
}
