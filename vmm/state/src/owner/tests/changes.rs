//! Changes: applied once, merged, and kept as versions.

use super::*;
use crate::chunk::{CHUNK_BYTES, Chunk};
use crate::delta;

fn push(stamp: Stamp, expected: Option<Version>) -> Body {
    Body::Push { stamp, made: Version::NONE, expected, fence: None, len: 1 }
}

fn changes(from: u8, to: u8) -> Vec<u8> {
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 8).unwrap();
    let mut changes = Vec::new();
    delta::diff(&spec, Chunk(0), &[from], &[to], &mut changes);
    changes
}

fn pushed(reply: &Reply) -> (Version, Vec<Version>) {
    match reply {
        Reply::Pushed { version, before, .. } => (*version, before.clone()),
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_push_that_expects_a_version_changes_that_one_alone() {
    let mut desk = Desk::of(1);
    let Reply::Value(made) = desk.create(Durability::Memory, false) else { panic!() };
    let (first, second, third) = (desk.stamp(SESSION), desk.stamp(OTHER), desk.stamp(OTHER));
    let (found, before) = pushed(&desk.ask(push(first, Some(made.version)), &changes(0, 1)).0);
    assert_eq!(before, [made.version]);
    let expected = made.version;
    let conflict = Reply::Failed(Failure::Conflict { expected, found });
    assert_eq!(desk.ask(push(second, Some(expected)), &changes(0, 2)).0, conflict);
    assert!(desk.pull(None).1.ends_with(&[1]));
    assert_eq!(pushed(&desk.ask(push(third, Some(found)), &changes(1, 2)).0).1, [found]);
    assert_eq!(desk.ask(push(second, Some(expected)), &changes(0, 2)).0, {
        Reply::Failed(Failure::Stale)
    });
}

#[test]
fn a_change_is_applied_once_and_answered_again_as_it_was() {
    for durability in [Durability::Memory, Durability::Durable] {
        let mut desk = Desk::of(1);
        desk.create(durability, false);
        let stamp = desk.stamp(SESSION);
        let append = Body::Append { stamp, made: Version::NONE, fence: None };
        let (first, _) = desk.ask(append.clone(), b"a");
        let other = desk.stamp(OTHER);
        desk.ask(Body::Append { stamp: other, made: Version::NONE, fence: None }, b"b");
        assert_eq!(desk.ask(append, b"a").0, first);
        assert!(desk.pull(None).1.ends_with(b"ab"));
        let resize = desk.stamp(SESSION);
        let resize = Body::Resize {
            stamp: resize,
            made: Version::NONE,
            expected: None,
            fence: None,
            len: 1,
        };
        let (first, _) = desk.ask(resize.clone(), &[]);
        let other = desk.stamp(OTHER);
        desk.ask(Body::Append { stamp: other, made: Version::NONE, fence: None }, b"c");
        assert_eq!(desk.ask(resize, &[]).0, first);
        assert!(desk.pull(None).1.ends_with(b"ac"));
    }
}

#[test]
fn a_deletion_sent_again_does_not_delete_what_was_made_since() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    let stamp = desk.stamp(OTHER);
    let delete = Body::Delete { stamp, made: Version::NONE, expected: None, fence: None };
    let (first, _) = desk.ask(delete.clone(), &[]);
    assert_eq!(desk.ask(delete.clone(), &[]).0, first);
    assert_eq!(desk.ask(Body::Stat, &[]).0, Reply::Failed(Failure::NotFound));
    let Reply::Value(made) = desk.create(Durability::Durable, false) else { panic!() };
    assert!(made.version > pushed(&first).0, "versions never go back");
    assert_eq!(desk.ask(delete, &[]).0, first);
    assert_eq!(desk.ask(Body::Stat, &[]).0, Reply::Value(made));
}

#[test]
fn a_durable_value_and_the_answers_about_it_survive_a_restart() {
    let mut first = Desk::of(1);
    first.create(Durability::Durable, false);
    let stamp = first.stamp(SESSION);
    let append = Body::Append { stamp, made: Version::NONE, fence: None };
    let (told, _) = first.ask(append.clone(), b"abc");
    let mut second = Desk::of(2);
    for record in first.stored {
        second.owner.restore(second.now, record).unwrap();
    }
    second.owner.start();
    assert_eq!(second.ask(append, b"abc").0, told);
    assert!(second.pull(None).1.ends_with(b"abc"));
    second.sequence = stamp.sequence;
    assert!(version(&second.append(b"d")) > version(&told));
}

#[test]
fn bytes_are_appended_over_chunks_and_pulled_by_what_is_newer() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let bytes: Vec<u8> = (0..2 * CHUNK_BYTES + 5).map(|at| at as u8).collect();
    desk.append(&bytes[..7]);
    let since = version(&desk.append(&bytes[7..]));
    let pull = |desk: &mut Desk, since| {
        let ranges = vec![PullRange { first: 0, count: 3, since }];
        let (_, payload) = desk.ask(Body::Pull { ranges, at: None }, &[]);
        payload.to_vec()
    };
    let all = pull(&mut desk, Version::NONE);
    let chunks = crate::payload::pulled_chunks(&all, 1).map(Result::unwrap);
    let bodies = chunks.map(|chunk| match chunk.body {
        crate::payload::Body::Whole(bytes) => bytes,
        body => panic!("{body:?}"),
    });
    assert_eq!(bodies.collect::<Vec<_>>().concat(), bytes);
    assert!(pull(&mut desk, since).is_empty());
    desk.append(b"x");
    let newer = pull(&mut desk, since);
    let newer: Vec<_> = crate::payload::pulled_chunks(&newer, 1).map(Result::unwrap).collect();
    assert!(newer.len() == 1 && newer[0].chunk == Chunk(2), "{newer:?}");
}

