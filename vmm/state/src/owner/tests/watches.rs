//! Waits for another version.

use super::*;

fn watch(known: Version) -> Body {
    Body::Watch { known, wait_us: u64::MAX }
}

fn seen(replies: &[(u64, Reply, Payload)], watcher: u64) -> Option<&Reply> {
    replies.iter().find(|(token, ..)| *token == watcher).map(|(_, reply, _)| reply)
}

fn stat(desk: &mut Desk) -> crate::message::Stat {
    match desk.ask(Body::Stat, &[]).0 {
        Reply::Value(stat) => stat,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn each_watcher_is_told_of_a_change_at_once_and_of_none_when_its_time_is_over() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let old = stat(&mut desk);
    desk.send(watch(old.version), &[], 7);
    desk.send(watch(old.version), &[], 8);
    assert!(desk.outputs().is_empty());
    let stamp = desk.stamp(SESSION);
    desk.send(Body::Append { stamp, made: Version::NONE, fence: None }, b"x", 1);
    let told = desk.outputs();
    for watcher in [7, 8] {
        assert!(matches!(seen(&told, watcher), Some(Reply::Value(stat)) if stat.len == 1));
    }
    let late = desk.ask(watch(old.version), &[]).0;
    assert!(matches!(late, Reply::Value(stat) if stat.len == 1), "made before it was asked");

    let new = stat(&mut desk);
    desk.send(watch(new.version), &[], 9);
    assert!(desk.outputs().is_empty());
    desk.now = desk.owner.poll_timeout().expect("a wait that ends");
    desk.owner.handle_timeout(desk.now);
    assert_eq!(seen(&desk.outputs(), 9), Some(&Reply::Value(new)));
    assert_eq!(desk.owner.poll_timeout(), None);
}

#[test]
fn a_watcher_sees_no_change_that_is_not_stored() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    let known = stat(&mut desk).version;
    let ticket = |outputs: Vec<Output>| match &outputs[..] {
        [Output::Persist { ticket, .. }] => *ticket,
        outputs => panic!("{outputs:?}"),
    };
    desk.send(watch(known), &[], 7);
    let (stamp, fence) = (desk.stamp(SESSION), None);
    let failing =
        ticket(desk.outputs_unstored(Body::Append { stamp, made: Version::NONE, fence }, b"x", 1));
    desk.owner.storage_failed(failing, "full");
    let told: Vec<Output> = std::iter::from_fn(|| desk.owner.poll_output(desk.now)).collect();
    assert!(told.iter().all(|output| matches!(output, Output::Dropped { .. })), "{told:?}");
    assert_eq!(told.len(), 2);

    desk.send(watch(known), &[], 7);
    let stamp = desk.stamp(OTHER);
    let stored =
        ticket(desk.outputs_unstored(Body::Append { stamp, made: Version::NONE, fence }, b"y", 1));
    desk.owner.persisted(stored);
    assert!(matches!(seen(&desk.outputs(), 7), Some(Reply::Value(stat)) if stat.len == 1));
}

#[test]
fn a_watcher_is_told_that_the_value_is_gone() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    let known = stat(&mut desk).version;
    desk.send(watch(known), &[], 7);
    let stamp = desk.stamp(SESSION);
    desk.send(Body::Delete { stamp, made: Version::NONE, expected: None, fence: None }, &[], 1);
    assert_eq!(seen(&desk.outputs(), 7), Some(&Reply::Failed(Failure::NotFound)));
    assert_eq!(desk.ask(watch(known), &[]).0, Reply::Failed(Failure::NotFound));
}

#[test]
fn watchers_of_one_value_are_bounded() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let known = stat(&mut desk).version;
    for token in 0..MAX_WATCHES as u64 {
        desk.send(watch(known), &[], token);
    }
    assert!(desk.outputs().is_empty());
    let limit = MAX_WATCHES as u64;
    let refused = Failure::Limit { what: "watches of one value".into(), limit };
    assert_eq!(desk.ask(watch(known), &[]).0, Reply::Failed(refused));
}
