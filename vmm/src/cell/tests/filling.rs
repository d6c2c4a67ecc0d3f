//! Functions whose image is not whole: pages come while they run, and where one cannot be had nothing
//! of the call gets out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use faaslet_abi::Outcome;
use faaslet_snapshot::board::{Board, Faults};
use faaslet_snapshot::image::{Head, Image};
use faaslet_snapshot::lazy::LazyImage;
use faaslet_snapshot::pager::{Cell, FAULT_LIMIT, Lost, Pager};
use faaslet_snapshot::source::{Deliver, Request, Source, SourceError};

use super::{Bench, call, call_export, returned, text};
use crate::cell::{Answer, Limits};

/// Four chunks of data, and ways to meet them: by a load, in `memory.copy`, in a host call that
/// reads, before a loop, before a log line, before a call of another function.
const MEETS: &str = r#"(module
  (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
  (import "faaslet_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "call_export" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (memory 5)
  (data (i32.const 0) "main") (data (i32.const 65536) "first") (data (i32.const 131072) "second")
  (data (i32.const 196608) "third") (data (i32.const 262144) "faaslet_main")
  (func (export "load") (result i32)
    (i32.store8 (i32.const 8) (i32.load8_u (i32.const 65536)))
    (call $out (i32.const 8) (i32.const 1)))
  (func (export "copy") (result i32)
    (memory.copy (i32.const 100) (i32.const 131072) (i32.const 6))
    (call $out (i32.const 100) (i32.const 6)))
  (func (export "host") (result i32) (call $out (i32.const 196608) (i32.const 5)))
  (func (export "loops") (result i32)
    (drop (i32.load8_u (i32.const 65536))) (loop (br 0)) (i32.const 0))
  (func (export "logs") (result i32)
    (drop (i32.load8_u (i32.const 65536)))
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 4)))
    (drop (call $log (i32.const 2) (i32.const 131072) (i32.const 6))) (i32.const 0))
  (func (export "calls") (result i32)
    (call $await (call $call (i32.const 262144) (i32.const 12) (i32.const 65536) (i32.const 5))
      (i64.const -1)))
  (func (export "faaslet_main") (result i32) (call $out (i32.const 0) (i32.const 4))))"#;

/// A source that gives what it has while it is good.
struct Given {
    file: Vec<u8>,
    good: AtomicBool,
    asked: AtomicUsize,
}

impl Source for Given {
    fn name(&self) -> &'static str {
        "a host"
    }

    fn fetch(&self, request: &Request<'_>, deliver: &mut Deliver<'_>) -> Result<(), SourceError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.good.load(Ordering::SeqCst) {
            return Err(SourceError::Unreachable("it was ended".into()));
        }
        for wanted in request.chunks {
            let from = wanted.offset as usize;
            let _ = deliver(wanted.chunk, &self.file[from..from + wanted.bytes as usize]);
        }
        Ok(())
    }
}

/// What a pager has of its cell.
#[derive(Default)]
struct OfCell {
    image: OnceLock<Arc<LazyImage>>,
    lost: Mutex<Vec<String>>,
}

impl Cell for OfCell {
    fn image(&self, _: u64) -> Option<Arc<LazyImage>> {
        self.image.get().cloned()
    }
    fn lost(&self, why: &Lost) {
        self.lost.lock().unwrap().push(why.to_string());
    }
    fn end(&self, why: &Lost) {
        panic!("nothing here stores where others see it: {why}");
    }
}

/// A bench for images that are not whole, with the function as number 0.
struct Filling {
    bench: Bench,
    source: Arc<Given>,
    cell: Arc<OfCell>,
    _pager: Pager,
}

impl Filling {
    fn new(good: bool) -> Self {
        let mut bench = Bench::new(16);
        let (faults, board) = (Faults::open(1).unwrap(), Arc::new(Board::new().unwrap()));
        let watches = faults.watches(board.fd().try_clone_to_owned().unwrap()).unwrap();
        bench.worker.set_watch(Arc::clone(&watches[0]));
        let (cell, mut given) = (Arc::new(OfCell::default()), None);
        let open = |file: &[u8]| {
            let (good, asked) = (AtomicBool::new(good), AtomicUsize::new(0));
            let source = Arc::new(Given { file: file.to_vec(), good, asked });
            given = Some(Arc::clone(&source));
            let head = Head::read(file).unwrap();
            let lazy = LazyImage::new(head, vec![source], Arc::new(())).unwrap();
            let memory = lazy.fd().try_clone_to_owned().unwrap();
            let image = Image::filling_from_parts(memory, lazy.head().as_bytes()).unwrap();
            assert!(cell.image.set(lazy).is_ok());
            image
        };
        let module = wat::parse_str(MEETS).unwrap();
        let function = bench.function_of("meets", &module, Limits::default(), open).unwrap();
        bench.worker.add(Arc::new(function));
        let fault = faults.descriptors().next().unwrap().try_clone_to_owned().unwrap();
        let pager = Pager::start(fault, board, 0, Arc::clone(&cell) as _, FAULT_LIMIT).unwrap();
        bench.tick();
        Self { bench, source: given.unwrap(), cell, _pager: pager }
    }

    fn run(&mut self, export: &str) -> Answer {
        let answer = self.bench.run(0, call_export(export, b""));
        self.bench.assert_clean();
        answer
    }
}

#[test]
fn pages_come_while_a_function_runs_wherever_it_meets_them() {
    let mut filling = Filling::new(true);
    for _ in 0..3 {
        for (export, expected) in [("load", "f"), ("copy", "second"), ("host", "third")] {
            assert_eq!(returned(&filling.run(export)), expected, "{export}");
        }
        assert_eq!(returned(&filling.bench.run(0, call(b""))), "main");
    }
    assert_eq!(filling.source.asked.load(Ordering::SeqCst), 4, "each chunk once");
    assert!(filling.cell.lost.lock().unwrap().is_empty());
}

#[test]
fn nothing_of_a_call_that_meets_a_page_that_cannot_be_had_gets_out() {
    let mut filling = Filling::new(true);
    // What is entered by name and answered with is here.
    assert_eq!(returned(&filling.bench.run(0, call(b""))), "main");
    filling.source.good.store(false, Ordering::SeqCst);
    for export in ["load", "copy", "host", "loops", "logs", "calls"] {
        let answer = filling.run(export);
        assert_eq!(answer.outcome, Outcome::Lost, "{export}: {}", text(&answer));
        let why = text(&answer);
        assert!(why.contains("a page of its image could not be had"), "{export}: {why}");
        assert_eq!(returned(&filling.bench.run(0, call(b""))), "main", "after {export}");
    }
    assert!(filling.bench.worker.outside().logs.is_empty());
    assert!(filling.bench.worker.outside().departed.is_empty());
    let lost = filling.cell.lost.lock().unwrap().clone();
    assert!(lost.len() >= 6 && lost.iter().all(|why| why.contains("a host")), "{lost:?}");
}

#[test]
fn what_could_not_be_had_is_asked_for_again_by_the_next_call() {
    let mut filling = Filling::new(false);
    assert_eq!(filling.run("load").outcome, Outcome::Lost);
    filling.source.good.store(true, Ordering::SeqCst);
    assert_eq!(returned(&filling.run("load")), "f");
    assert_eq!(returned(&filling.run("copy")), "second");
}
