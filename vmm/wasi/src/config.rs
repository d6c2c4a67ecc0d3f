//! What a deployment gives to every call of a function: arguments, environment, folders.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cap_std::fs::Dir;
use thiserror::Error;

use crate::open_files::OpenFiles;

/// Most bytes of all arguments, or of the whole environment, end marks included.
pub const MAX_STRINGS_BYTES: usize = 1 << 20;
/// Most folders granted to one function.
pub const MAX_PREOPENS: usize = 64;
/// Most descriptors open at once, if the configuration does not say less.
pub const MAX_FDS: usize = 1024;

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A text that C could not hold. It is not shown: it may be a secret.
    #[error("{what} number {place} has a NUL byte in it: take it out")]
    Nul {
        /// What the text is.
        what: &'static str,
        /// Its place, from 1.
        place: usize,
    },
    /// The name of a variable is empty or has an equals sign in it.
    #[error("{0:?} is no name of an environment variable: give NAME=VALUE")]
    Name(String),
    /// More arguments, or more environment, than a guest is given.
    #[error("{what} take {found} bytes, at most {MAX_STRINGS_BYTES} are allowed: shorten them")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// More folders than a guest is given.
    #[error("{0} folders, at most {MAX_PREOPENS} are allowed: grant fewer")]
    TooManyPreopens(usize),
}

/// A folder of the host that the guest sees under a path of its own.
#[derive(Debug)]
pub struct Preopen {
    pub(crate) guest_path: String,
    pub(crate) dir: Arc<Dir>,
    pub(crate) read_only: bool,
}

impl Preopen {
    /// Grants `folder`, a descriptor opened for reading (not with `O_PATH`), as `guest_path`.
    /// Beneath a read-only one nothing is changed.
    pub fn new(guest_path: impl Into<String>, folder: OwnedFd, read_only: bool) -> Self {
        let dir = Arc::new(Dir::from_std_file(File::from(folder)));
        Self { guest_path: guest_path.into(), dir, read_only }
    }
}

/// What every call of a function is given; one is shared by all its forks.
#[derive(Debug)]
pub struct Config {
    pub(crate) args: Strings,
    pub(crate) env: Strings,
    pub(crate) preopens: Vec<Preopen>,
    pub(crate) max_fds: usize,
    /// The image's descriptors.
    pub(crate) open_files: Option<OpenFiles>,
}

impl Config {
    /// Checks and keeps arguments (the program's name first), environment and folders.
    pub fn new(
        args: &[String],
        env: &[(String, String)],
        preopens: Vec<Preopen>,
    ) -> Result<Self, ConfigError> {
        if let Some((name, _)) = env.iter().find(|(name, _)| name.is_empty() || name.contains('='))
        {
            return Err(ConfigError::Name(name.clone()));
        }
        if preopens.len() > MAX_PREOPENS {
            return Err(ConfigError::TooManyPreopens(preopens.len()));
        }
        let preopens_named = preopens.iter().map(|preopen| preopen.guest_path.clone());
        Strings::new("folders", preopens_named)?;
        Ok(Self {
            args: Strings::new("arguments", args.iter().cloned())?,
            env: Strings::new("environment", env.iter().map(|(k, v)| format!("{k}={v}")))?,
            preopens,
            max_fds: MAX_FDS,
            open_files: None,
        })
    }

    /// Allows at most `max_fds` descriptors at once, the standard streams and folders included,
    /// and never more than [`MAX_FDS`].
    #[must_use]
    pub fn with_max_fds(mut self, max_fds: usize) -> Self {
        self.max_fds = max_fds.min(MAX_FDS);
        self
    }

    /// Most descriptors that a Faaslet has at once.
    #[must_use]
    pub fn max_fds(&self) -> usize {
        self.max_fds
    }

    /// Starts every Faaslet with the descriptors that its image holds, each reopened when it is
    /// first used.
    #[must_use]
    pub fn with_open_files(mut self, files: OpenFiles) -> Self {
        self.open_files = (files != OpenFiles::default()).then_some(files);
        self
    }

    /// The granted folder with this guest path, and its index.
    pub(crate) fn folder(&self, guest_path: &str) -> Option<(u32, &Preopen)> {
        (0..).zip(&self.preopens).find(|(_, folder)| folder.guest_path == guest_path)
    }
}

/// Texts as the guest wants them: one block, each ended by NUL, and where each starts.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    pub(crate) block: Vec<u8>,
    pub(crate) starts: Vec<u32>,
}

impl Strings {
    fn new(what: &'static str, texts: impl Iterator<Item = String>) -> Result<Self, ConfigError> {
        let mut strings = Self::default();
        for (number, text) in texts.enumerate() {
            if text.contains('\0') {
                return Err(ConfigError::Nul { what, place: number + 1 });
            }
            strings.starts.push(strings.block.len() as u32);
            strings.block.extend_from_slice(text.as_bytes());
            strings.block.push(0);
            if strings.block.len() > MAX_STRINGS_BYTES {
                return Err(ConfigError::TooLong { what, found: strings.block.len() });
            }
        }
        Ok(strings)
    }
}
