//! Prewarm: a function is brought to hosts, with reset slots, before its calls come.
//!
//! A host does it for itself ([`Monitor::warm_here`]), as a task that says by the order's number how
//! far it is; whoever asks for the same joins it. [`Monitor::prewarm`] asks every host that was
//! named, this one among them, until each is done or has failed. What is warm already is found so,
//! and left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faaslet_net::peer::HostId;
use faaslet_net::ship::{Body, Counts, Listing, MAX_WARM_SLOTS, Reply, Span, Stage, Warmth};
use faaslet_snapshot::image::Head;
use faaslet_snapshot::image::layout::PAGE_BYTES;
use faaslet_store::{BlobKind, FunctionName};
use futures_util::future::join_all;

use super::super::functions::Deployed;
use super::super::lock::lock;
use super::super::{Monitor, load};
use super::{AskError, BringError, Progress};
use crate::api::{HostWarmth, PrewarmRequest};

/// How long making slots may take.
const SLOTS_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether they are made.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often a host is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long it may take to answer that.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often a host may fail to answer, one time after the other.
const MAX_SILENCES: usize = 3;
/// Prewarms of this host that are remembered.
const MAX_WARMS: usize = 256;
/// Most hosts of one order.
const MAX_HOSTS: usize = 256;

/// Prewarms of this host that are under way or have ended, by function and slots.
#[derive(Default)]
pub(in crate::monitor) struct Warms(Mutex<HashMap<(String, u32), Arc<Job>>>);

struct Job {
    order: u128,
    begun: Instant,
    progress: Progress,
    end: Mutex<Option<(Duration, Result<Arc<Deployed>, String>)>>,
}

/// Why nothing was made warm anywhere.
#[derive(Debug, thiserror::Error)]
pub enum PrewarmError {
    /// A host that is not in the list.
    #[error("expected hosts of {known:?}; found {host:?}; see the list that --peers names")]
    UnknownHost {
        /// What was asked for.
        host: String,
        /// Who there is.
        known: Vec<String>,
    },
    /// More than can be.
    #[error("expected at most {most} {what}; found {found}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: u64,
        /// What was asked for.
        found: u64,
    },
}

/// A host of an order.
#[derive(Clone, Copy)]
enum At {
    Here,
    There(HostId),
}

/// Whom progress is told; false when nobody listens any more.
pub type Tell = dyn Fn(HostWarmth) -> bool + Send + Sync;

impl Monitor {
    /// Brings a function to hosts, and tells how far each is whenever that has changed. Gives how
    /// each ended, in the order in which they were named; without `wait`, how each began.
    ///
    /// # Errors
    /// When the order itself cannot be followed; what fails on a host is told as such.
    pub async fn prewarm(
        self: &Arc<Self>,
        function: &FunctionName,
        request: &PrewarmRequest,
        tell: &Tell,
    ) -> Result<Vec<HostWarmth>, PrewarmError> {
        self.check_prewarm(request)?;
        let hosts = self.named_hosts(&request.hosts)?;
        let order: u128 = rand::random();
        let each = hosts.iter().map(|(name, at)| async move {
            self.prewarm_at(function, name, *at, order, request, tell).await
        });
        Ok(join_all(each).await)
    }

    /// Whether an order can be followed.
    ///
    /// # Errors
    /// When it names a host that is not in the list, or more than can be.
    pub fn check_prewarm(&self, request: &PrewarmRequest) -> Result<(), PrewarmError> {
        let (most, found) = (MAX_WARM_SLOTS.into(), request.slots.into());
        if found > most {
            return Err(PrewarmError::TooMany { what: "slots", most, found });
        }
        self.named_hosts(&request.hosts).map(|_| ())
    }

    fn named_hosts(&self, named: &[String]) -> Result<Vec<(String, At)>, PrewarmError> {
        let (what, most) = ("hosts", MAX_HOSTS as u64);
        if named.len() as u64 > most {
            return Err(PrewarmError::TooMany { what, most, found: named.len() as u64 });
        }
        let own = self.host_name();
        if named.is_empty() {
            return Ok(vec![(own, At::Here)]);
        }
        let others = self.remote.as_ref().map(|remote| remote.peers.hosts()).unwrap_or_default();
        let find = |host: &String| match others.iter().find(|other| other.as_str() == host) {
            Some(other) => Ok((host.clone(), At::There(*other))),
            None if *host == own => Ok((own.clone(), At::Here)),
            None => {
                let known = others.iter().map(HostId::to_string).chain([own.clone()]).collect();
                Err(PrewarmError::UnknownHost { host: host.clone(), known })
            }
        };
        named.iter().map(find).collect()
    }

