//! Versions that are kept open, and values that are not the one that is meant.

use super::*;
use crate::chunk::Chunk;
use crate::delta;

fn open(desk: &mut Desk, stamp: Stamp, at: Option<Version>) -> Reply {
    desk.ask(Body::Open { stamp, at }, &[]).0
}

/// As many versions as are retained, and one more.
fn push_on(desk: &mut Desk) {
    for _ in 0..4 {
        desk.append(b"x");
    }
}

#[test]
fn a_version_is_kept_until_the_last_of_its_readers_closes_it() {
    let mut desk = Desk::of(1);
    let at = version(&desk.create(Durability::Memory, false));
    let (one, two) = (desk.stamp(SESSION), desk.stamp(SESSION));
    open(&mut desk, one, None);
    open(&mut desk, two, Some(at));
    desk.ask(Body::Close { stamp: one }, &[]);
    desk.ask(Body::Close { stamp: one }, &[]);
    push_on(&mut desk);
    assert!(matches!(desk.pull(Some(at)).0, Reply::Pulled { .. }), "another reader has it");
    desk.ask(Body::Close { stamp: two }, &[]);
    push_on(&mut desk);
    assert_eq!(desk.pull(Some(at)).0, Reply::Failed(Failure::Collected { version: at }));
}

#[test]
fn what_opens_a_version_is_the_same_opening_when_it_is_sent_again() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let stamp = desk.stamp(SESSION);
    let first = open(&mut desk, stamp, None);
    push_on(&mut desk);
    assert_eq!(open(&mut desk, stamp, None), first, "not the newest of now");
    desk.ask(Body::Close { stamp }, &[]);
    assert_eq!(open(&mut desk, stamp, None), Reply::Failed(Failure::Stale), "it comes late");
    assert!(desk.owner.tenants.entry("t", "k").unwrap().open.is_empty());
}

#[test]
fn what_opens_a_version_after_it_was_closed_is_refused_however_late() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let first = desk.stamp(SESSION);
    desk.ask(Body::Close { stamp: first }, &[]);
    for _ in 0..=MAX_CLOSED {
        let stamp = desk.stamp(SESSION);
        open(&mut desk, stamp, None);
        desk.ask(Body::Close { stamp }, &[]);
    }
    assert_eq!(open(&mut desk, first, None), Reply::Failed(Failure::Stale));
}

#[test]
fn a_change_of_a_value_that_was_deleted_is_none_of_the_next_of_its_name() {
    let mut desk = Desk::of(1);
    let made = version(&desk.create(Durability::Memory, false));
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let mut changes = Vec::new();
    delta::diff(&spec, Chunk(0), &[0], &[7], &mut changes);
    let stamp = desk.stamp(OTHER);
    desk.ask(Body::Delete { stamp, made, expected: None, fence: None }, &[]);
    let again = version(&desk.create(Durability::Memory, false));
    let (expected, fence) = (None, None);
    let mut stamp = || desk.stamp(SESSION);
    let bodies = [
        Body::Push { stamp: stamp(), made, expected, fence, len: 1 },
        Body::Append { stamp: stamp(), made, fence },
        Body::Resize { stamp: stamp(), made, expected, fence, len: 9 },
        Body::Delete { stamp: stamp(), made, expected, fence },
    ];
    for body in bodies {
        let (reply, _) = desk.ask(body, &changes);
        assert_eq!(reply, Reply::Failed(Failure::OtherValue { made: again }));
    }
    assert_eq!(desk.pull(None).1, b"", "nothing of it");
    let stamp = desk.stamp(SESSION);
    let (reply, _) = desk.ask(Body::Push { stamp, made: again, expected, fence, len: 1 }, &changes);
    assert!(matches!(reply, Reply::Pushed { .. }), "{reply:?}");
}
