//! What this host gives to others: records, outlines and pieces of files, lists, and slots made warm
//! for them.
//!
//! Requests arrive on the peers' thread and are answered from there by tasks; what reads the disk
//! has a turn on a thread that may. Pieces go from the page cache into one buffer that is handed on
//! by reference: a file is never mapped, since one that is cut short under a mapping would end the
//! process. Whether a tenant has a file is looked up once every few seconds, with the file opened.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_net::peer::{HostId, PeerHandler, PeerReply};
use faaslet_net::ship::{
    ArchivedBody, ArchivedUrgency, Ask, Body, Failure, FileId, Listing, Range, Record, RecordFile,
    Reply, Urgency,
};
use faaslet_store::{BlobKind, FunctionName, Hash, Name, Outline, VersionInfo};
use tokio::sync::Semaphore;

use super::super::lock::lock;
use super::super::{Monitor, blocking};
use super::counts::Counts;

/// Requests that read the disk at once.
const MAX_READING: usize = 4;
/// The same for those that a call of the other host waits for.
const MAX_READING_FAULTS: usize = 4;
/// How long a file that a tenant was found to have is given without looking again.
const OPEN_FOR: Duration = Duration::from_secs(5);
/// Files that are open for other hosts.
const MAX_OPEN: usize = 256;
/// Outlines that are kept.
const MAX_OUTLINES: usize = 64;

/// See the module.
pub(super) struct Serving(Arc<Served>);

struct Served {
    monitor: Weak<Monitor>,
    counts: Arc<Counts>,
    reading: Semaphore,
    faults: Semaphore,
    open: Mutex<HashMap<(String, FileId), (Arc<File>, Instant)>>,
    outlines: Mutex<HashMap<FileId, Bytes>>,
}

impl Serving {
    /// Gives what a monitor has.
    pub(super) fn new(monitor: &Arc<Monitor>, counts: Arc<Counts>) -> Self {
        Self(Arc::new(Served {
            monitor: Arc::downgrade(monitor),
            counts,
            reading: Semaphore::new(MAX_READING),
            faults: Semaphore::new(MAX_READING_FAULTS),
            open: Mutex::default(),
            outlines: Mutex::default(),
        }))
    }
}

impl PeerHandler for Serving {
    fn request(&self, from: HostId, head: Bytes, _payload: Bytes, reply: PeerReply) {
        let Some(monitor) = self.0.monitor.upgrade() else {
            return reply.refuse("the monitor has ended");
        };
        let Some(peers) = monitor.states.peers() else { return reply.refuse("no peers") };
        let served = Arc::clone(&self.0);
        let runtime = peers.runtime().clone();
        // As many as the protocol lets the other host have in flight.
        runtime.spawn(async move {
            let ahead = is_fault(&head);
            let (answer, payload) = match served.answer(&monitor, &head).await {
                Ok(answer) => answer,
                Err(failure) => {
                    tracing::debug!(%from, %failure, "another host asked in vain");
                    (Reply::Failed(failure), Bytes::new())
                }
            };
            match answer.to_bytes() {
                Ok(head) if ahead => reply.respond_ahead(head, payload),
                Ok(head) => reply.respond(head, payload),
                Err(failure) => tracing::error!(%failure, "an answer cannot be sent"),
            }
        });
    }
}

fn is_fault(head: &[u8]) -> bool {
    let body = Ask::access(head).map(|ask| &ask.body);
    matches!(body, Ok(ArchivedBody::Read { urgency: ArchivedUrgency::Fault, .. }))
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::Broken { why: error.to_string() }
}

impl Served {
    async fn answer(
        self: &Arc<Self>,
        monitor: &Arc<Monitor>,
        head: &[u8],
    ) -> Result<(Reply, Bytes), Failure> {
        let ask = Ask::from_bytes(head)?;
        let tenant = Name::new(&ask.tenant).map_err(|_| Failure::NoTenant)?;
        let (served, own) = (Arc::clone(self), Arc::clone(monitor));
        match ask.body {
            Body::Warm { function, order, slots, span } => {
                let function = named(tenant, &function)?;
                has_tenant(monitor, &function.tenant)?;
                let warmth = monitor.warm_here(&function, order, slots, span);
                Ok((Reply::Warmth(warmth), Bytes::new()))
            }
            Body::Read { file, ranges, urgency } => {
                let turns = if urgency == Urgency::Fault { &self.faults } else { &self.reading };
                let _turn = turns.acquire().await;
                let tenant = ask.tenant;
                let read = blocking(move || served.read(&own, tenant, file, &ranges));
                Ok((Reply::Bytes, read.await.map_err(|error| broken(&error))??))
            }
            Body::Outline { file } => {
                let _turn = self.reading.acquire().await;
                let tenant = ask.tenant;
                let read = blocking(move || served.outline(&own, tenant, file));
                Ok((Reply::Bytes, read.await.map_err(|error| broken(&error))??))
            }
            Body::Find { function } => {
                let function = named(tenant, &function)?;
                let found = blocking(move || record(&own, &function));
                Ok(match found.await.map_err(|error| broken(&error))?? {
                    Some(record) => (Reply::Found, record.to_bytes()?.into()),
                    None => (Reply::Nothing, Bytes::new()),
                })
            }
            Body::List { listing } => {
                let listed = blocking(move || list(&own, &tenant, listing));
                let rows = listed.await.map_err(|error| broken(&error))??;
                Ok((Reply::Listed, rows.into()))
            }
        }
    }

