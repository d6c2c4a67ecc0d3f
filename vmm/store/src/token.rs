//! Tokens: shown once, kept only as a hash.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use crate::blob::Hash;
use crate::db::{self, DbError, TENANTS, TOKENS};
use crate::name::Name;
use crate::open::Store;
use crate::tenant::{TenantError, TenantRecord, now_ms};

/// Most tokens of one tenant, or of the operator.
pub const MAX_TOKENS_PER_OWNER: usize = 64;

const PREFIX: &str = "flt_";
const TOKEN_BYTES: usize = 32;
/// Digits of the hash that name a token.
const ID_DIGITS: usize = 16;

/// What a credential gives a right to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The operator: everything.
    Admin,
    /// A tenant: its own functions.
    Tenant(Name),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("the operator"),
            Self::Tenant(name) => write!(f, "the tenant {name}"),
        }
    }
}

/// A new token. Its text is known to nobody else and can never be shown again.
#[derive(Clone)]
pub struct Token {
    text: String,
}

impl Token {
    /// The text to hand to its owner.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The id by which it is listed and removed.
    pub fn id(&self) -> String {
        id(&key(&self.text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id())
    }
}

/// A token as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its id.
    pub id: String,
    /// What it gives a right to.
    pub role: Role,
    /// When it was made, in milliseconds of Unix time.
    pub created_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    role: Role,
    created_ms: u64,
}

/// 32 bytes from the operating system.
pub(crate) fn random() -> Result<[u8; TOKEN_BYTES], String> {
    let mut bytes = [0; TOKEN_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The key of a token's record. Who looks for a key that is there must know the text; the time
/// that the look takes tells only about hashes, from which no text follows.
fn key(text: &str) -> String {
    Hash::of(text.as_bytes()).to_string()
}

fn id(key: &str) -> String {
    key.chars().take(ID_DIGITS).collect()
}

/// The id of the token with this text, whether there is one or not.
pub fn token_id(text: &str) -> String {
    id(&key(text))
}

/// Removes the tokens of a tenant.
pub(crate) fn remove_of(write: &WriteTransaction, tenant: &Name) -> Result<(), DbError> {
    for (key, record) in db::list::<TokenRecord>(write, TOKENS, "")? {
        if record.role == Role::Tenant(tenant.clone()) {
            db::remove(write, TOKENS, &key)?;
        }
    }
    Ok(())
}

impl Store {
    /// Makes a token.
    pub fn add_token(&self, role: &Role) -> Result<Token, TenantError> {
        let secret = random().map_err(TenantError::Random)?;
        let token = Token { text: format!("{PREFIX}{}", Hash(secret)) };
        let record = TokenRecord { role: role.clone(), created_ms: now_ms() };
        self.db.write(|write| {
            if let Role::Tenant(name) = role
                && db::get::<TenantRecord>(write, TENANTS, name.as_str())?.is_none()
            {
                return Ok(Err(TenantError::Unknown(name.clone())));
            }
            let tokens = db::list::<TokenRecord>(write, TOKENS, "")?;
            let max = MAX_TOKENS_PER_OWNER;
            if tokens.iter().filter(|(_, record)| record.role == *role).count() >= max {
                return Ok(Err(TenantError::TooManyTokens { owner: role.to_string(), max }));
            }
            Ok(Ok(db::put(write, TOKENS, &key(&token.text), &record)?))
        })?;
        Ok(token)
    }

    /// What a text gives a right to; `None`: nothing.
    pub fn authenticate(&self, text: &str) -> Result<Option<Role>, DbError> {
        if text.len() != PREFIX.len() + 2 * TOKEN_BYTES || !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let record: Option<TokenRecord> =
            self.db.read::<_, DbError>(|read| Ok(Ok(db::get(read, TOKENS, &key(text))?)))?;
        Ok(record.map(|record| record.role))
    }

    /// Tokens that give a right to something.
    pub fn tokens_of(&self, role: &Role) -> Result<Vec<TokenInfo>, DbError> {
        Ok(self.tokens()?.into_iter().filter(|token| token.role == *role).collect())
    }

    /// All tokens.
    pub fn tokens(&self) -> Result<Vec<TokenInfo>, DbError> {
        let records = self.db.read::<_, DbError>(|read| Ok(Ok(db::list(read, TOKENS, "")?)))?;
        let info = |(key, record): (String, TokenRecord)| TokenInfo {
            id: id(&key),
            role: record.role,
            created_ms: record.created_ms,
        };
        Ok(records.into_iter().map(info).collect())
    }

    /// Removes a token of an owner: it gives a right to nothing from now on.
    pub fn remove_token(&self, role: &Role, token: &str) -> Result<(), TenantError> {
        self.db.write_to_free(|write| {
            let tokens = db::list::<TokenRecord>(write, TOKENS, "")?;
            let mut of_role = tokens.iter().filter(|(_, record)| record.role == *role);
            let Some((key, _)) = of_role.find(|(key, _)| id(key) == token) else {
                return Ok(Err(TenantError::UnknownToken(token.to_owned())));
            };
            db::remove(write, TOKENS, key)?;
            Ok(Ok(()))
        })
    }
}
