//! A file from other hosts, piece by piece: checked as they come, kept over a restart.
//!
//! One host gives until it fails; then it is named and left out, and the next goes on with what is
//! missing. The same file is pulled once, however many functions wait for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use faaslet_net::peer::HostId;
use faaslet_net::ship::{Body, FileId, Range, RecordFile, Reply, Urgency};
use faaslet_store::{BlobKind, Hash, NotItsOutline, Outline, Partial, PutError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::super::{Monitor, blocking};
use super::counts::Counts;
use super::{AskError, Progress, Remote};

/// Reads of one transfer that are under way at once.
const MAX_READS: usize = 8;
/// Pieces of a read.
const PIECES_PER_READ: usize = 2;
/// How long a host may take until the next read of a transfer is answered.
const STALL: Duration = Duration::from_secs(5);
/// How long it may take to outline a file: it reads all of it.
const OUTLINE_WITHIN: Duration = Duration::from_secs(30);
/// How long a read may take in all, behind those before it.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Why one host did not give a file.
#[derive(Debug, thiserror::Error)]
pub(in crate::monitor) enum PullError {
    /// It did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Nothing came for too long.
    #[error("host {host} sent nothing for {STALL:?}")]
    Stalled {
        /// Which.
        host: HostId,
    },
    /// It sent something else.
    #[error("host {host} sent another piece {piece} of the {kind} than {hash} has: {found} bytes")]
    Bad {
        /// Which.
        host: HostId,
        /// Of what.
        kind: BlobKind,
        /// Of which.
        hash: Hash,
        /// Which piece.
        piece: u32,
        /// How many bytes came.
        found: usize,
    },
    /// It sent another outline.
    #[error("host {host}: {error}")]
    Outline {
        /// Which.
        host: HostId,
        /// What is wrong.
        error: NotItsOutline,
    },
    /// It cannot be kept here.
    #[error(transparent)]
    Put(#[from] PutError),
    /// What is here cannot be read.
    #[error("the {kind} under way cannot be read: {source}; look at the disk")]
    Read {
        /// What.
        kind: BlobKind,
        /// Why.
        source: io::Error,
    },
    /// All who have it were asked.
    #[error("no host gave the {kind} {hash}: {tried}")]
    NoSource {
        /// What.
        kind: BlobKind,
        /// Which.
        hash: Hash,
        /// What each said.
        tried: String,
    },
}

/// A file that is wanted, and for whom.
pub(super) struct Pull<'a> {
    pub(super) monitor: &'a Arc<Monitor>,
    pub(super) remote: &'a Remote,
    pub(super) tenant: &'a str,
    pub(super) progress: &'a Progress,
}

impl Pull<'_> {
    /// Gets a file from the first of `hosts` that gives it.
    pub(super) async fn file(
        &self,
        file: (BlobKind, &RecordFile),
        hosts: &[HostId],
    ) -> Result<(), PullError> {
        let (kind, hash) = (file.0, Hash(file.1.file.hash));
        let turn = self.remote.pulling.of(hash);
        let _alone = turn.lock().await;
        if self.monitor.store.has_blob(kind, hash) {
            return Ok(());
        }
        let mut tried = Vec::new();
        for host in hosts {
            match self.from(*host, kind, file.1).await {
                Err(PullError::Put(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%host, %error, "a host is left out");
                    Counts::add(&self.remote.counts.left_out, 1);
                    tried.push(error.to_string());
                }
                Ok(()) => return Ok(()),
            }
        }
        Err(PullError::NoSource { kind, hash, tried: tried.join("; ") })
    }

    async fn from(&self, host: HostId, kind: BlobKind, file: &RecordFile) -> Result<(), PullError> {
        let outline = self.outline(host, file).await?;
        let read = move |source| PullError::Read { kind, source };
        let monitor = Arc::clone(self.monitor);
        let begun = blocking(move || -> Result<_, PullError> {
            let partial = monitor.store.partial(kind, outline)?;
            let missing = partial.missing().map_err(read)?;
            Ok((Arc::new(partial), missing))
        });
        let (partial, missing) = begun.await.map_err(read)??;
        self.pieces(host, file.file, &partial, &missing).await?;
        let monitor = Arc::clone(self.monitor);
        let Some(partial) = Arc::into_inner(partial) else {
            return Err(read(io::Error::other("a piece of it is still being written")));
        };
        Ok(blocking(move || monitor.store.finish(partial)).await.map_err(read)??)
    }

    async fn outline(&self, host: HostId, file: &RecordFile) -> Result<Outline, PullError> {
        let body = Body::Outline { file: file.file };
        let asked = self.remote.ask(host, self.tenant, body, OUTLINE_WITHIN).await?;
        let (Reply::Bytes, bytes) = asked else { return Err(AskError::Other { host }.into()) };
        Outline::new(Hash(file.file.hash), file.bytes, &bytes)
            .map_err(|error| PullError::Outline { host, error })
    }

    /// Gets pieces; in whatever way it ends, none is being written any more.
    async fn pieces(
        &self,
        host: HostId,
        file: FileId,
        partial: &Arc<Partial>,
        missing: &[u32],
    ) -> Result<(), PullError> {
        let mut wanted = missing.chunks(PIECES_PER_READ);
        let (mut reads, mut puts) = (FuturesUnordered::new(), FuturesUnordered::new());
        let ended = loop {
            while reads.len() + puts.len() < MAX_READS
                && let Some(pieces) = wanted.next()
            {
                reads.push(self.read(host, file, partial, pieces));
            }
            if reads.is_empty() && puts.is_empty() {
                break Ok(());
            }
            let step = async {
                tokio::select! {
                    Some(read) = reads.next() => read.map(|read| puts.push(self.put(host, partial, read))),
                    Some(put) = puts.next() => put,
                }
            };
            match tokio::time::timeout(STALL, step).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Err(error),
                Err(_) => break Err(PullError::Stalled { host }),
            }
        };
        while puts.next().await.is_some() {}
        ended
    }

    async fn read<'p>(
        &self,
        host: HostId,
        file: FileId,
        partial: &Partial,
        pieces: &'p [u32],
    ) -> Result<(&'p [u32], bytes::Bytes), PullError> {
        let range = |piece: &u32| {
            let (at, bytes) = partial.outline().place(*piece);
            Range { at, bytes: bytes as u32 }
        };
        let ranges = pieces.iter().map(range).collect();
        let body = Body::Read { file, ranges, urgency: Urgency::Ahead };
        match self.remote.ask(host, self.tenant, body, READ_WITHIN).await? {
            (Reply::Bytes, bytes) => Ok((pieces, bytes)),
            _ => Err(AskError::Other { host }.into()),
        }
    }

    /// Checks pieces and keeps them.
    async fn put(
        &self,
        host: HostId,
        partial: &Arc<Partial>,
        (pieces, bytes): (&[u32], bytes::Bytes),
    ) -> Result<(), PullError> {
        let (monitor, to, pieces) =
            (Arc::clone(self.monitor), Arc::clone(partial), pieces.to_vec());
        let moved = bytes.len() as u64;
        let put = blocking(move || put_all(&monitor, &to, &pieces, &bytes));
        let kind = partial.kind();
        match put.await.map_err(|source| PullError::Read { kind, source })?? {
            None => {}
            Some((piece, found)) => {
                Counts::add(&self.remote.counts.bad_pieces, 1);
                let hash = partial.outline().hash();
                return Err(PullError::Bad { host, kind, hash, piece, found });
            }
        }
        self.progress.moved(moved);
        Counts::add(&self.remote.counts.pulled_bytes, moved);
        Ok(())
    }
}

/// Keeps pieces; the first that is none, and the bytes there were for it.
fn put_all(
    monitor: &Monitor,
    to: &Partial,
    pieces: &[u32],
    mut bytes: &[u8],
) -> Result<Option<(u32, usize)>, PutError> {
    for piece in pieces {
        let expected = to.outline().place(*piece).1;
        let Some((own, rest)) = bytes.split_at_checked(expected) else {
            return Ok(Some((*piece, bytes.len())));
        };
        if !monitor.store.put_piece(to, *piece, own)? {
            return Ok(Some((*piece, own.len())));
        }
        bytes = rest;
    }
    Ok(None)
}
