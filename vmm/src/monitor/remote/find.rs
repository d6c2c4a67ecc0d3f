//! Who has a function: all hosts are asked at once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use faaslet_net::peer::HostId;
use faaslet_net::ship::{Body, Record, RecordFile, Reply};
use faaslet_store::{FunctionName, Settings, VersionInfo};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::super::lock::lock;
use super::counts::Counts;
use super::{AskError, Remote};

/// How long hosts may take to say what they have.
const FIND_WITHIN: Duration = Duration::from_millis(1500);
/// How long the others are waited for once the origin itself has answered.
const GRACE: Duration = Duration::from_millis(10);
/// How long nobody is asked again about a function that nobody has.
const ABSENT_FOR: Duration = Duration::from_secs(1);
/// Most functions that are remembered as absent.
const MAX_ABSENT: usize = 4096;

/// A function that another host has.
pub(super) struct Found {
    /// What it is made of; it says that it is a copy.
    pub(super) version: VersionInfo,
    /// Its environment.
    pub(super) settings: Settings,
    /// Its files.
    pub(super) record: Record,
    /// What all hosts have of it, the newest first, and of that the origin's.
    others: Vec<(HostId, Record)>,
}

impl Found {
    /// Who has a file: the content is what counts, not the version that it belongs to.
    pub(super) fn sources(&self, file: &RecordFile) -> Vec<HostId> {
        let has = |record: &Record| record.files.contains(file);
        let hosts = self.others.iter().filter(|(_, record)| has(record));
        hosts.map(|(host, _)| *host).collect()
    }
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    /// All hosts answered, and none has it.
    #[error("no host has it")]
    Nobody,
    /// Those that answered do not have it.
    #[error("the hosts that answered do not have it; these did not: {0}")]
    Silent(String),
}

/// Functions that nobody had a moment ago.
#[derive(Debug, Default)]
pub(super) struct Absent(Mutex<HashMap<String, Instant>>);

impl Absent {
    fn has(&self, function: &FunctionName) -> bool {
        let absent = lock(&self.0);
        absent.get(&function.to_string()).is_some_and(|until| Instant::now() < *until)
    }

    fn put(&self, function: &FunctionName) {
        let mut absent = lock(&self.0);
        let now = Instant::now();
        if absent.len() >= MAX_ABSENT {
            absent.retain(|_, until| now < *until);
        }
        if absent.len() < MAX_ABSENT {
            absent.insert(function.to_string(), now + ABSENT_FOR);
        }
    }
}

/// What hosts said so far.
#[derive(Default)]
struct Said {
    records: Vec<(HostId, Record)>,
    without: Vec<HostId>,
    silent: Vec<String>,
}

impl Remote {
    /// Asks all other hosts for a function of a tenant.
    pub(super) async fn find(&self, function: &FunctionName) -> Result<Found, FindError> {
        if self.absent.has(function) {
            return Err(FindError::Nobody);
        }
        Counts::add(&self.counts.finds, 1);
        let said = self.ask_all(function).await;
        let found = choose(said);
        if let Err(FindError::Nobody) = &found {
            self.absent.put(function);
        }
        found
    }

    async fn ask_all(&self, function: &FunctionName) -> Said {
        let asks = self
            .peers
            .hosts()
            .into_iter()
            .map(|host| async move { (host, self.ask_for(host, function).await) });
        let mut asks: FuturesUnordered<_> = asks.collect();
        let (mut said, mut until) = (Said::default(), Instant::now() + FIND_WITHIN);
        while let Ok(Some((host, answer))) =
            tokio::time::timeout_at(until.into(), asks.next()).await
        {
            match answer {
                Ok(Some(record)) => {
                    if record.origin == host.as_str() {
                        until = until.min(Instant::now() + GRACE);
                    }
                    said.records.push((host, record));
                }
                Ok(None) => said.without.push(host),
                Err(error) => {
                    tracing::debug!(%host, %error, "a host did not say what it has");
                    said.silent.push(host.to_string());
                }
            }
        }
        said
    }

