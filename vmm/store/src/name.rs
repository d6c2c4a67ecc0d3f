//! Names of tenants and functions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a tenant or function.
pub const MAX_NAME_BYTES: usize = 63;

/// The name of a tenant or a function: letters, digits, `-`, `_` and `.`, the first a letter or
/// digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a name: use 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' or '.', \
     beginning with a letter or digit"
)]
pub struct NameError {
    /// The text, cut if long.
    pub found: String,
}

impl Name {
    /// Checks a text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        let first = text.bytes().next().is_some_and(plain);
        let rest = text.bytes().all(|byte| plain(byte) || b"-_.".contains(&byte));
        if first && rest && text.len() <= MAX_NAME_BYTES {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError { found: text.chars().take(MAX_NAME_BYTES + 1).collect() })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// A function of a tenant: `tenant/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionName {
    /// Whose.
    pub tenant: Name,
    /// Which.
    pub name: Name,
}

impl FunctionName {
    /// Checks both parts.
    pub fn new(tenant: &str, name: &str) -> Result<Self, NameError> {
        Ok(Self { tenant: Name::new(tenant)?, name: Name::new(name)? })
    }

    /// The key under which records of it lie.
    pub(crate) fn key(&self) -> String {
        self.to_string()
    }

    /// The function whose key that is.
    pub(crate) fn from_key(key: &str) -> Option<Self> {
        let (tenant, name) = key.split_once('/')?;
        Self::new(tenant, name).ok()
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}