    /// This host's name in the list, or what one without a list is called.
    pub(in crate::monitor) fn host_name(&self) -> String {
        self.remote.as_ref().map_or_else(|| "local".to_owned(), |remote| remote.host().to_string())
    }

    async fn prewarm_at(
        self: &Arc<Self>,
        function: &FunctionName,
        name: &str,
        at: At,
        order: u128,
        request: &PrewarmRequest,
        tell: &Tell,
    ) -> HostWarmth {
        let (mut told, mut silences) = (None, 0);
        loop {
            let now = match self.ask_warmth(function, at, order, request).await {
                Ok(warmth) => HostWarmth::new(name, warmth),
                Err(error) if silences + 1 < MAX_SILENCES => {
                    tracing::debug!(host = name, %error, "a host does not say how warm it is");
                    silences += 1;
                    tokio::time::sleep(ASK_EVERY).await;
                    continue;
                }
                Err(error) => HostWarmth::failed(name, error.to_string()),
            };
            silences = 0;
            let changed = told.as_ref() != Some(&now);
            let listens = !changed || tell(now.clone());
            if now.ended() || !request.wait || !listens {
                return now;
            }
            told = Some(now);
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn ask_warmth(
        self: &Arc<Self>,
        function: &FunctionName,
        at: At,
        order: u128,
        request: &PrewarmRequest,
    ) -> Result<Warmth, AskError> {
        let span = if request.working_set { Span::WorkingSet } else { Span::Whole };
        let (slots, remote) = (request.slots, self.remote.as_ref());
        let (At::There(host), Some(remote)) = (at, remote) else {
            return Ok(self.warm_here(function, order, slots, span));
        };
        let body = Body::Warm { function: function.name.to_string(), order, slots, span };
        match remote.ask(host, function.tenant.as_str(), body, ANSWER_WITHIN).await? {
            (Reply::Warmth(warmth), _) => Ok(warmth),
            _ => Err(AskError::Other { host }),
        }
    }

    /// Begins to make a function warm on this host, or says how far that is.
    pub(in crate::monitor) fn warm_here(
        self: &Arc<Self>,
        function: &FunctionName,
        order: u128,
        slots: u32,
        _span: Span,
    ) -> Warmth {
        let mut warms = lock(&self.warms.0);
        let known = warms.get(&(function.to_string(), slots));
        if let Some(job) = known.filter(|job| job.order == order || lock(&job.end).is_none()) {
            return self.warmth(job);
        }
        if warms.len() >= MAX_WARMS {
            warms.retain(|_, job| lock(&job.end).is_none());
        }
        if warms.len() >= MAX_WARMS {
            let failure = format!("{MAX_WARMS} prewarms are under way, which is the limit");
            return Warmth { stage: Stage::Failed, counts: Counts::default(), failure };
        }
        let job = Arc::new(Job::new(order));
        warms.insert((function.to_string(), slots), Arc::clone(&job));
        let (monitor, function, own) = (Arc::clone(self), function.clone(), Arc::clone(&job));
        self.runtime.spawn(async move {
            let result = monitor.warm(&function, slots, &own.progress).await;
            if let Err(failure) = &result {
                tracing::info!(%function, failure, "not made warm");
            }
            *lock(&own.end) = Some((own.begun.elapsed(), result));
        });
        self.warmth(&job)
    }

    async fn warm(
        self: &Arc<Self>,
        function: &FunctionName,
        slots: u32,
        progress: &Progress,
    ) -> Result<Arc<Deployed>, String> {
        let deployed = self.to_warm(function, progress).await?;
        progress.enter(Stage::Load);
        let was_loaded = deployed.loaded().is_some();
        let loaded = load::loaded(self, &deployed).await;
        let (link, number) = loaded.map_err(|error| error.to_string())?;
        progress.enter(Stage::Slots);
        let most = (self.config.slots * self.config.workers).min(deployed.limits().concurrency);
        if slots as usize > most {
            return Err(format!(
                "expected at most {most} slots of {function} on this host; found {slots}; start it \
                 with more --slots, or deploy it with a higher --concurrency"
            ));
        }
        let missing = slots.saturating_sub(link.warm(number));
        if missing > 0 {
            link.prewarm(number, missing as usize);
        }
        let until = Instant::now() + SLOTS_WITHIN;
        while link.warm(number) < slots {
            if Instant::now() > until || !link.takes_calls() {
                let made = link.warm(number);
                return Err(format!("{made} of {slots} slots were made within {SLOTS_WITHIN:?}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if !was_loaded || missing > 0 {
            deployed.await_first_call();
        }
        Ok(deployed)
    }

    async fn to_warm(
        self: &Arc<Self>,
        function: &FunctionName,
        progress: &Progress,
    ) -> Result<Arc<Deployed>, String> {
        let here = self.functions.get(function.tenant.as_str(), function.name.as_str());
        match here {
            Some(here) if !here.may_be_stale() => Ok(here),
            _ => self.bring(function, progress).await.map_err(|error| match error {
                BringError::Alone => format!("no function {}; deploy it first", function.name),
                error => format!("cannot bring {}: {error}", function.name),
            }),
        }
    }

    fn warmth(&self, job: &Job) -> Warmth {
        let (moved_bytes, total_bytes) = job.progress.bytes();
        let took_us = |took: Duration| took.as_micros() as u64;
        let mut counts = Counts { moved_bytes, total_bytes, ..Counts::default() };
        let (stage, failure) = match &*lock(&job.end) {
            None => {
                counts.took_us = took_us(job.begun.elapsed());
                (job.progress.stage(), String::new())
            }
            Some((took, Err(failure))) => {
                counts.took_us = took_us(*took);
                (Stage::Failed, failure.clone())
            }
            Some((took, Ok(deployed))) => {
                counts.took_us = took_us(*took);
                counts.version = deployed.version.version;
                counts.pages = self.image_pages(deployed);
                counts.slots = deployed.warm_slots();
                counts.first_call_us = deployed.first_call_us();
                (Stage::Done, String::new())
            }
        };
        Warmth { stage, counts, failure }
    }

    /// Pages of a function's image that are on this host.
    fn image_pages(&self, deployed: &Deployed) -> u64 {
        let Some(image) = deployed.deployment().image else { return 0 };
        let Ok(file) = self.store.open_blob(BlobKind::Image, image.blob) else { return 0 };
        let head = Head::read(&file).map_or(0, |head| head.as_bytes().len() as u64);
        let bytes = file.metadata().map_or(0, |file| file.len());
        bytes.saturating_sub(head) / PAGE_BYTES as u64
    }
}

impl Job {
    fn new(order: u128) -> Self {
        let (begun, progress) = (Instant::now(), Progress::default());
        Self { order, begun, progress, end: Mutex::default() }
    }
}

impl Monitor {
    /// What another host lists of a tenant, in JSON; nothing if this one is named.
    ///
    /// # Errors
    /// When it is not in the list of hosts, or does not answer.
    pub async fn list_of(
        &self,
        host: &str,
        tenant: &str,
        listing: Listing,
    ) -> Result<Option<bytes::Bytes>, ListError> {
        let named = self.named_hosts(&[host.to_owned()])?;
        let (Some((_, At::There(other))), Some(remote)) = (named.first(), &self.remote) else {
            return Ok(None);
        };
        let asked = remote.ask(*other, tenant, Body::List { listing }, ANSWER_WITHIN).await;
        match asked.map_err(|error| ListError::Silent(error.to_string()))? {
            (Reply::Listed, rows) => Ok(Some(rows)),
            _ => Err(ListError::Silent(AskError::Other { host: *other }.to_string())),
        }
    }
}

/// Why another host's list is not here.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is none of the hosts.
    #[error(transparent)]
    Host(#[from] PrewarmError),
    /// It did not answer.
    #[error("{0}")]
    Silent(String),
}
