//! What the monitor keeps on disk: tenants, deployments, and the files they name.
//!
//! ```text
//! DIR/lock            held while a monitor uses the folder; its pid inside
//! DIR/faaslet.redb    tenants, tokens, functions, versions, settings (JSON records)
//! DIR/modules/HASH    modules as uploaded          ┐ named by the BLAKE3 of
//! DIR/artefacts/HASH  compiled code                │ their content, written
//! DIR/images/HASH     images                       │ once, never changed
//! DIR/plans/HASH      what the rewrite found out   ┘
//! DIR/tmp/            files being written; emptied when the store is opened
//! DIR/partial/        files under way from other hosts; kept, and gone on with
//! ```
//!
//! Acknowledged is durable. A file is written under `tmp/`, hashed on the way, synced, renamed to
//! its name, and its folder synced; only then a record may name it, in a transaction that is
//! synced before the caller hears of it. So a crash leaves whole files that nobody names (the next
//! collection takes them), and never a record whose file is missing or torn.
//!
//! Start at [`Store`]. This crate blocks on the disk: call it from a thread that may. It knows
//! neither the network nor Wasm, and what a plan or an image holds is not its business. Secrets
//! are kept as they are, protected by the folder's mode (0700); no listing shows them.

mod blob;
mod db;
mod deploy;
mod file;
mod gc;
mod name;
mod open;
mod outline;
mod partial;
mod settings;
mod tenant;
mod token;

#[cfg(test)]
mod tests;

pub use blob::{BlobError, BlobKind, Hash, MAX_PLAN_BYTES, PutError};
pub use db::DbError;
pub use deploy::{
    Base, Code, DeployError, Deployment, FunctionError, FunctionInfo, ImageRef,
    MAX_VERSIONS_PER_FUNCTION, Mode, VersionInfo,
};
pub use gc::{GcError, GcPlan, GcRule, RemoveError, Unused};
pub use name::{FunctionName, MAX_NAME_BYTES, Name, NameError};
pub use open::{OpenError, Options, SCHEMA, Step, Store, lock};
pub use outline::{NotItsOutline, Outline, PIECE_BYTES};
pub use partial::Partial;
pub use settings::{MAX_SETTINGS_BYTES, Secret, Settings};
pub use tenant::{Grant, GrantError, MAX_GRANTS, Tenant, TenantError, TenantLimits, TenantSecret};
pub use token::{MAX_TOKENS_PER_OWNER, Role, Token, TokenInfo, token_id};
