use super::*;

/// Why a share has no room for one more byte, if it has none.
fn refusal(share: &Share) -> Option<String> {
    let refused = share.begin().take(1).err()?;
    assert_eq!(refused.status, 429);
    Some(refused.detail)
}

#[test]
fn a_tenant_holds_no_more_than_its_share_and_leaves_room_for_others() {
    let budget = Budget::default();
    let mut held = budget.share("t").begin();
    held.take(MAX_HELD_BYTES_EACH).unwrap();
    let again = refusal(&budget.share("t")).unwrap();
    assert!(again.contains("of one tenant"), "{again}");
    assert_eq!(refusal(&budget.share("u")), None);
    drop(held);
    assert_eq!(refusal(&budget.share("t")), None);
}

#[test]
fn no_more_is_held_than_the_budget() {
    let budget = Budget::default();
    let mut held = ["a", "b", "c"].map(|name| budget.share(name).begin());
    let rest = MAX_HELD_BYTES - 2 * MAX_HELD_BYTES_EACH;
    for (held, bytes) in held.iter_mut().zip([MAX_HELD_BYTES_EACH, MAX_HELD_BYTES_EACH, rest]) {
        held.take(bytes).unwrap();
    }
    let over = refusal(&budget.share("d")).unwrap();
    assert!(over.contains("of all tenants"), "{over}");
    drop(held);
    assert_eq!((refusal(&budget.share("d")), budget.held()), (None, 0));
}

#[test]
fn an_input_counts_until_nobody_has_it_any_more() {
    let budget = Budget::default();
    let mut held = budget.share("t").begin();
    held.take(3).unwrap();
    let input = counted((Bytes::from_static(b"abc"), held));
    let copy = input.clone();
    drop(input);
    assert_eq!((&copy[..], budget.held()), (&b"abc"[..], 3));
    drop(copy);
    assert_eq!(budget.held(), 0);
}
