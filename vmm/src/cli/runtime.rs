//! `runtime`: languages that the operator keeps for all tenants, whose functions are layers on them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;

use super::client::{At, Client, Plain, Right, Target, escaped};
use super::deploy::{Progress, deploy, upload};
use super::exit::{Code, Failure};
use super::output::{bytes, duration, short};
use super::{Context, build};
use crate::api::{
    DeployRequest, DeployedInfo, FunctionInfo, GrantRequest, LimitsRequest, TenantInfo,
    TenantRequest, VersionInfo,
};
use crate::monitor::RUNTIMES;

/// The runtime of Python, as deployments name it.
pub const PYTHON: &str = "python";
/// Where the interpreter looks for its library.
const LIBRARY: &str = "/usr/local/lib";

/// Runtimes of languages, for the operator.
#[derive(Debug, Subcommand)]
pub enum Runtime {
    /// Compile a runtime and bake its image, once, for all tenants
    Add(At<Add>),
    /// List the runtimes
    Ls(At<Plain>),
    /// Remove a runtime that no function was deployed on
    Rm(At<Named>),
}

/// Compile a runtime and bake its image.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// The language: python
    name: String,
    /// Take this wheel rather than download it
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,
}

/// A command about one runtime.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The runtime
    name: String,
}

impl Runtime {
    pub fn run(self, mut context: Context) -> Result<(), Failure> {
        match self {
            Self::Add(at) => {
                let Add { name, wheel } = at.into_command(&mut context.target);
                if name != PYTHON {
                    let what = format!("expected the runtime {PYTHON}; found {name:?}");
                    return Err(Failure::new(Code::Usage, what));
                }
                let progress = Progress::new(!context.output.json);
                let added = add(&context.target, wheel.as_deref(), &progress)?;
                progress.done();
                context.output.show(&added, || match &added {
                    None => format!("{PYTHON} is there already"),
                    Some(info) => summary(info),
                })
            }
            Self::Ls(at) => {
                let Plain {} = at.into_command(&mut context.target);
                list(&context)
            }
            Self::Rm(at) => {
                let Named { name } = at.into_command(&mut context.target);
                let client = keeper(&context.target).http(Right::Operator)?;
                let path = format!("/v1/functions/{}", escaped(&name));
                let answer: Value = client.json(Method::DELETE, &path, None::<&()>)?;
                context.output.show(&answer, || format!("the runtime {name} is removed"))
            }
        }
    }
}

fn summary(info: &DeployedInfo) -> String {
    let took = info.phases.iter().map(|(_, us)| us).sum();
    format!(
        "{} is a runtime: code {}, image {} ({}), made in {}",
        info.name,
        bytes(info.artefact_bytes),
        info.image.as_deref().map_or_else(String::new, short),
        bytes(info.image_bytes),
        duration(std::time::Duration::from_micros(took)),
    )
}

fn list(context: &Context) -> Result<(), Failure> {
    let client = keeper(&context.target).http(Right::Operator)?;
    let runtimes: Vec<FunctionInfo> =
        if has_tenant(&client)? { client.get("/v1/functions")? } else { Vec::new() };
    context.output.list(&runtimes, &["RUNTIME", "VERSION", "IMAGE", "SIZE"], || {
        let row = |runtime: &FunctionInfo| {
            let image = runtime.image.as_deref().map_or("-".to_owned(), short);
            let (name, size) = (runtime.name.clone(), bytes(runtime.image_bytes));
            vec![name, runtime.version.to_string(), image, size]
        };
        runtimes.iter().map(row).collect()
    })
}

/// The same monitor, acting for the tenant that keeps the runtimes.
fn keeper(target: &Target) -> Target {
    Target { tenant: Some(RUNTIMES.to_owned()), ..target.clone() }
}

/// Makes sure that the runtime is there, where this is the operator; others are told by the monitor.
pub fn ensure(target: &Target, progress: &Progress) -> Result<(), Failure> {
    let Ok(client) = keeper(target).http(Right::Operator) else { return Ok(()) };
    match has_tenant(&client).and_then(|has| Ok(has && module(&client)?.is_some())) {
        Ok(false) => add(target, None, progress).map(|_| ()),
        // Not the operator's token, or the runtime is there.
        _ => Ok(()),
    }
}

/// Adds the runtime of Python; nothing when the same one is there.
fn add(
    target: &Target,
    wheel: Option<&Path>,
    progress: &Progress,
) -> Result<Option<DeployedInfo>, Failure> {
    progress.step("runtime");
    let folder = build::python_runtime(wheel)?;
    let client = keeper(target).http(Right::Operator)?;
    let file = folder.join("runtime.wasm");
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(&file).and_then(|file| hasher.update_reader(file).map(|_| ()));
    read.map_err(|error| Failure::local(format!("cannot read {}", file.display()), error))?;
    if !has_tenant(&client)? {
        let name = RUNTIMES.to_owned();
        let request = TenantRequest { name, limits: LimitsRequest::default() };
        let _: Value = client.json(Method::POST, "/v1/tenants", Some(&request))?;
    }
    let here = module(&client)?;
    grant(&client, &folder.join("lib"))?;
    if here.is_some_and(|module| module == hasher.finalize().to_hex().as_str()) {
        return Ok(None);
    }
    let module = upload(&client, &file, progress)?;
    let request =
        DeployRequest { module, folders: vec![LIBRARY.to_owned()], ..DeployRequest::default() };
    deploy(&client, PYTHON, &request, progress).map(Some)
}

/// The module of the runtime that is there.
fn module(client: &Client) -> Result<Option<String>, Failure> {
    let functions: Vec<FunctionInfo> = client.get("/v1/functions")?;
    if !functions.iter().any(|function| function.name == PYTHON) {
        return Ok(None);
    }
    let versions: Vec<VersionInfo> = client.get(&format!("/v1/functions/{PYTHON}/versions"))?;
    Ok(versions.into_iter().find(|version| version.current).map(|version| version.module))
}

fn has_tenant(client: &Client) -> Result<bool, Failure> {
    let tenants: Vec<TenantInfo> = client.get("/v1/tenants")?;
    Ok(tenants.iter().any(|tenant| tenant.name == RUNTIMES))
}

/// Lets the runtime, and what is on it, read its library.
fn grant(client: &Client, library: &Path) -> Result<(), Failure> {
    let tenants: Vec<TenantInfo> = client.get("/v1/tenants")?;
    let of = tenants.iter().find(|tenant| tenant.name == RUNTIMES);
    let granted = of.map_or(&[][..], |tenant| &tenant.grants);
    let folder = format!("{}::{LIBRARY}:ro", library.display());
    if granted.contains(&folder) {
        return Ok(());
    }
    let path = format!("/v1/tenants/{RUNTIMES}/grants");
    if granted.iter().any(|grant| grant.contains(&format!("::{LIBRARY}:"))) {
        let old = format!("{path}?guest={}", escaped(LIBRARY));
        let _: Value = client.json(Method::DELETE, &old, None::<&()>)?;
    }
    let _: Value = client.json(Method::POST, &path, Some(&GrantRequest { folder }))?;
    Ok(())
}
