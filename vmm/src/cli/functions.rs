//! Functions that are deployed: `ps`, `rm`, `versions`, `rollback`, `env`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use ureq::http::Method;

use super::client::{Right, at_host};
use super::exit::Failure;
use super::output::{age, bytes, duration, short};
use super::{Context, parse};
use crate::api::{FunctionInfo, RollbackRequest, SettingsRequest, VersionInfo};

/// List functions.
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Of another host of the list
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

/// A command about one function.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The function
    name: String,
}

/// Make an earlier version the current one.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The function
    name: String,
    /// Version to go back to [default: the one before the current]
    version: Option<u64>,
}

/// Replace environment and secrets of a function; what is not given is gone.
#[derive(Debug, clap::Args)]
pub struct Env {
    /// The function
    name: String,
    /// Environment, as NAME=VALUE
    #[arg(id = "env", value_name = "NAME=VALUE", value_parser = parse::pair)]
    plain: Vec<(String, String)>,
    /// A secret, from a file
    #[arg(long, value_name = "NAME=FILE", value_parser = parse::pair)]
    secret_file: Vec<(String, String)>,
}

/// What a command did, for programs.
#[derive(Serialize)]
struct Done<'a> {
    function: &'a str,
    done: &'static str,
}

impl Ps {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let path = at_host("/v1/functions", self.host.as_deref());
        let functions: Vec<FunctionInfo> = context.target.http(Right::Tenant)?.get(&path)?;
        let head = [
            "NAME", "VERSION", "FROM", "MODE", "IMAGE", "SIZE", "KEPT", "WARM", "CALLS", "ERRORS",
            "P50", "P99",
        ];
        context.output.list(&functions, &head, || functions.iter().map(row).collect())
    }
}

fn row(function: &FunctionInfo) -> Vec<String> {
    let us = |us| if us == 0 { "-".to_owned() } else { duration(Duration::from_micros(us)) };
    vec![
        function.name.clone(),
        function.version.to_string(),
        function.copy_of.clone().unwrap_or_else(|| "-".to_owned()),
        format!("{:?}", function.mode).to_lowercase(),
        function.image.as_deref().map_or("-".into(), short),
        bytes(function.image_bytes),
        if function.kept.is_ok() { "yes" } else { "no" }.to_owned(),
        function.warm_slots.to_string(),
        function.calls.to_string(),
        function.errors.to_string(),
        us(function.p50_us),
        us(function.p99_us),
    ]
}

impl Named {
    pub fn remove(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/functions/{}", self.name);
        let client = context.target.http(Right::Tenant)?;
        client.json::<serde_json::Value>(Method::DELETE, &path, None::<&()>)?;
        let done = Done { function: &self.name, done: "removed" };
        context.output.show(&done, || format!("{} is removed", self.name))
    }

    pub fn versions(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/functions/{}/versions", self.name);
        let versions: Vec<VersionInfo> = context.target.http(Right::Tenant)?.get(&path)?;
        context.output.list(&versions, &["VERSION", "CURRENT", "AGE", "MODULE", "IMAGE"], || {
            versions
                .iter()
                .map(|version| {
                    vec![
                        version.version.to_string(),
                        if version.current { "*" } else { "" }.to_owned(),
                        age(version.created_unix_s),
                        short(&version.module),
                        version.image.as_deref().map_or("-".into(), short),
                    ]
                })
                .collect()
        })
    }
}

impl Rollback {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/functions/{}/rollback", self.name);
        let client = context.target.http(Right::Tenant)?;
        let version = match self.version {
            Some(version) => version,
            None => {
                let path = format!("/v1/functions/{}/versions", self.name);
                let versions: Vec<VersionInfo> = client.get(&path)?;
                before_current(&versions)?
            }
        };
        let request = RollbackRequest { version };
        client.json::<serde_json::Value>(Method::POST, &path, Some(&request))?;
        context.output.show(&request, || format!("{} is at version {version}", self.name))
    }
}

fn before_current(versions: &[VersionInfo]) -> Result<u64, Failure> {
    let current = versions.iter().position(|version| version.current);
    let before = current.and_then(|at| versions.get(at.checked_sub(1)?));
    before.map(|version| version.version).ok_or_else(|| {
        let what = "there is no version before the current one; see `faaslet versions`";
        Failure::new(super::exit::Code::Refused, what)
    })
}

impl Env {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/v1/functions/{}/settings", self.name);
        let request = SettingsRequest {
            env: self.plain.into_iter().collect(),
            secrets: secrets(&self.secret_file)?.into_iter().collect(),
        };
        let client = context.target.http(Right::Tenant)?;
        client.json::<serde_json::Value>(Method::PUT, &path, Some(&request))?;
        let done = Done { function: &self.name, done: "settings replaced" };
        context.output.show(&done, || format!("calls of {} get it from now on", self.name))
    }
}

/// Secrets, read from their files; a line end at the end is not part of one.
pub fn secrets(files: &[(String, String)]) -> Result<Vec<(String, String)>, Failure> {
    let read = |(name, file): &(String, String)| {
        let path = PathBuf::from(file);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::local(format!("cannot read the secret {name} from {}", path.display()), error)
        })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok((name.clone(), text.strip_suffix('\r').unwrap_or(text).to_owned()))
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: u64, current: bool) -> VersionInfo {
        VersionInfo { version, current, created_unix_s: 0, module: String::new(), image: None }
    }

    #[test]
    fn rollback_without_a_version_goes_one_back_and_never_forward() {
        let versions = [version(1, false), version(4, false), version(5, true), version(6, false)];
        assert_eq!(before_current(&versions), Ok(4));
        assert!(before_current(&versions[2..]).is_err());
        assert!(before_current(&[]).is_err());
    }

    #[test]
    fn a_secret_is_its_file_without_the_last_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "a\nb\r\n").unwrap();
        let pair = |path: &std::path::Path| [("K".to_owned(), path.display().to_string())];
        assert_eq!(secrets(&pair(&path)), Ok(vec![("K".into(), "a\nb".into())]));
        let missing = secrets(&pair(&dir.path().join("none"))).unwrap_err();
        assert!(missing.message.contains("secret K"), "{}", missing.message);
    }
}
