//! A client: one operation after the other, of its host's monitor.

use faaslet_tests::{Answer, pause};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::hosts::Seat;
use super::log::Log;
use crate::history::Op;

/// How long a client waits for a lock.
const LOCK_WAIT_MS: u64 = 8_000;
/// Operations of a round that are judged: enough, however long a host stands still.
const MOST: usize = 200;
/// Before it asks a monitor again that is not there.
const AWAY: std::time::Duration = std::time::Duration::from_millis(20);

/// See the module.
pub(crate) struct Client<'a> {
    seat: &'a Seat<'a>,
    log: &'a Log,
    keys: &'a [String],
    number: u64,
    serial: u64,
    rng: StdRng,
}

/// What became of a request.
enum Asked {
    Answered(Answer),
    /// Nobody was there to hear it.
    Unheard,
    /// It may have been heard, or not.
    Unknown,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        seat: &'a Seat<'a>,
        log: &'a Log,
        keys: &'a [String],
        number: u64,
        seed: u64,
    ) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ number << 32);
        Self { seat, log, keys, number, serial: 0, rng }
    }

    /// Works until told to stop; in a thread that is on the host.
    pub(crate) fn work(mut self, is_over: impl Fn() -> bool) {
        while !is_over() {
            if self.log.done() >= MOST {
                pause(AWAY);
                continue;
            }
            let key = &self.keys[self.rng.random_range(0..self.keys.len())];
            let (begun, to) = (self.log.tick(), self.unique());
            match self.rng.random_range(0..100) {
                0..45 => {
                    self.swap_locked(key, begun, to);
                }
                45..70 => self.compare_and_set(key, begun, to),
                70..80 => self.write(key, begun, to),
                _ => {
                    if let Some((found, _)) = self.read(key) {
                        self.log.record(key, Op::Read(found), begun, true);
                    }
                }
            }
        }
    }

    /// A number that nobody else writes.
    pub(crate) fn unique(&mut self) -> u64 {
        self.serial += 1;
        (self.number + 1) << 32 | self.serial
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Asked {
        match self.seat.tenant().try_ask(method, path, headers, body) {
            Ok(answer) => Asked::Answered(answer),
            Err(ureq::Error::Io(error))
                if error.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                pause(AWAY);
                Asked::Unheard
            }
            Err(_) => Asked::Unknown,
        }
    }

    /// What is there, and its version.
    pub(crate) fn read(&self, key: &str) -> Option<(u64, String)> {
        match self.ask("GET", &format!("/v1/state/{key}"), &[], b"") {
            Asked::Answered(answer) if answer.status == 200 => {
                let found = u64::from_le_bytes(answer.body.as_slice().try_into().unwrap());
                Some((found, answer.headers["etag"].to_str().unwrap().to_owned()))
            }
            Asked::Answered(answer) => {
                let kind = answer.problem();
                assert!(["timed-out", "shutting-down", "lost"].contains(&&*kind), "{answer:?}");
                self.log.refuse();
                None
            }
            Asked::Unheard | Asked::Unknown => None,
        }
    }

    fn compare_and_set(&self, key: &str, begun: u64, to: u64) {
        let Some((from, tag)) = self.read(key) else { return };
        self.put(key, Op::Swap { from, to }, begun, &[("if-match", &tag)], to);
    }

    fn write(&self, key: &str, begun: u64, to: u64) {
        self.put(key, Op::Write(to), begun, &[], to);
    }

    fn put(&self, key: &str, op: Op, begun: u64, headers: &[(&str, &str)], to: u64) {
        let path = format!("/v1/state/{key}?offset=0");
        match self.ask("PUT", &path, headers, &to.to_le_bytes()) {
            Asked::Answered(answer) if answer.status == 200 => {
                self.log.record(key, op, begun, true);
            }
            Asked::Answered(answer) => match &*answer.problem() {
                "lost" => self.log.record(key, op, begun, false),
                "locked" | "precondition-failed" | "timed-out" | "shutting-down" => {
                    self.log.refuse();
                }
                _ => panic!("{answer:?}"),
            },
            Asked::Unheard => {}
            Asked::Unknown => self.log.record(key, op, begun, false),
        }
    }

    /// Whether that is known to have been done.
    pub(crate) fn swap_locked(&self, key: &str, begun: u64, to: u64) -> bool {
        let task = json!({ "do": "swap", "key": key, "to": to, "wait_ms": LOCK_WAIT_MS });
        let answer = match self.ask("POST", "/f/shared", &[], task.to_string().as_bytes()) {
            Asked::Answered(answer) if answer.status == 200 => answer.json(),
            // It ended before it could say what it did.
            Asked::Answered(_) | Asked::Unknown => {
                self.log.record(key, Op::Write(to), begun, false);
                return false;
            }
            Asked::Unheard => return false,
        };
        let came = answer["came"].as_str().unwrap();
        if came == "refused" {
            self.log.refuse();
            return false;
        }
        let from = answer["from"].as_u64().unwrap();
        self.log.record(key, Op::Swap { from, to }, begun, came == "swapped");
        came == "swapped"
    }
}
