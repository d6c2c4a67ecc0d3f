//! Writing: values made, bytes put over them, appended, removed.

use bytes::Bytes;
use faaslet_state::message::{Body, Failure, Reply, Stat};
use faaslet_state::session::SessionError;
use faaslet_state::{CHUNK_BYTES, Chunk, Rule, Spec, Version};

use super::{Outside, OutsideError, WRITE_BYTES, any_stamp};

/// What must hold for a write to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The value is at this version.
    Is(Version),
    /// There is no such value.
    Absent,
    /// There is such a value.
    Present,
}

impl Outside {
    /// Puts `bytes` in place from `at` on; with `whole`, the value is nothing but them. A value
    /// that is not there is made as `spec` says, and so is one that was lost.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn put(
        &self,
        key: &str,
        (at, whole): (u64, bool),
        bytes: Bytes,
        spec: Spec,
        precondition: Precondition,
    ) -> Result<Stat, OutsideError> {
        let (stat, is_new) = self.value(key, spec, precondition).await?;
        let mut expected = match precondition {
            Precondition::Is(version) => Some(version),
            Precondition::Absent => Some(stat.version),
            Precondition::None | Precondition::Present => None,
        };
        let rule = stat.spec.rule();
        if is_new && rule != Rule::Replace {
            return self.fill(key, bytes).await;
        }
        if rule != Rule::Replace {
            return Err(OutsideError::Rule { key: key.to_owned(), rule });
        }
        let (len, width) = (stat.len, stat.spec.element().width());
        if !at.is_multiple_of(width) {
            return Err(OutsideError::Range { key: key.to_owned(), len, width, from: at });
        }
        let end = at + bytes.len() as u64;
        if whole && stat.len > end {
            let body = Body::Resize {
                stamp: any_stamp(),
                made: Version::NONE,
                expected,
                fence: None,
                len: end,
            };
            expected = Some(self.pushed(key, body, Bytes::new()).await?);
        }
        let mut from = at;
        loop {
            // Pushes end at chunks, so that no element is in two.
            let next = ((from / CHUNK_BYTES) * CHUNK_BYTES + WRITE_BYTES).min(end);
            let part = bytes.slice((from - at) as usize..(next - at) as usize);
            let changes = changes(from, &part, width).into();
            let body = Body::Push {
                stamp: any_stamp(),
                made: Version::NONE,
                expected,
                fence: None,
                len: next,
            };
            let version = self.pushed(key, body, changes).await?;
            expected = expected.and(Some(version));
            if next == end {
                return Ok(Stat { version, len: stat.len.max(end), ..stat });
            }
            from = next;
        }
    }

    /// The value, made if it is not there; whether it was made.
    async fn value(
        &self,
        key: &str,
        spec: Spec,
        precondition: Precondition,
    ) -> Result<(Stat, bool), OutsideError> {
        let refused = |expected: String, found| OutsideError::Precondition {
            key: key.to_owned(),
            expected,
            found,
        };
        let found = match self.stat(key).await {
            Ok(stat) => Some(stat),
            Err(OutsideError::Session {
                error: SessionError::Refused(Failure::NotFound | Failure::Lost),
                ..
            }) => None,
            Err(error) => return Err(error),
        };
        match (found, precondition) {
            (Some(stat), Precondition::Absent) => {
                Err(refused("no value".to_owned(), Some(stat.version)))
            }
            (None, Precondition::Is(version)) => Err(refused(format!("version {version}"), None)),
            (None, Precondition::Present) => Err(refused("a value".to_owned(), None)),
            (Some(stat), _) => Ok((stat, false)),
            (None, _) => {
                let body = Body::Create { spec, renew: true, stamp: any_stamp() };
                match self.ask(key, body, Bytes::new()).await?.0 {
                    // Somebody else may have made it meanwhile.
                    Reply::Value(stat) => Ok((stat, stat.version == stat.made)),
                    _ => Err(OutsideError::Protocol),
                }
            }
        }
    }

    /// Fills a value that was just made, whatever its rule.
    async fn fill(&self, key: &str, bytes: Bytes) -> Result<Stat, OutsideError> {
        let mut left = bytes;
        while !left.is_empty() {
            let part = left.split_to(left.len().min(WRITE_BYTES as usize));
            self.append(key, part).await?;
        }
        self.stat(key).await
    }

    async fn pushed(&self, key: &str, body: Body, payload: Bytes) -> Result<Version, OutsideError> {
        match self.ask(key, body, payload).await?.0 {
            Reply::Pushed { version, .. } => Ok(version),
            _ => Err(OutsideError::Protocol),
        }
    }

    /// Appends bytes as one version; where they stand, and the value's version and length.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn append(
        &self,
        key: &str,
        bytes: Bytes,
    ) -> Result<(u64, Version, u64), OutsideError> {
        if bytes.len() as u64 > WRITE_BYTES {
            let (key, found) = (key.to_owned(), bytes.len() as u64);
            return Err(OutsideError::TooLong { key, limit: WRITE_BYTES, found });
        }
        let body = Body::Append { stamp: any_stamp(), made: Version::NONE, fence: None };
        match self.ask(key, body, bytes).await?.0 {
            Reply::Appended { version, at, len } => Ok((at, version, len)),
            _ => Err(OutsideError::Protocol),
        }
    }

    /// Appends, to a value that is made if it is not there and a spec is given.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn append_or_make(
        &self,
        key: &str,
        bytes: Bytes,
        spec: Option<Spec>,
    ) -> Result<(u64, Version, u64), OutsideError> {
        match (self.append(key, bytes.clone()).await, spec) {
            (
                Err(OutsideError::Session {
                    error: SessionError::Refused(Failure::NotFound), ..
                }),
                Some(spec),
            ) => {
                self.make(key, spec).await?;
                self.append(key, bytes).await
            }
            (appended, _) => appended,
        }
    }

    /// Makes a value, or takes it as it is when it has the same spec.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn make(&self, key: &str, spec: Spec) -> Result<Stat, OutsideError> {
        let body = Body::Create { spec, renew: true, stamp: any_stamp() };
        match self.ask(key, body, Bytes::new()).await?.0 {
            Reply::Value(stat) => Ok(stat),
            _ => Err(OutsideError::Protocol),
        }
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn delete(&self, key: &str, expected: Option<Version>) -> Result<(), OutsideError> {
        let body = Body::Delete { stamp: any_stamp(), made: Version::NONE, expected, fence: None };
        self.pushed(key, body, Bytes::new()).await.map(|_| ())
    }
}

/// `bytes` from `at` on as the changes of a push: one run for each chunk, and a tail where the last
/// element is not whole.
fn changes(at: u64, bytes: &[u8], width: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16 * (bytes.len() / CHUNK_BYTES as usize + 2));
    let mut left = bytes;
    let mut at = at;
    while !left.is_empty() {
        let chunk = Chunk((at / CHUNK_BYTES) as u32);
        let first = at - chunk.start();
        let (here, later) = left.split_at(left.len().min((CHUNK_BYTES - first) as usize));
        let (whole, rest) = (here.len() as u64 / width, here.len() as u64 % width);
        out.extend_from_slice(&chunk.0.to_le_bytes());
        out.extend_from_slice(&u16::from(whole > 0).to_le_bytes());
        out.extend_from_slice(&u16::from(rest > 0).to_le_bytes());
        let mut run = |first: u64, count: u64| {
            if count > 0 {
                out.extend_from_slice(&(first as u16).to_le_bytes());
                out.extend_from_slice(&((first + count - 1) as u16).to_le_bytes());
            }
        };
        run(first / width, whole);
        run(first + whole * width, rest);
        out.extend_from_slice(here);
        (left, at) = (later, at + here.len() as u64);
    }
    out
}
