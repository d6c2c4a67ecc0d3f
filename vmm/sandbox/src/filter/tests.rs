//! The list of allowed calls, and what it must never hold.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::{Role, Scope, allowed, compile, hostile};

const ALL: [Scope; 4] = [
    Scope { role: Role::Cell, files: true },
    Scope { role: Role::Cell, files: false },
    Scope { role: Role::Builder, files: true },
    Scope { role: Role::Builder, files: false },
];

#[test]
fn every_table_compiles() {
    for scope in ALL {
        compile(allowed(scope), 1, super::Stance::Allow).unwrap();
    }
    compile(hostile::CALLS.iter(), 1, super::Stance::Kill).unwrap();
}

#[test]
fn no_call_is_listed_twice_and_none_unconditionally_in_both_lists() {
    for scope in ALL {
        let mut seen = BTreeSet::new();
        for call in allowed(scope) {
            assert!(seen.insert(call.number), "{} is allowed twice", call.name);
        }
        for call in hostile::CALLS.iter().filter(|call| call.when.is_empty()) {
            assert!(!seen.contains(&call.number), "{} is in both lists", call.name);
        }
    }
    let mut seen = BTreeSet::new();
    for call in hostile::CALLS {
        assert!(seen.insert(call.number), "{} is hostile twice", call.name);
    }
}
