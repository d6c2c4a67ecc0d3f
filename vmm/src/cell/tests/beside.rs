//! Two workers of a cell, each on a thread of its own: a call that is chained on one runs on the
//! other, and both stay awake.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use faaslet_ring::{Capacity, CellEnd, MIN_CAPACITY_BYTES, MonitorEnd};
use faaslet_snapshot::dirty::Pagemap;

use super::{Bench, call, guest, returned};
use crate::cell::peers::{Inbox, Post};
use crate::cell::worker::{Departure, Origin, Outside, Parent, Worker};
use crate::cell::{Answer, Function, Limits, LogLine};

/// Chained calls of one call.
const CALLS: u32 = 1000;

/// Calls `child` a thousand times, one after the other, and fails if one is not answered.
const PARENT: &str = r#"(module
  (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (import "faaslet_v1" "release" (func $release (param i32) (result i32)))
  (memory 1) (data (i32.const 0) "child")
  (func (export "faaslet_main") (result i32) (local $n i32) (local $h i32)
    (loop $more
      (local.set $h (call $call (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
      (if (call $await (local.get $h) (i64.const -1)) (then (return (i32.const 1))))
      (drop (call $release (local.get $h)))
      (br_if $more (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
    (i32.const 0)))"#;

/// What a worker has beside it: the other one, which runs all calls that are chained here.
struct Beside {
    other: usize,
    inboxes: Arc<[Inbox]>,
    answers: VecDeque<Answer>,
}

impl Outside for Beside {
    fn answer(&mut self, _: u64, answer: Answer) {
        self.answers.push_back(answer);
    }
    fn answer_peer(&mut self, parent: Parent, answer: Answer) {
        assert!(self.inboxes[parent.worker as usize].post(Post::Done(parent, answer)).is_ok());
    }
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        self.inboxes[self.other].post(Post::Run(departure)).err()
    }
    fn pass_turn(&mut self, worker: u32, function: &Arc<Function>) {
        assert!(self.inboxes[worker as usize].post(Post::Turn(Arc::clone(function))).is_ok());
    }
    fn log(&mut self, _: &Function, _: &[u8; 16], _: LogLine) {}
    fn call_id(&mut self) -> [u8; 16] {
        [0; 16]
    }
}

fn worker(number: u32, functions: &[Arc<Function>], inboxes: &Arc<[Inbox]>) -> Worker<Beside> {
    let inboxes = Arc::clone(inboxes);
    let outside = Beside { other: 1 - number as usize, inboxes, answers: VecDeque::new() };
    let mut worker = Worker::new(number, &Arc::new(Pagemap::open()), 8, outside);
    functions.iter().for_each(|function| worker.add(Arc::clone(function)));
    worker
}

/// One round of a worker's thread.
fn round(worker: &mut Worker<Beside>, inbox: &Inbox) {
    while let Some(post) = inbox.take() {
        match post {
            Post::Run(Departure { parent, function, call, .. }) => {
                worker.submit(function.unwrap(), call, Origin::Parent(parent));
            }
            Post::Done(parent, answer) => worker.chained(parent, answer),
            Post::Turn(function) => worker.turn_came(&function),
            Post::Add(_) | Post::Remove(_) | Post::Wake(_) => unreachable!(),
        }
    }
    if !worker.turn() {
        std::hint::spin_loop();
    }
}

/// Ends the other thread, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Prints what one costs, on machines with two cores.
#[test]
fn calls_that_are_chained_on_one_worker_run_on_the_other() {
    let mut bench = Bench::new(8);
    bench.add_text("parent", PARENT, Limits::default());
    bench.add("child", &guest("noop"), Limits::default());
    let ends = [(); 2].map(|()| {
        let (monitor, fds) =
            MonitorEnd::create(Capacity::new(MIN_CAPACITY_BYTES).unwrap()).unwrap();
        (monitor, CellEnd::attach(fds).unwrap())
    });
    let inboxes: Arc<[Inbox]> = ends.iter().map(|(_, end)| Inbox::new(end.waker())).collect();
    let (functions, stop) = (&bench.functions, &AtomicBool::new(false));
    let took = thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = worker(1, functions, &inboxes);
            while !stop.load(Ordering::Relaxed) {
                round(&mut other, &inboxes[1]);
            }
            assert_eq!(other.resets().1, 0);
        });
        let _stop = Stop(stop);
        let mut one = worker(0, functions, &inboxes);
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let begun = Instant::now();
                one.submit(0, call(b""), Origin::Outside(1));
                while one.outside().answers.is_empty() {
                    round(&mut one, &inboxes[0]);
                }
                returned(&one.outside().answers.pop_front().unwrap());
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("a call chained on another worker that is awake: {:?}", took / CALLS);
}
