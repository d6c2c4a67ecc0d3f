//! A source whose faults are data: what it does with one request after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use faaslet_snapshot::source::{Deliver, Request, Source, SourceError, Urgency};

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Gives what is asked.
    Give,
    /// Flips a bit of it.
    Damage,
    /// Gives the bytes of the chunk, and calls it by another number.
    Misname,
    /// Gives another chunk's bytes.
    Swap,
    /// Leaves the last byte away.
    Cut,
    /// Gives nothing, and says that all is well.
    Nothing,
    /// Fails.
    Fail,
    /// Waits until the deadline.
    Stall,
    /// Waits until [`Script::end`], and fails then: its host dies in the middle.
    Die,
    /// Panics.
    Panic,
}

/// See the module. When the acts are over it goes on with the last.
pub(crate) struct Script {
    name: String,
    file: Vec<u8>,
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<(Vec<u32>, Urgency)>>,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Script {
    pub(crate) fn new(name: &str, file: &[u8], acts: &[Act]) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            file: file.to_vec(),
            acts: Mutex::new(acts.iter().copied().collect()),
            asked: Mutex::default(),
            ended: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    /// The chunks of each request so far, and how urgent they were.
    pub(crate) fn asked(&self) -> Vec<(Vec<u32>, Urgency)> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    pub(crate) fn wait_asked(&self, times: usize) {
        let asked = self.asked.lock().unwrap();
        drop(self.changed.wait_while(asked, |asked| asked.len() < times).unwrap());
    }

    /// Ends what waits for it.
    pub(crate) fn end(&self) {
        *self.ended.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn act(&self, request: &Request<'_>) -> Act {
        let chunks = request.chunks.iter().map(|wanted| wanted.chunk).collect();
        self.asked.lock().unwrap().push((chunks, request.urgency));
        self.changed.notify_all();
        let mut acts = self.acts.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0] }
    }

    fn wait(&self, deadline: Option<Instant>) {
        let mut ended = self.ended.lock().unwrap();
        while !*ended && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            ended = match deadline {
                None => self.changed.wait(ended).unwrap(),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    self.changed.wait_timeout(ended, left).unwrap().0
                }
            };
        }
    }
}

impl Source for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn fetch(&self, request: &Request<'_>, deliver: &mut Deliver<'_>) -> Result<(), SourceError> {
        let act = self.act(request);
        for wanted in request.chunks {
            let from = match act {
                Act::Swap => wanted.offset as usize - 4096,
                _ => wanted.offset as usize,
            };
            let mut bytes = self.file[from..from + wanted.bytes as usize].to_vec();
            let mut chunk = wanted.chunk;
            match act {
                Act::Give | Act::Swap => {}
                Act::Damage => bytes[7] ^= 1,
                Act::Misname => chunk += 1,
                Act::Cut => drop(bytes.pop()),
                Act::Nothing => return Ok(()),
                Act::Fail => return Err(SourceError::Unreachable("no route".into())),
                Act::Panic => panic!("a source that panics"),
                Act::Stall => {
                    self.wait(Some(request.deadline));
                    return Err(SourceError::Late);
                }
                Act::Die => {
                    self.wait(None);
                    return Err(SourceError::Unreachable("it was killed".into()));
                }
            }
            if deliver(chunk, &bytes).is_break() {
                break;
            }
        }
        Ok(())
    }
}
