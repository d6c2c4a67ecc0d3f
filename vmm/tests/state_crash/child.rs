//! The process that writes, and is killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_state::message::{Body, Failure, PullRange, Reply, SessionId, Stamp};
use faaslet_state::payload::{Body as ChunkBody, pulled_chunks};
use faaslet_state::session::SessionError;
use faaslet_state::{Durability, Element, Rule, Spec, Version};
use faaslet_vmm::monitor::state::{StateSession, States, StatesConfig};

/// Where the state is; set for this process alone.
pub(crate) const FOLDER: &str = "FAASLET_STATE_CRASH_FOLDER";
/// Threads that write.
const THREADS: u32 = 6;
/// Values in all.
pub(crate) const VALUES: u32 = 3 * THREADS;
const WITHIN: Duration = Duration::from_secs(60);

type Answer = Result<(Reply, Bytes), SessionError>;

pub(crate) fn run(folder: &Path) {
    let states = States::open(&StatesConfig::new(folder.to_owned())).unwrap();
    let writers: Vec<_> = (0..THREADS)
        .map(|number| {
            let states = Arc::clone(&states);
            std::thread::spawn(move || Writer::new(&states, number).write())
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
}

struct Writer {
    session: StateSession,
    number: u32,
}

/// The three kinds of values.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Appended to.
    Log,
    /// Two chunks that always say the same.
    Pair,
    /// Made and deleted in turn; a counter beside it says how often.
    Temp,
}

impl Writer {
    fn new(states: &Arc<States>, number: u32) -> Self {
        let id = SessionId(u128::from(number) + 1);
        Self { session: states.resume(id, "tenant"), number }
    }

    fn name(&self, kind: Kind) -> String {
        format!("{kind:?}/{}", self.number)
    }

    fn ask(&self, key: &str, body: Body, payload: impl Into<Bytes>) -> Answer {
        let (tell, told) = sync_channel(1);
        let answered = Box::new(move |answer| tell.send(answer).unwrap());
        self.session.ask(key, body, payload.into(), Instant::now() + WITHIN, answered);
        told.recv().unwrap()
    }

    fn write(&self) {
        let mut counts = [Kind::Log, Kind::Pair, Kind::Temp].map(|kind| (kind, self.found(kind)));
        for (kind, count) in &counts {
            println!("found {} {count}", self.name(*kind));
            // Once more with the stamp of the last time: it may have been applied or not, and it
            // may have been heard of or not.
            if *count > 0 {
                self.change(*kind, *count);
                assert_eq!(self.found(*kind), *count, "{kind:?} applied twice");
            }
        }
        loop {
            for (kind, count) in &mut counts {
                *count += 1;
                self.change(*kind, *count);
                println!("done {} {count}", self.name(*kind));
            }
        }
    }

    /// How often a value was changed.
    fn found(&self, kind: Kind) -> u64 {
        let name = self.name(kind);
        match kind {
            Kind::Log => {
                let numbers = numbers(&self.read(&name));
                let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
                assert_eq!(numbers, expected, "{name}");
                numbers.len() as u64
            }
            Kind::Pair => {
                let numbers = numbers(&self.read(&name));
                let first = numbers.first().copied().unwrap_or(0);
                let second = numbers.get(8192).copied().unwrap_or(0);
                assert_eq!(first, second, "{name} is half applied");
                first
            }
            // In turn: odd it is there, with its number; even it is not, and a counter knows.
            Kind::Temp => {
                let made = numbers(&self.read(&name)).first().copied();
                let deleted = numbers(&self.read(&format!("{name}/deleted"))).len() as u64 * 2;
                match made {
                    Some(made) => made,
                    None => deleted,
                }
            }
        }
    }

    /// Makes the change that is the `count`th, or makes it again.
    fn change(&self, kind: Kind, count: u64) {
        let name = self.name(kind);
        match kind {
            Kind::Log => self.append(&name, count, count),
            Kind::Pair => {
                self.make(&name);
                let mut payload = Vec::new();
                for chunk in [0_u32, 1] {
                    payload.extend_from_slice(&chunk.to_le_bytes());
                    // One run, no tail: the first element.
                    payload.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
                    payload.extend_from_slice(&count.to_le_bytes());
                }
                let stamp = self.stamp(count + 1);
                let len = 65_536 + 8;
                let body =
                    Body::Push { stamp, made: Version::NONE, expected: None, fence: None, len };
                self.ask(&name, body, payload).unwrap();
            }
            Kind::Temp if count % 2 == 1 => self.append(&name, 2 * count, count),
            Kind::Temp => {
                // First it is counted, then deleted: an end between shows the number before.
                self.append(&format!("{name}/deleted"), count / 2, count);
                let stamp = self.stamp(4 * count);
                let body = Body::Delete { stamp, made: Version::NONE, expected: None, fence: None };
                match self.ask(&name, body, Bytes::new()) {
                    // Sent again, and it has been made anew meanwhile, without its number yet.
                    Ok(_) | Err(SessionError::Refused(Failure::Stale)) => {}
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
    }

    fn stamp(&self, sequence: u64) -> Stamp {
        Stamp { session: self.session.id(), sequence }
    }

    /// Makes a value if it is not there, then appends a number to it. Its changes have numbers
    /// from `sequence` on.
    fn append(&self, name: &str, sequence: u64, number: u64) {
        if self.ask(name, Body::Stat, Bytes::new()).is_err() {
            self.create(name, 2 * sequence);
        }
        let stamp = self.stamp(2 * sequence + 1);
        let body = Body::Append { stamp, made: Version::NONE, fence: None };
        self.ask(name, body, number.to_le_bytes().to_vec()).unwrap();
    }

    fn make(&self, name: &str) {
        if self.ask(name, Body::Stat, Bytes::new()).is_err() {
            self.create(name, 1);
        }
    }

    fn create(&self, name: &str, sequence: u64) {
        let spec = Spec::new(Element::U64, Rule::Replace, Durability::Durable, 1 << 20).unwrap();
        let body = Body::Create { spec, renew: false, stamp: self.stamp(sequence) };
        self.ask(name, body, Bytes::new()).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let range = PullRange { first: 0, count: 16, since: Version::NONE };
        let body = Body::Pull { ranges: vec![range], at: None };
        let (reply, payload) = match self.ask(name, body, Bytes::new()) {
            Ok(answer) => answer,
            Err(SessionError::Refused(Failure::NotFound)) => return Vec::new(),
            Err(error) => panic!("{name}: {error}"),
        };
        let Reply::Pulled { len, .. } = reply else { panic!("{reply:?}") };
        let mut bytes = vec![0; len as usize];
        for chunk in pulled_chunks(&payload, 8) {
            let chunk = chunk.unwrap();
            let ChunkBody::Whole(body) = chunk.body else { continue };
            let at = chunk.chunk.start() as usize;
            bytes[at..at + body.len()].copy_from_slice(body);
        }
        bytes
    }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty(), "half a number");
    numbers.iter().map(|number| u64::from_le_bytes(*number)).collect()
}