    fn read(
        &self,
        monitor: &Monitor,
        tenant: String,
        file: FileId,
        ranges: &[Range],
    ) -> Result<Bytes, Failure> {
        let file = self.file(monitor, tenant, file)?;
        let mut bytes = vec![0; ranges.iter().map(|range| range.bytes as usize).sum()];
        let mut rest = &mut bytes[..];
        for range in ranges {
            let (own, others) = rest.split_at_mut(range.bytes as usize);
            file.read_exact_at(own, range.at).map_err(|error| broken(&error))?;
            rest = others;
        }
        Counts::add(&self.counts.served_bytes, bytes.len() as u64);
        Ok(bytes.into())
    }

    fn outline(&self, monitor: &Monitor, tenant: String, id: FileId) -> Result<Bytes, Failure> {
        let file = self.file(monitor, tenant, id)?;
        if let Some(outline) = lock(&self.outlines).get(&id) {
            return Ok(outline.clone());
        }
        // Opened again, for a position of its own.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let outline = File::open(path).and_then(|mut file| Outline::of(&mut file));
        let outline: Bytes = outline.map_err(|error| broken(&error))?.into();
        let mut outlines = lock(&self.outlines);
        if outlines.len() >= MAX_OUTLINES {
            outlines.clear();
        }
        outlines.insert(id, outline.clone());
        Ok(outline)
    }

    /// A file that a version of the tenant's functions has.
    fn file(&self, monitor: &Monitor, tenant: String, id: FileId) -> Result<Arc<File>, Failure> {
        let now = Instant::now();
        let key = (tenant, id);
        if let Some((file, until)) = lock(&self.open).get(&key)
            && now < *until
        {
            return Ok(Arc::clone(file));
        }
        let kind = BlobKind::from_number(id.kind).ok_or(Failure::NotHere)?;
        let name = Name::new(&key.0).map_err(|_| Failure::NoTenant)?;
        if !has_file(monitor, &name, kind, Hash(id.hash))? {
            return Err(Failure::NotHere);
        }
        let file = monitor.store.open_blob(kind, Hash(id.hash)).map_err(|_| Failure::NotHere)?;
        let file = Arc::new(file);
        let mut open = lock(&self.open);
        if open.len() >= MAX_OPEN {
            open.retain(|_, (_, until)| now < *until);
        }
        if open.len() < MAX_OPEN {
            open.insert(key, (Arc::clone(&file), now + OPEN_FOR));
        }
        Ok(file)
    }
}

fn named(tenant: Name, function: &str) -> Result<FunctionName, Failure> {
    let name = Name::new(function).map_err(|_| Failure::NotHere)?;
    Ok(FunctionName { tenant, name })
}

fn has_tenant(monitor: &Monitor, tenant: &Name) -> Result<(), Failure> {
    monitor.store.tenant(tenant).map(|_| ()).map_err(|_| Failure::NoTenant)
}

fn has_file(monitor: &Monitor, tenant: &Name, kind: BlobKind, hash: Hash) -> Result<bool, Failure> {
    has_tenant(monitor, tenant)?;
    let store = &monitor.store;
    for info in store.functions(Some(tenant)).map_err(|error| broken(&error))? {
        let versions = store.versions(&info.function).map_err(|error| broken(&error))?;
        if versions.iter().any(|info| files(info).any(|file| file == (kind, hash))) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn files(info: &VersionInfo) -> impl Iterator<Item = (BlobKind, Hash)> {
    let deployment = &info.deployment;
    let always = [
        (BlobKind::Module, deployment.module),
        (BlobKind::Plan, deployment.plan),
        (BlobKind::Artefact, deployment.artefact),
    ];
    always.into_iter().chain(deployment.image.map(|image| (BlobKind::Image, image.blob)))
}

/// What this host has of a function, current version, with its environment.
fn record(monitor: &Monitor, function: &FunctionName) -> Result<Option<Record>, Failure> {
    has_tenant(monitor, &function.tenant)?;
    let Ok(info) = monitor.store.current(function) else { return Ok(None) };
    let settings = monitor.store.settings(function).map_err(|error| broken(&error))?;
    let own = monitor.remote.as_ref().map(|remote| remote.host().to_string());
    let file = |(kind, hash): (BlobKind, Hash)| {
        let bytes = monitor.store.blob_path(kind, hash).metadata().ok()?.len();
        Some(RecordFile { file: FileId { kind: kind as u8, hash: hash.0 }, bytes })
    };
    Ok(Some(Record {
        origin: info.copy_of.clone().or(own).unwrap_or_default(),
        version: info.version,
        created_ms: info.created_ms,
        files: files(&info).filter_map(file).collect(),
        about: serde_json::to_vec(&info).map_err(|error| broken(&error))?,
        settings: serde_json::to_vec(&settings).map_err(|error| broken(&error))?,
    }))
}

fn list(monitor: &Monitor, tenant: &Name, listing: Listing) -> Result<Vec<u8>, Failure> {
    has_tenant(monitor, tenant)?;
    let rows = match listing {
        Listing::Functions => serde_json::to_vec(&monitor.functions(tenant.as_str())),
        Listing::Images => {
            let images = monitor.images(tenant.as_str()).map_err(|error| broken(&error))?;
            serde_json::to_vec(&images)
        }
    };
    rows.map_err(|error| broken(&error))
}
