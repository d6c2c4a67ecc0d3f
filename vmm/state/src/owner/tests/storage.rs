//! Disks that take their time, or refuse.

use super::*;

const APPENDED_BYTES: usize = 1 << 20;

fn append(stamp: Stamp) -> Body {
    Body::Append { stamp, made: Version::NONE, fence: None }
}

fn is_dropped(output: &Output, name: u64) -> bool {
    matches!(output, Output::Dropped { token } if *token == name)
}

fn tickets(outputs: &[Output]) -> Vec<Ticket> {
    let ticket = |output: &Output| match output {
        Output::Persist { ticket, .. } => Some(*ticket),
        _ => None,
    };
    outputs.iter().filter_map(ticket).collect()
}

#[test]
fn a_change_that_was_sent_again_waits_for_its_own_batch_alone() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    let (first, second) = (desk.stamp(SESSION), desk.stamp(OTHER));
    let one = tickets(&desk.outputs_unstored(append(first), b"a", 1));
    let two = tickets(&desk.outputs_unstored(append(second), b"b", 2));
    assert!(desk.outputs_unstored(append(first), b"a", 3).is_empty());
    desk.owner.persisted(one[0]);
    let answered: Vec<u64> = desk.outputs().iter().map(|(token, ..)| *token).collect();
    assert_eq!(answered, [1, 3], "what others changed meanwhile is not waited for");
    desk.owner.storage_failed(two[0], "full");
    assert!(is_dropped(&desk.owner.poll_output(desk.now).unwrap(), 2));
    let (reply, _) = desk.ask(append(first), b"a");
    assert!(matches!(reply, Reply::Appended { at: 0, .. }), "{reply:?}");
}

#[test]
fn what_could_not_be_stored_has_not_happened_and_is_refused_for_ever() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    desk.append(b"abc");
    let before = desk.pull(None);
    let usage = desk.owner.usage("t");
    let stamps = [desk.stamp(SESSION), desk.stamp(OTHER)];
    let failing = tickets(&desk.outputs_unstored(append(stamps[0]), b"d", 1));
    desk.outputs_unstored(append(stamps[1]), b"e", 2);
    let pull = Body::Pull { ranges: Vec::new(), at: None };
    assert!(desk.outputs_unstored(pull, &[], 3).is_empty(), "it would show what is not stored");
    desk.owner.storage_failed(failing[0], "full");
    let told: Vec<Output> = std::iter::from_fn(|| desk.owner.poll_output(desk.now)).collect();
    assert!(told.iter().zip(1..).all(|(output, token)| is_dropped(output, token)), "{told:?}");
    assert!(told.len() == 3 && desk.owner.usage("t").bytes <= usage.bytes);
    assert_eq!(desk.pull(None), before);
    for stamp in stamps {
        let storage = Reply::Failed(Failure::Storage { why: "full".into() });
        assert_eq!(desk.ask(append(stamp), b"d").0, storage);
    }
    assert!(matches!(desk.append(b"f"), Reply::Appended { at: 3, .. }));
}

#[test]
fn a_value_that_could_not_be_stored_is_not_there_and_a_deleted_one_is() {
    let mut desk = Desk::of(1);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let stamp = desk.stamp(SESSION);
    let create = Body::Create { spec, renew: false, stamp };
    let failing = tickets(&desk.outputs_unstored(create.clone(), &[], 1));
    let in_memory = desk.stamp(OTHER);
    assert!(desk.outputs_unstored(append(in_memory), b"a", 2).is_empty());
    desk.owner.storage_failed(failing[0], "full");
    while desk.owner.poll_output(desk.now).is_some() {}
    assert_eq!(desk.ask(Body::Stat, &[]).0, Reply::Failed(Failure::NotFound));
    let storage = Reply::Failed(Failure::Storage { why: "full".into() });
    assert_eq!(desk.ask(append(in_memory), b"a").0, storage, "it hung on the value");

    desk.create(Durability::Durable, false);
    desk.append(b"abc");
    let stamp = desk.stamp(SESSION);
    let delete = Body::Delete { stamp, made: Version::NONE, expected: None, fence: None };
    let failing = tickets(&desk.outputs_unstored(delete, &[], 3));
    desk.owner.storage_failed(failing[0], "full");
    while desk.owner.poll_output(desk.now).is_some() {}
    assert!(desk.pull(None).1.ends_with(b"abc"));
}

#[test]
fn what_is_handed_out_and_not_stored_has_a_bound() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    let mut refused = 0;
    let bytes = vec![1; APPENDED_BYTES];
    for token in 0..MAX_UNSTORED_BYTES / APPENDED_BYTES as u64 + 2 {
        let stamp = desk.stamp(SESSION);
        let resize =
            Body::Resize { stamp, made: Version::NONE, expected: None, fence: None, len: 0 };
        desk.outputs_unstored(resize, &[], token);
        let stamp = desk.stamp(SESSION);
        desk.outputs_unstored(append(stamp), &bytes, token);
        let entry = desk.owner.tenants.entry("t", "k").unwrap();
        let reply = &entry.done[&SESSION].done.reply;
        refused += usize::from(matches!(reply, Reply::Failed(Failure::Limit { .. })));
    }
    assert!(refused > 0 && desk.owner.outbox.unstored_bytes() < 2 * MAX_UNSTORED_BYTES);
}
