//! A model of the owner: every version of every chunk, kept whole.

use std::sync::Arc;

use faaslet_state::delta::{absolute, apply};
use faaslet_state::message::{PullRange, Stat};
use faaslet_state::payload::Changes;
use faaslet_state::{CHUNK_BYTES, Chunk, Epoch, Key, Spec, Version};
use faaslet_tier::{Prepared, Pulled, Task, Tier, Value};

pub struct Owner {
    pub spec: Spec,
    pub len: u64,
    newest: u64,
    /// For each chunk its states, oldest first.
    chunks: Vec<Vec<(Version, Vec<u8>)>>,
}

fn version(n: u64) -> Version {
    Version::new(Epoch(1), n)
}

impl Owner {
    /// Owns a value of these bytes.
    pub fn new(spec: Spec, bytes: &[u8]) -> Self {
        let quota = spec.quota_bytes();
        let chunks = (0..quota.div_ceil(CHUNK_BYTES) as u32).map(|number| {
            let range = Chunk(number).bytes(quota);
            let (start, len) = (range.start as usize, (range.end - range.start) as usize);
            let mut chunk = vec![0; len];
            let given = bytes.len().saturating_sub(start).min(len);
            chunk[..given].copy_from_slice(&bytes[start.min(bytes.len())..][..given]);
            vec![(version(1), chunk)]
        });
        Self { spec, len: bytes.len() as u64, newest: 1, chunks: chunks.collect() }
    }

    pub fn stat(&self) -> Stat {
        Stat { spec: self.spec, len: self.len, version: version(self.newest), made: version(1) }
    }

    /// All of the newest version.
    pub fn bytes(&self) -> Vec<u8> {
        let newest = self.chunks.iter().flat_map(|states| states.last().unwrap().1.clone());
        newest.take(self.len as usize).collect()
    }

    /// The value on a host.
    pub fn open(&self, tier: &Tier) -> Arc<Value> {
        let (value, wake) = tier.value(&Key::new(b"value").unwrap(), &self.stat()).unwrap();
        assert!(wake.0.is_empty());
        value
    }

    /// Merges a push; its version, and those that its chunks had.
    pub fn push(&mut self, prepared: &Prepared) -> (Version, Vec<Version>) {
        self.newest += 1;
        self.len = self.len.max(prepared.len);
        let changes = Changes::parse(&prepared.payload, self.spec.element().width()).unwrap();
        let mut before = Vec::new();
        for changes in changes.iter() {
            let states = &mut self.chunks[changes.chunk().0 as usize];
            let (had, mut bytes) = states.last().unwrap().clone();
            assert!(changes.end() <= bytes.len());
            apply(&self.spec, &mut bytes, &changes);
            states.push((version(self.newest), bytes));
            before.push(had);
        }
        (version(self.newest), before)
    }

    pub fn resize(&mut self, len: u64) -> Version {
        self.newest += 1;
        for (number, states) in self.chunks.iter_mut().enumerate() {
            let keep = len.saturating_sub(number as u64 * CHUNK_BYTES) as usize;
            let (_, mut bytes) = states.last().unwrap().clone();
            if keep < bytes.len() && bytes[keep..].iter().any(|byte| *byte != 0) {
                bytes[keep..].fill(0);
                states.push((version(self.newest), bytes));
            }
        }
        self.len = len;
        version(self.newest)
    }

    /// Answers a pull; with `changes`, as changes where the puller has something.
    pub fn pull(&self, ranges: &[PullRange], changes: bool) -> (Pulled, Vec<u8>) {
        let mut payload = Vec::new();
        for range in ranges {
            for number in range.first..range.first + range.count {
                self.pull_one(Chunk(number), range.since, changes, &mut payload);
            }
        }
        let stat = self.stat();
        (Pulled { version: stat.version, made: stat.made, len: stat.len }, payload)
    }

    fn pull_one(&self, chunk: Chunk, since: Version, changes: bool, out: &mut Vec<u8>) {
        let states = &self.chunks[chunk.0 as usize];
        let (newest, bytes) = states.last().unwrap();
        if *newest <= since {
            return;
        }
        let end = chunk.bytes(self.len).end.saturating_sub(chunk.start()) as usize;
        let old = states.iter().rfind(|(version, _)| *version <= since);
        let mut body = Vec::new();
        let kind = match old {
            Some((_, old)) if changes => {
                let (old, new) = (&old[..bytes.len()], &bytes[..]);
                if absolute(&self.spec, chunk, old, new, &mut body) { 2 } else { return }
            }
            _ if bytes.iter().all(|byte| *byte == 0) => 0,
            _ => {
                body.extend_from_slice(&bytes[..end]);
                1
            }
        };
        out.extend_from_slice(&chunk.0.to_le_bytes());
        out.push(kind);
        out.extend_from_slice(&newest.epoch.0.to_le_bytes());
        out.extend_from_slice(&newest.n.to_le_bytes());
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
    }

    /// Pulls what is absent of a value.
    pub fn fetch(&self, value: &Value) {
        loop {
            let ranges = value.missing(0, u64::MAX).unwrap();
            if ranges.is_empty() {
                return;
            }
            let (pulled, payload) = self.pull(&ranges, false);
            value.install(&ranges, pulled, &payload).unwrap();
        }
    }

    /// Pulls what is newer of all that is here.
    pub fn refresh(&self, value: &Value, changes: bool) {
        value.seen(&self.stat()).unwrap();
        self.fetch(value);
        let ranges = value.newer(0, u64::MAX).unwrap();
        let (pulled, payload) = self.pull(&ranges, changes);
        value.install(&ranges, pulled, &payload).unwrap();
    }

    /// Pushes everything that changed; how many pushes that took.
    pub fn flush(&mut self, value: &Value, task: Task) -> usize {
        let mut pushes = 0;
        loop {
            let prepared = value.prepare_push(task, 0, u64::MAX).unwrap();
            if prepared.is_empty() {
                value.push_failed(prepared).unwrap();
                return pushes;
            }
            let (version, before) = self.push(&prepared);
            value.acknowledged(prepared, version, self.len, &before).unwrap();
            pushes += 1;
        }
    }
}
