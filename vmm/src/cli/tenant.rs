//! `tenant`: who may use the monitor, and which folders.

use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;

use super::client::{At, Client, Plain, Right, escaped};
use super::exit::Failure;
use super::output::{age, bytes};
use super::{Context, parse};
use crate::api::{GrantRequest, LimitsRequest, TenantInfo, TenantRequest, TokenEntry, TokenInfo};

/// Tenants, their tokens and folders, for the operator.
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Add a tenant, and show its token once
    Add(At<Limited>),
    /// Change what a tenant may use
    Set(At<Limited>),
    /// List tenants
    Ls(At<Plain>),
    /// Remove a tenant with its functions and tokens
    Rm(At<Name>),
    /// Tokens of a tenant
    #[command(subcommand)]
    Token(Token),
    /// Grant a folder of this host to a tenant
    Grant(Grant),
    /// Take a folder back
    Revoke(At<Revoke>),
}

/// Tokens of a tenant.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make another token for a tenant, and show it once
    Add(At<Name>),
    /// List the tokens of a tenant by their ids
    Ls(At<Name>),
    /// Remove a token; connections that it opened end
    Rm(At<OneToken>),
}

/// A command about one token.
#[derive(Debug, clap::Args)]
pub struct OneToken {
    /// The tenant
    name: String,
    /// The token's id
    id: String,
}

/// A tenant and what it may use.
#[derive(Debug, clap::Args)]
pub struct Limited {
    /// The tenant
    name: String,
    /// Most memory of its cell, from the cell's next start [default: 4G, or the host's if less]
    #[arg(long, value_parser = parse::size, value_name = "SIZE")]
    memory: Option<u64>,
    /// Most processor time of its cell, 100 for one processor, 0 for no limit [default: no limit]
    #[arg(long, value_name = "PERCENT")]
    cpu: Option<u32>,
    /// Most calls that run or wait at once [default: 1024]
    #[arg(long)]
    calls: Option<u32>,
    /// Most functions [default: 1000]
    #[arg(long)]
    functions: Option<u32>,
}

/// A command about one tenant.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// The tenant
    name: String,
}

/// Grant a folder of this host to a tenant.
#[allow(clippy::doc_markdown, reason = "help is read on a terminal")]
#[derive(Debug, clap::Args)]
pub struct Grant {
    /// The tenant
    name: String,
    /// The folder, as HOST::GUEST or HOST::GUEST:ro
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]")]
    folder: String,
}

/// Take a folder back.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The tenant
    name: String,
    /// The folder, by the name that the guest sees
    #[arg(value_name = "GUEST")]
    guest: String,
}

impl Tenant {
    pub fn run(self, mut context: Context) -> Result<(), Failure> {
        match self {
            Self::Ls(at) => {
                let Plain {} = at.into_command(&mut context.target);
                list(&context, &context.target.http(Right::Operator)?)
            }
            Self::Add(at) => at.into_command(&mut context.target).add(&context),
            Self::Set(at) => at.into_command(&mut context.target).set(&context),
            Self::Token(token) => token.run(context),
            Self::Rm(at) => {
                let Name { name } = at.into_command(&mut context.target);
                let client = context.target.http(Right::Operator)?;
                let path = format!("/v1/tenants/{name}");
                let answer: Value = client.json(Method::DELETE, &path, None::<&()>)?;
                context.output.show(&answer, || format!("{name} is removed"))
            }
            Self::Grant(grant) => grant.run(&context),
            Self::Revoke(at) => at.into_command(&mut context.target).run(&context),
        }
    }
}

impl Limited {
    fn limits(&self) -> LimitsRequest {
        LimitsRequest {
            memory_bytes: self.memory,
            cpu_percent: self.cpu,
            calls_in_flight: self.calls,
            functions: self.functions,
        }
    }

    fn add(self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Operator)?;
        let request = TenantRequest { limits: self.limits(), name: self.name };
        show_token(context, &client.json(Method::POST, "/v1/tenants", Some(&request))?)
    }

    fn set(self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Operator)?;
        let path = format!("/v1/tenants/{}", self.name);
        let answer: Value = client.json(Method::PATCH, &path, Some(&self.limits()))?;
        context.output.show(&answer, || format!("{} has these limits from now on", self.name))
    }
}

impl Token {
    fn run(self, mut context: Context) -> Result<(), Failure> {
        match self {
            Self::Add(at) => {
                let Name { name } = at.into_command(&mut context.target);
                let client = context.target.http(Right::Operator)?;
                let path = format!("/v1/tenants/{name}/tokens");
                show_token(&context, &client.json(Method::POST, &path, None::<&()>)?)
            }
            Self::Ls(at) => {
                let Name { name } = at.into_command(&mut context.target);
                let client = context.target.http(Right::Operator)?;
                let tokens: Vec<TokenEntry> = client.get(&format!("/v1/tenants/{name}/tokens"))?;
                let row = |token: &TokenEntry| vec![token.id.clone(), age(token.created_unix_s)];
                context.output.list(&tokens, &["ID", "AGE"], || tokens.iter().map(row).collect())
            }
            Self::Rm(at) => {
                let OneToken { name, id } = at.into_command(&mut context.target);
                let client = context.target.http(Right::Operator)?;
                let path = format!("/v1/tenants/{name}/tokens/{}", escaped(&id));
                let answer: Value = client.json(Method::DELETE, &path, None::<&()>)?;
                context.output.show(&answer, || format!("the token {id} of {name} is removed"))
            }
        }
    }
}

impl Grant {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { name, folder } = self;
        let client = context.target.http(Right::Operator)?;
        let path = format!("/v1/tenants/{name}/grants");
        let request = GrantRequest { folder };
        let answer: Value = client.json(Method::POST, &path, Some(&request))?;
        context.output.show(&answer, || {
            format!(
                "{name} may use {}; functions ask for it with `faaslet deploy --dir GUEST`",
                request.folder
            )
        })
    }
}

impl Revoke {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { name, guest } = self;
        let client = context.target.http(Right::Operator)?;
        let path = format!("/v1/tenants/{name}/grants?guest={}", escaped(&guest));
        let answer: Value = client.json(Method::DELETE, &path, None::<&()>)?;
        context.output.show(&answer, || format!("{name} may not use {guest} any more"))
    }
}

fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    let tenants: Vec<TenantInfo> = client.get("/v1/tenants")?;
    let head = ["NAME", "CELL", "MEMORY", "CPU", "CALLS", "FUNCTIONS", "FOLDERS"];
    context.output.list(&tenants, &head, || {
        tenants
            .iter()
            .map(|tenant| {
                vec![
                    tenant.name.clone(),
                    tenant.cell_pid.map_or("-".to_owned(), |pid| pid.to_string()),
                    bytes(tenant.memory_bytes),
                    tenant.cpu_percent.map_or("-".to_owned(), |percent| format!("{percent}%")),
                    tenant.calls_in_flight.to_string(),
                    tenant.functions.to_string(),
                    tenant.grants.join(" "),
                ]
            })
            .collect()
    })
}

fn show_token(context: &Context, token: &TokenInfo) -> Result<(), Failure> {
    context.output.show(token, || {
        format!(
            "token {} of {}, shown this once:\n  {}\nuse it: FAASLET_TOKEN={} faaslet ps",
            token.id, token.tenant, token.token, token.token
        )
    })
}
