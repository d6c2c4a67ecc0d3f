//! `tenant`: who may use the monitor, and which folders.

use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;

use super::Context;
use super::client::{At, Client, Plain, Right, escaped};
use super::exit::Failure;
use crate::api::{GrantRequest, TenantInfo, TenantRequest, TokenInfo};

/// Tenants, their tokens and folders, for the operator.
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Add a tenant, and show its token once
    Add(At<Name>),
    /// List tenants
    Ls(At<Plain>),
    /// Remove a tenant with its functions and tokens
    Rm(At<Name>),
    /// Make another token for a tenant, and show it once
    Token(At<Name>),
    /// Grant a folder of this host to a tenant
    Grant(Grant),
    /// Take a folder back
    Revoke(At<Revoke>),
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
            Self::Add(at) => {
                let Name { name } = at.into_command(&mut context.target);
                let client = context.target.http(Right::Operator)?;
                let request = TenantRequest { name };
                let token = client.json(Method::POST, "/v1/tenants", Some(&request))?;
                show_token(&context, &token)
            }
            Self::Token(at) => {
                let Name { name } = at.into_command(&mut context.target);
                let client = context.target.http(Right::Operator)?;
                let path = format!("/v1/tenants/{name}/tokens");
                show_token(&context, &client.json(Method::POST, &path, None::<&()>)?)
            }
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
    context.output.list(&tenants, &["NAME", "CELL", "FOLDERS"], || {
        tenants
            .iter()
            .map(|tenant| {
                vec![
                    tenant.name.clone(),
                    tenant.cell_pid.map_or("-".to_owned(), |pid| pid.to_string()),
                    tenant.grants.join(" "),
                ]
            })
            .collect()
    })
}

fn show_token(context: &Context, token: &TokenInfo) -> Result<(), Failure> {
    context.output.show(token, || {
        format!(
            "token of {}, shown this once:\n  {}\nuse it: FAASLET_TOKEN={} faaslet ps",
            token.tenant, token.token, token.token
        )
    })
}
