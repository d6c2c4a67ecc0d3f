//! Answers for which there is no room on their way to the monitor: whoever waits hears of it.

use std::sync::Arc;

use faaslet_abi::Outcome;
use faaslet_ring::{Capacity, CellEnd, MIN_CAPACITY_BYTES, MonitorEnd};

use super::call;
use crate::cell::peers::{Inbox, Post};
use crate::cell::thread::ToOthers;
use crate::cell::worker::{Departure, Outside, Parent};
use crate::cell::{Answer, ResponseHead};
use crate::wire::{self, ArchivedFromCell};

/// Two of them are more than waits for the monitor at most.
const LARGE_BYTES: usize = 40 << 20;

fn ends() -> (MonitorEnd, ToOthers) {
    let (monitor, fds) = MonitorEnd::create(Capacity::new(MIN_CAPACITY_BYTES).unwrap()).unwrap();
    let ring = CellEnd::attach(fds).unwrap();
    let inboxes: Arc<[Inbox]> = [Inbox::new(ring.waker())].into();
    (monitor, ToOthers::new(ring, 0, inboxes))
}

fn large() -> Answer {
    Answer { body: vec![1; LARGE_BYTES], ..Answer::message(Outcome::Returned, "") }
}

#[test]
fn an_answer_without_room_is_answered_by_a_small_one() {
    let (mut monitor, mut outside) = ends();
    for number in 1..=3 {
        outside.answer(number, large());
    }
    let (mut message, mut answers) = (Vec::new(), Vec::new());
    while answers.len() < 3 {
        outside.pump().unwrap();
        if !monitor.from_cell.try_recv(&mut message).unwrap() {
            continue;
        }
        let (head, payload) = wire::split(&message).unwrap();
        let ArchivedFromCell::Answer { number, outcome, .. } = wire::from_cell(head).unwrap()
        else {
            panic!("only answers were sent");
        };
        answers.push((number.to_native(), outcome.to_native(), payload.len()));
    }
    assert_eq!(answers[0], (1, Outcome::Returned as i32, LARGE_BYTES));
    for (answer, number) in answers[1..].iter().zip(2..) {
        assert_eq!((answer.0, answer.1), (number, Outcome::Lost as i32));
    }
}

#[test]
fn a_chained_call_without_room_is_refused() {
    let (_monitor, mut outside) = ends();
    outside.answer(1, large());
    let parent = Parent { worker: 0, task: 3, serial: 5, handle: 7 };
    let input = crate::cell::Call { input: vec![1; LARGE_BYTES], ..call(b"") };
    let departure =
        Departure { parent, function: None, name: "far".into(), call: input, filling: false };
    assert!(outside.depart(departure, 0).is_none());
    let Some(Post::Done(whose, answer)) = outside.take_post() else { panic!("nobody was told") };
    assert_eq!((whose, answer.outcome), (parent, Outcome::Refused));
    assert_eq!(answer.response, ResponseHead::default());
}
