//! Environment and secrets of a function: changed without a new version, in no image or listing.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::db::{self, FUNCTIONS, SETTINGS};
use crate::deploy::{FunctionError, FunctionRecord};
use crate::name::FunctionName;
use crate::open::Store;

/// Most bytes of names and values of a function's environment and secrets together.
pub const MAX_SETTINGS_BYTES: usize = 256 << 10;

/// A value that nothing shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to hand to the function.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What reaches a function after the fork.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Secrets; they reach the function as environment too.
    pub secrets: BTreeMap<String, Secret>,
}

impl Settings {
    /// Bytes of all names and values.
    pub(crate) fn bytes(&self) -> usize {
        let env = self.env.iter().map(|(name, value)| name.len() + value.len());
        let secrets = self.secrets.iter().map(|(name, value)| name.len() + value.0.len());
        env.chain(secrets).sum()
    }

    /// The name of a value with a zero byte, which no environment can hold.
    pub(crate) fn bad_value(&self) -> Option<&str> {
        let bad = |value: &str| value.contains('\0');
        let env = self.env.iter().find(|(_, value)| bad(value)).map(|(name, _)| name);
        let secret = || self.secrets.iter().find(|(_, value)| bad(&value.0)).map(|(name, _)| name);
        env.or_else(secret).map(String::as_str)
    }

    /// A name that cannot be one of an environment: empty, or with `=` or a zero byte in it.
    pub(crate) fn bad_name(&self) -> Option<&str> {
        let bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
        self.env.keys().chain(self.secrets.keys()).find(bad).map(String::as_str)
    }
}

impl Store {
    /// The settings of a function; none were set: empty.
    pub fn settings(&self, function: &FunctionName) -> Result<Settings, FunctionError> {
        let settings = self
            .db
            .read::<_, FunctionError>(|read| Ok(Ok(db::get(read, SETTINGS, &function.key())?)))?;
        Ok(settings.unwrap_or_default())
    }

    /// Replaces the settings of a function that is deployed, for calls that start from now on.
    pub fn set_settings(
        &self,
        function: &FunctionName,
        settings: &Settings,
    ) -> Result<(), FunctionError> {
        check(settings)?;
        self.db.write(|write| {
            let record: Option<FunctionRecord> = db::get(write, FUNCTIONS, &function.key())?;
            if record.and_then(|record| record.current).is_none() {
                return Ok(Err(FunctionError::Unknown(function.clone())));
            }
            Ok(Ok(db::put(write, SETTINGS, &function.key(), settings)?))
        })
    }
}

/// Checks names and size.
pub(crate) fn check(settings: &Settings) -> Result<(), FunctionError> {
    if let Some(name) = settings.bad_name() {
        return Err(FunctionError::SettingName(name.to_owned()));
    }
    if let Some(name) = settings.bad_value() {
        return Err(FunctionError::SettingValue(name.to_owned()));
    }
    let bytes = settings.bytes();
    if bytes > MAX_SETTINGS_BYTES {
        return Err(FunctionError::SettingsTooLong { bytes });
    }
    Ok(())
}
