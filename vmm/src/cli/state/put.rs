//! `state put` and `append`: values from files and standard input.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use ureq::http::Method;

use super::super::Context;
use super::super::client::{Client, Right};
use super::super::exit::Failure;
use super::super::parse;
use super::{path, progress};
use crate::api::{StateAppended, StateInfo};

/// Bytes that are sent as one version.
pub(super) const PART_BYTES: usize = 4 << 20;

/// What a value is made as that is not there.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Spec {
    /// What it is an array of: u8 … u64, i8 … i64, f32, f64
    #[arg(long)]
    element: Option<String>,
    /// How changes of several hosts are merged: replace, sum, min, max, and, or, xor
    #[arg(long)]
    rule: Option<String>,
    /// Keep it on disk, so that it survives kill -9 and loss of power
    #[arg(long)]
    durable: bool,
    /// Most bytes that it may have
    #[arg(long, value_parser = parse::size)]
    quota: Option<u64>,
    /// Versions that are kept beside the newest
    #[arg(long)]
    keep_versions: Option<u32>,
}

impl Spec {
    /// That of a value that is there.
    pub(super) fn of(info: &StateInfo) -> Self {
        Self {
            element: Some(info.element.clone()),
            rule: Some(info.rule.clone()),
            durable: info.durable,
            quota: Some(info.quota_bytes),
            keep_versions: Some(info.keep_versions),
        }
    }

    pub(super) fn query(&self) -> String {
        let texts = [("element", &self.element), ("rule", &self.rule)];
        let texts = texts
            .into_iter()
            .filter_map(|(name, text)| Some(format!("&{name}={}", super::escaped(text.as_ref()?))));
        let quota = self.quota.map(|quota| format!("&quota_bytes={quota}"));
        let keep = self.keep_versions.map(|keep| format!("&keep_versions={keep}"));
        let numbers = [quota, keep].into_iter().flatten();
        format!("?durable={}", self.durable) + &texts.chain(numbers).collect::<String>()
    }
}

/// Make a value, or write over a part of it.
#[derive(Debug, clap::Args)]
pub struct Put {
    /// Its key
    key: String,
    /// The file [default: standard input]
    file: Option<PathBuf>,
    /// Write over the bytes from here on, instead of all
    #[arg(long)]
    offset: Option<u64>,
    /// Only if it is at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    /// Only if there is no such value
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    #[command(flatten)]
    spec: Spec,
}

/// Append to a value.
#[derive(Debug, clap::Args)]
pub struct Append {
    /// Its key
    key: String,
    /// The file [default: standard input]
    file: Option<PathBuf>,
    #[command(flatten)]
    spec: Spec,
}

/// A file or standard input, and its length where that is known.
fn open(file: Option<&PathBuf>) -> Result<(Box<dyn Read>, u64), Failure> {
    let Some(path) = file else { return Ok((Box::new(std::io::stdin()), 0)) };
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (len, file) =
        opened.map_err(|error| Failure::local(format!("cannot read {}", path.display()), error))?;
    Ok((Box::new(file), len))
}

/// The next part; shorter than the others at the end alone.
pub(super) fn part(from: &mut dyn Read, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut part = Vec::new();
    from.take(limit as u64)
        .read_to_end(&mut part)
        .map_err(|error| Failure::local("cannot read the input", error))?;
    Ok(part)
}

impl Put {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let (mut from, len) = open(self.file.as_ref())?;
        let bar = progress(len);
        let mut headers = match &self.if_version {
            Some(version) => vec![("if-match", format!("\"{version}\""))],
            None if self.if_absent => vec![("if-none-match", "*".to_owned())],
            None => Vec::new(),
        };
        let (mut at, mut info) = (self.offset.unwrap_or(0), None);
        loop {
            // Parts end where parts of the value do.
            let limit = PART_BYTES - (at % PART_BYTES as u64) as usize;
            let bytes = part(&mut *from, limit)?;
            if bytes.is_empty() && info.is_some() {
                break;
            }
            let is_first = info.is_none();
            let whole = is_first && self.offset.is_none();
            info = Some(self.put(&client, (!whole).then_some(at), &bytes, &headers)?);
            at += bytes.len() as u64;
            bar.set_position(at);
            if !headers.is_empty() {
                let version = info.as_ref().map(|info: &StateInfo| info.version.clone());
                headers = vec![("if-match", format!("\"{}\"", version.unwrap_or_default()))];
            }
            if bytes.len() < limit {
                break;
            }
        }
        bar.finish_and_clear();
        let Some(info) = info else { return Ok(()) };
        context
            .output
            .show(&info, || format!("{}: {} bytes, version {}", info.key, info.len, info.version))
    }

    fn put(
        &self,
        client: &Client,
        at: Option<u64>,
        bytes: &[u8],
        headers: &[(&str, String)],
    ) -> Result<StateInfo, Failure> {
        let offset = at.map(|at| format!("&offset={at}")).unwrap_or_default();
        let path = path(&self.key) + &self.spec.query() + &offset;
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, &**value)).collect();
        client.send_for(Method::PUT, &path, &headers, bytes)
    }
}

/// Appends bytes as one version.
pub(super) fn append(
    client: &Client,
    key: &str,
    spec: &Spec,
    bytes: &[u8],
) -> Result<StateAppended, Failure> {
    client.send_for(Method::POST, &(path(key) + &spec.query()), &[], bytes)
}

impl Append {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let (mut from, len) = open(self.file.as_ref())?;
        let bar = progress(len);
        let mut appended: Option<StateAppended> = None;
        let mut sent = 0;
        loop {
            let bytes = part(&mut *from, PART_BYTES)?;
            if bytes.is_empty() && appended.is_some() {
                break;
            }
            let now = append(&client, &self.key, &self.spec, &bytes)?;
            let at = appended.map_or(now.at, |first| first.at);
            appended = Some(StateAppended { at, ..now });
            sent += bytes.len() as u64;
            bar.set_position(sent);
            if bytes.len() < PART_BYTES {
                break;
            }
        }
        bar.finish_and_clear();
        let Some(appended) = appended else { return Ok(()) };
        context.output.show(&appended, || {
            let StateAppended { at, len, version } = &appended;
            format!("{}: {sent} bytes at {at}; now {len} bytes, version {version}", self.key)
        })
    }
}