#[test]
fn versions_are_kept_by_age_too() {
    let mut desk = Desk::of(1);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let spec = spec.retaining(Retention { versions: 1, age_s: 60 });
    let stamp = desk.stamp(SESSION);
    desk.ask(Body::Create { spec, renew: false, stamp }, &[]);
    let first = version(&desk.append(b"a"));
    desk.now += Duration::from_secs(30);
    let second = version(&desk.append(b"b"));
    (0..9).for_each(|_| drop(desk.append(b"c")));
    assert!(matches!(desk.pull(Some(first)).0, Reply::Pulled { len: 1, .. }));
    desk.now += Duration::from_secs(30);
    desk.append(b"d");
    let collected = Reply::Failed(Failure::Collected { version: first });
    assert_eq!(desk.pull(Some(first)).0, collected);
    assert!(matches!(desk.pull(Some(second)).0, Reply::Pulled { len: 2, .. }));
    let Reply::Versions { versions } = desk.ask(Body::Versions, &[]).0 else { panic!() };
    assert!(versions.len() > 9 && versions[0].age_ms == 0 && versions[1].age_ms == 30_000);
}

#[test]
fn a_value_made_twice_is_one_if_it_is_asked_for_alike() {
    let mut desk = Desk::of(1);
    let made = desk.create(Durability::Memory, false);
    assert_eq!(desk.create(Durability::Memory, false), made);
    let Reply::Failed(Failure::OtherSpec { found }) = desk.create(Durability::Durable, false)
    else {
        panic!()
    };
    assert_eq!(found.durability(), Durability::Memory);
}

#[test]
fn that_a_value_is_there_is_said_in_any_order() {
    let mut desk = Desk::of(1);
    let made = desk.create(Durability::Memory, false);
    let Reply::Value(stat) = made else { panic!("{made:?}") };
    let late = desk.stamp(SESSION);
    desk.append(b"x");
    let create = Body::Create { spec: stat.spec, renew: false, stamp: late };
    let (reply, _) = desk.ask(create, &[]);
    assert!(matches!(reply, Reply::Value(now) if now.len == 1), "{reply:?}");
}