    async fn ask_for(
        &self,
        host: HostId,
        function: &FunctionName,
    ) -> Result<Option<Record>, AskError> {
        let body = Body::Find { function: function.name.to_string() };
        match self.ask(host, function.tenant.as_str(), body, FIND_WITHIN).await {
            Ok((Reply::Found, payload)) => {
                let failed = |failure| AskError::Failed { host, failure };
                Ok(Some(Record::from_bytes(&payload).map_err(failed)?))
            }
            Ok((Reply::Nothing, _)) => Ok(None),
            Ok(_) => Err(AskError::Other { host }),
            // A host without the tenant has none of its functions.
            Err(AskError::Failed { failure: faaslet_net::ship::Failure::NoTenant, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The newest, from all who have it. A copy whose origin has no such function any more is none.
fn choose(said: Said) -> Result<Found, FindError> {
    let Said { mut records, without, silent } = said;
    records.retain(|(_, record)| !without.iter().any(|host| host.as_str() == record.origin));
    records.sort_by_key(|(host, record)| {
        let age = (record.version, record.created_ms, record.origin.clone());
        (std::cmp::Reverse(age), host.as_str() != record.origin)
    });
    for at in 0..records.len() {
        let (host, record) = &records[at];
        match opened(record) {
            Ok((version, settings)) => {
                let record = record.clone();
                return Ok(Found { version, settings, record, others: records });
            }
            Err(error) => tracing::warn!(%host, %error, "a record that cannot be read"),
        }
    }
    if silent.is_empty() {
        Err(FindError::Nobody)
    } else {
        Err(FindError::Silent(silent.join(", ")))
    }
}

fn opened(record: &Record) -> serde_json::Result<(VersionInfo, Settings)> {
    let version: VersionInfo = serde_json::from_slice(&record.about)?;
    let (number, created_ms) = (record.version, record.created_ms);
    let copy_of = Some(record.origin.clone());
    let version = VersionInfo { version: number, created_ms, copy_of, ..version };
    Ok((version, serde_json::from_slice(&record.settings)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use faaslet_net::ship::FileId;
    use faaslet_store::{Deployment, Hash, Mode};

    fn record(origin: &str, version: u64) -> Record {
        let deployment = Deployment {
            module: Hash([1; 32]),
            artefact: Hash([2; 32]),
            plan: Hash([3; 32]),
            engine: Hash([4; 32]),
            image: None,
            base: None,
            kept: None,
            mode: Mode::Fork,
            memory_bytes: 1,
            timeout_ms: 1,
            concurrency: 1,
            folders: Vec::new(),
            args: Vec::new(),
        };
        let info = VersionInfo { version, created_ms: 5, deployment, copy_of: None };
        Record {
            origin: origin.to_owned(),
            version,
            created_ms: 5,
            files: vec![RecordFile { file: FileId { kind: 0, hash: [1; 32] }, bytes: 9 }],
            about: serde_json::to_vec(&info).unwrap(),
            settings: serde_json::to_vec(&Settings::default()).unwrap(),
        }
    }

    fn host(name: &str) -> HostId {
        HostId::new(name).unwrap()
    }

    #[test]
    fn the_newest_version_is_taken_from_its_origin_first() {
        let records = vec![
            (host("c"), record("a", 2)),
            (host("a"), record("a", 2)),
            (host("b"), record("b", 1)),
        ];
        let found = choose(Said { records, ..Said::default() }).unwrap_or_else(|e| panic!("{e}"));
        let file = found.record.files[0];
        assert_eq!(found.sources(&file), [host("a"), host("c"), host("b")]);
        assert_eq!(found.version.version, 2);
        assert_eq!(found.version.copy_of.as_deref(), Some("a"));
    }

    #[test]
    fn a_copy_whose_origin_has_removed_the_function_is_none() {
        let records = vec![(host("c"), record("a", 2))];
        let said = Said { records, without: vec![host("a")], ..Said::default() };
        assert!(matches!(choose(said), Err(FindError::Nobody)));
        let records = vec![(host("c"), record("a", 2))];
        let said = Said { records, silent: vec!["a".to_owned()], ..Said::default() };
        assert!(choose(said).is_ok(), "an origin that is silent may have it still");
    }

    #[test]
    fn hosts_that_are_silent_are_named() {
        let said = Said { silent: vec!["x".to_owned()], ..Said::default() };
        let Err(FindError::Silent(names)) = choose(said) else { panic!("found something") };
        assert_eq!(names, "x");
    }
}
