//! Power that is lost at any write: of what was not flushed some is on the disk and some is not,
//! also parts of one write. Every acknowledged change is there at the next start, the one under way
//! is there as a whole or not at all, and sent again it is applied once.
//!
//! `FAASLET_POWER_ROUNDS` says how often power is lost, `FAASLET_SEED` repeats a run.

use std::io;
use std::path::Path;

use faaslet_state::message::{Asked, PullRange, Request};
use faaslet_state::owner::{Output, OwnerConfig};
use faaslet_state::payload::{Body as ChunkBody, pulled_chunks};
use faaslet_state::{Epoch, Owner};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;

use super::super::disk::{Disk, builder};
use super::*;

const ROUNDS: u64 = 300;
/// Most uses of the disk before power is lost.
const MAX_USES: u64 = 400;
/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;
const SESSION: SessionId = SessionId(7);

/// A disk: what is read from it, and what would be if power were lost.
#[derive(Debug, Default)]
struct Surface {
    live: Vec<u8>,
    kept: Vec<u8>,
    unflushed: Vec<Use>,
    /// Until power is lost.
    left: u64,
}

#[derive(Debug)]
enum Use {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Use {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(len) => bytes.resize(*len, 0),
            Self::Write(at, written) => {
                let end = at + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(written);
            }
        }
    }
}

impl Surface {
    /// Uses the disk once, if there is power.
    fn use_once(&mut self, used: Option<Use>) -> io::Result<()> {
        if self.left == 0 {
            return Err(io::Error::other("power is lost"));
        }
        self.left -= 1;
        match used {
            Some(used) => {
                used.apply(&mut self.live);
                self.unflushed.push(used);
            }
            None => self.unflushed.drain(..).for_each(|used| used.apply(&mut self.kept)),
        }
        Ok(())
    }

    /// Power comes back: of what was not flushed some is there.
    fn restart(&mut self, rng: &mut StdRng) {
        for mut used in self.unflushed.drain(..) {
            if rng.random_bool(0.4) {
                continue;
            }
            if let Use::Write(_, written) = &mut used
                && rng.random_bool(0.3)
            {
                let sectors = written.len() / SECTOR_BYTES;
                written.truncate(rng.random_range(0..=sectors) * SECTOR_BYTES);
            }
            used.apply(&mut self.kept);
        }
        self.live.clone_from(&self.kept);
        self.left = rng.random_range(0..MAX_USES);
    }
}

#[derive(Clone, Debug, Default)]
struct Plate(Arc<Mutex<Surface>>);

impl StorageBackend for Plate {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let surface = lock(&self.0);
        let found = surface.live.get(offset as usize..offset as usize + out.len());
        let found = found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.0).use_once(Some(Use::Length(len as usize)))
    }

    fn sync_data(&self) -> io::Result<()> {
        lock(&self.0).use_once(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        lock(&self.0).use_once(Some(Use::Write(offset as usize, data.to_vec())))
    }
}

/// An owner over such a disk, with one log in which each record says its number.
struct Desk {
    owner: Owner,
    disk: Disk,
    epoch: Epoch,
}

/// The bytes of a record.
fn record(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + (number * 7919 % 100) as usize)
}

impl Desk {
    /// Nothing when power is lost while it opens.
    fn open(plate: &Plate) -> Option<Self> {
        let mut owner = Owner::new(OwnerConfig::of(HostId(0)));
        let database = builder().create_with_backend(plate.clone()).map_err(|why| why.to_string());
        let opened = database.and_then(|database| {
            let opened = Disk::over(Path::new("power"), database, &mut owner);
            opened.map_err(|why| why.to_string())
        });
        let (disk, epochs, damages) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                assert_eq!(lock(&plate.0).left, 0, "there was power: {why}");
                return None;
            }
        };
        assert_eq!(damages, []);
        for (shard, epoch) in &epochs {
            owner.own(*shard, *epoch);
        }
        owner.start();
        Some(Self { owner, disk, epoch: epochs[0].1 })
    }

    /// The answer; nothing when power is lost before.
    fn ask(&mut self, body: Body, payload: &[u8]) -> Option<(Reply, Vec<u8>)> {
        let (tenant, key, now) = ("t".to_owned(), "log".to_owned(), Instant::now());
        let request = Request { tenant, key, epoch: self.epoch, body };
        self.owner.handle_request(now, &Asked::from(&request), payload, 0);
        loop {
            match self.owner.poll_output(now).expect("an answer, or something to store") {
                Output::Reply { reply, payload, .. } => return Some((reply, payload.to_vec())),
                Output::Persist { ticket, batch } => {
                    self.disk.store(std::iter::once(&batch)).ok()?;
                    self.owner.persisted(ticket);
                }
                Output::Dropped { token } => panic!("{token} was dropped"),
            }
        }
    }

    fn append(&mut self, number: u64) -> Option<()> {
        let stamp = Stamp { session: SESSION, sequence: 1 + number };
        let (reply, _) = self.ask(Body::Append { stamp, fence: None }, &record(number))?;
        assert!(matches!(reply, Reply::Appended { .. }), "{reply:?}");
        Some(())
    }

    /// All records, in order and whole; makes the log if there is none.
    fn records(&mut self) -> Option<u64> {
        let ranges = vec![PullRange { first: 0, count: 64, since: Version::NONE }];
        let (reply, payload) = self.ask(Body::Pull { ranges, at: None }, &[])?;
        let Reply::Pulled { len, .. } = reply else {
            assert_eq!(reply, Reply::Failed(Failure::NotFound));
            let spec = Spec::new(Element::U64, Rule::Replace, Durability::Durable, 4 << 20);
            let stamp = Stamp { session: SESSION, sequence: 1 };
            self.ask(Body::Create { spec: spec.unwrap(), renew: false, stamp }, &[])?;
            return Some(0);
        };
        let mut bytes = vec![0; len as usize];
        for chunk in pulled_chunks(&payload, 8) {
            let chunk = chunk.unwrap();
            let ChunkBody::Whole(body) = chunk.body else { panic!("records have no zeros") };
            let at = chunk.chunk.start() as usize;
            bytes[at..at + body.len()].copy_from_slice(body);
        }
        let (mut rest, mut number) = (bytes.as_slice(), 0);
        while !rest.is_empty() {
            number += 1;
            rest = rest.strip_prefix(&*record(number)).expect("records in order, and whole");
        }
        Some(number)
    }

    /// Looks, sends the last change again, and goes on until power is lost.
    fn live(&mut self, acknowledged: &mut u64) -> Option<()> {
        let found = self.records()?;
        let fits = found == *acknowledged || found == *acknowledged + 1;
        assert!(fits, "{acknowledged} were acknowledged, {found} are there");
        *acknowledged = found;
        if found > 0 {
            self.append(found)?;
            assert_eq!(self.records()?, found, "applied twice");
        }
        loop {
            self.append(*acknowledged + 1)?;
            *acknowledged += 1;
        }
    }
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_power_at_any_write() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("FAASLET_SEED").unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (plate, mut acknowledged, mut opened) = (Plate::default(), 0, 0);
    let rounds = number("FAASLET_POWER_ROUNDS").unwrap_or(ROUNDS);
    for _ in 0..rounds {
        lock(&plate.0).restart(&mut rng);
        if let Some(mut desk) = Desk::open(&plate) {
            opened += 1;
            desk.live(&mut acknowledged);
        }
    }
    println!("{rounds} times: {acknowledged} records, opened {opened} times");
    assert!(opened > rounds / 4 && acknowledged > rounds / 2, "hardly anything was done");
}
