//! `prewarm`: a function is brought to hosts before its calls come.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use ureq::http::Method;

use super::Context;
use super::client::Right;
use super::exit::{Code, Failure};
use super::output::{bytes, duration};
use crate::api::{HostWarmth, PrewarmRequest};

/// Bring a function to hosts, with reset slots, before its calls come. What is there already is
/// left as it is; asked again later, it says what the first call took.
#[derive(Debug, clap::Args)]
pub struct Prewarm {
    /// The function
    name: String,
    /// A host of the list; may be given several times [default: the one that is asked]
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Reset slots on each
    #[arg(long, default_value_t = 1)]
    slots: u32,
    /// Bring what its first runs touched first; so far images of other hosts come whole all the same
    #[arg(long, conflicts_with = "whole")]
    working_set: bool,
    /// Bring all of the image [default]
    #[arg(long)]
    whole: bool,
    /// Wait until every host is done, and say how each ended
    #[arg(long)]
    wait: bool,
}

impl Prewarm {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/functions/{}/prewarm", self.name);
        let (hosts, slots, working_set, wait) =
            (self.hosts, self.slots, self.working_set, self.wait);
        let request = PrewarmRequest { hosts, slots, working_set, wait };
        let client = context.target.http(Right::Tenant)?;
        let lines = BufReader::new(client.stream(Method::POST, &path, Some(&request))?);
        let mut hosts = BTreeMap::new();
        for line in lines.lines() {
            let line = line.map_err(|error| Failure::local("the monitor went away", error))?;
            let warmth: HostWarmth = serde_json::from_str(&line)
                .map_err(|error| Failure::local("a line of the monitor's answer", error))?;
            if !context.output.json {
                eprintln!("{}", told(&warmth));
            }
            hosts.insert(warmth.host.clone(), warmth);
        }
        let hosts: Vec<HostWarmth> = hosts.into_values().collect();
        context.output.list(&hosts, &HEAD, || hosts.iter().map(row).collect())?;
        ended(&self.name, &hosts, wait)
    }
}

const HEAD: [&str; 8] =
    ["HOST", "STAGE", "VERSION", "MOVED", "PAGES", "SLOTS", "TIME", "FIRST CALL"];

fn row(warmth: &HostWarmth) -> Vec<String> {
    let us = |us| duration(Duration::from_micros(us));
    vec![
        warmth.host.clone(),
        warmth.stage.clone(),
        warmth.version.to_string(),
        bytes(warmth.moved_bytes),
        warmth.pages.to_string(),
        warmth.slots.to_string(),
        us(warmth.took_us),
        warmth.first_call_us.map_or_else(|| "-".to_owned(), us),
    ]
}

fn told(warmth: &HostWarmth) -> String {
    let HostWarmth { host, stage, moved_bytes, total_bytes, .. } = warmth;
    let time = duration(Duration::from_micros(warmth.took_us));
    match &warmth.failure {
        Some(failure) => format!("  {host}: failed after {time}: {failure}"),
        None if *total_bytes == 0 => format!("  {host}: {stage}, {time}"),
        None => {
            format!("  {host}: {stage}, {} of {}, {time}", bytes(*moved_bytes), bytes(*total_bytes))
        }
    }
}

/// A failure that names the hosts that failed.
fn ended(name: &str, hosts: &[HostWarmth], wait: bool) -> Result<(), Failure> {
    let failed = hosts.iter().filter_map(|host| Some((&host.host, host.failure.as_ref()?)));
    let failed: Vec<String> = failed.map(|(host, why)| format!("{host}: {why}")).collect();
    if !failed.is_empty() {
        let what = format!("{name} is not warm everywhere; {}", failed.join("; "));
        return Err(Failure::new(Code::Refused, what));
    }
    if wait && (hosts.is_empty() || hosts.iter().any(|host| !host.ended())) {
        let what = "the monitor went away before every host was done; ask again";
        return Err(Failure::new(Code::Lost, what));
    }
    Ok(())
}
