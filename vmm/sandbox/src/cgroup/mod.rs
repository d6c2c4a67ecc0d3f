//! Control groups: what a child may use of processor, memory and processes, counted over all its
//! threads by the kernel.
//!
//! Version 2 where it is mounted with the controllers and this process may make groups; else
//! version 1; else none, with the reason. By hand over files: it is three writes a group, and the
//! crates for it bring a D-Bus client along.
//!
//! ```text
//!  v2   <own group>/faaslet-NAME/{cpu.weight,cpu.max,memory.max,pids.max,cgroup.procs}
//!  v1   <cpu, own group>/faaslet-NAME/{cpu.shares,cpu.cfs_quota_us,...}
//!       <memory, own group>/faaslet-NAME/{memory.limit_in_bytes,...}
//!       <pids, own group>/faaslet-NAME/{pids.max,...}
//! ```

mod find;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Start of every group's name, so that one can tell whose it is.
const NAME_PREFIX: &str = "faaslet-";

/// Longest name of a group, without its prefix.
pub const MAX_NAME_BYTES: usize = 64;

/// Length of one accounting period for the processor quota.
const QUOTA_PERIOD_US: u64 = 100_000;

/// What the kernel gives a group that has no weight set.
const DEFAULT_SHARES: u64 = 1024;

/// What a group may use. `None` means without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Share of the processor when several groups want it: 1 to 10,000, where 100 is usual.
    pub cpu_weight: Option<u32>,
    /// Most processor time, in thousandths of one core.
    pub cpu_quota_millis: Option<u32>,
    /// Most memory, in bytes.
    pub memory_max_bytes: Option<u64>,
    /// Most processes and threads.
    pub pids_max: Option<u32>,
}

/// The control groups of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Version 2: one tree.
    V2 {
        /// Own group, beneath which others are made.
        base: PathBuf,
    },
    /// Version 1: a tree for each controller.
    V1 {
        /// Own group of each controller.
        bases: V1Bases,
    },
    /// Neither can be used.
    None {
        /// Why not.
        reason: String,
    },
}

/// Own groups in the trees of version 1; one that is missing limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct V1Bases {
    /// Of the processor.
    pub cpu: Option<PathBuf>,
    /// Of memory.
    pub memory: Option<PathBuf>,
    /// Of processes.
    pub pids: Option<PathBuf>,
}

/// Why a group could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The machine has none.
    #[error("this machine has no control groups to use: {reason}")]
    Unavailable {
        /// Why not.
        reason: String,
    },
    /// Not a name for a folder.
    #[error(
        "{name:?} cannot name a group: use 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' or '.'"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// A file of the group could not be made or written.
    #[error("cannot set up {path}: {source}; the monitor needs to own its control group")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Finds what this machine has. It changes nothing.
pub fn detect() -> Cgroups {
    find::detect(Path::new("/proc/self"))
}

impl Cgroups {
    /// Makes a group. One that is left over under this name is used again.
    pub fn create(&self, name: &str, limits: &Limits) -> Result<Cgroup, CreateError> {
        check_name(name)?;
        let folder = format!("{NAME_PREFIX}{name}");
        let (version, folders) = match self {
            Self::None { reason } => {
                return Err(CreateError::Unavailable { reason: reason.clone() });
            }
            Self::V2 { base } => {
                find::delegate(base, &find::V2_CONTROLLERS)?;
                (Version::Two, vec![(Controller::All, base.join(folder))])
            }
            Self::V1 { bases } => (Version::One, bases.folders(&folder)),
        };
        let mut group = Cgroup { version, folders: Vec::new() };
        for (controller, path) in folders {
            make_folder(&path)?;
            group.folders.push((controller, path));
        }
        group.limit(limits)?;
        Ok(group)
    }

    /// Removes every group whose name begins with `start` and that no process is in, and says how
    /// many folders that were: a monitor that was killed could not do it.
    pub fn remove_empty(&self, start: &str) -> usize {
        let start = format!("{NAME_PREFIX}{start}");
        let bases = match self {
            Self::None { .. } => Vec::new(),
            Self::V2 { base } => vec![base],
            Self::V1 { bases } => {
                [&bases.cpu, &bases.memory, &bases.pids].into_iter().flatten().collect()
            }
        };
        let entries = bases.into_iter().filter_map(|base| fs::read_dir(base).ok()).flatten();
        let ours = |name: &OsStr| name.as_bytes().starts_with(start.as_bytes());
        entries
            .filter_map(Result::ok)
            // The kernel refuses for a group with processes in it, or with groups beneath it.
            .filter(|entry| ours(&entry.file_name()) && fs::remove_dir(entry.path()).is_ok())
            .count()
    }
}

impl V1Bases {
    fn folders(&self, name: &str) -> Vec<(Controller, PathBuf)> {
        let all = [
            (Controller::Cpu, &self.cpu),
            (Controller::Memory, &self.memory),
            (Controller::Pids, &self.pids),
        ];
        let present = all.into_iter().filter_map(|(c, base)| Some((c, base.as_ref()?.join(name))));
        present.collect()
    }
}

fn check_name(name: &str) -> Result<(), CreateError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(CreateError::Name { name: name.to_owned() })
}

fn make_folder(path: &Path) -> Result<(), CreateError> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(CreateError::Write { path: path.to_owned(), source: e })
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CreateError> {
    fs::write(path, text).map_err(|source| CreateError::Write { path: path.to_owned(), source })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    All,
    Cpu,
    Memory,
    Pids,
}

/// One group. Dropping it removes it, if every process in it has ended and been reaped.
#[derive(Debug)]
pub struct Cgroup {
    version: Version,
    folders: Vec<(Controller, PathBuf)>,
}

impl Cgroup {
    /// Moves a process, with all its threads, into this group.
    pub fn add(&self, pid: u32) -> Result<(), CreateError> {
        self.folders.iter().try_for_each(|(_, f)| write(&f.join("cgroup.procs"), &pid.to_string()))
    }

    /// How often the kernel killed a process of this group for its memory limit.
    pub fn memory_kills(&self) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        self.counter(file, "oom_kill").unwrap_or(0)
    }

    /// The files through which a process enters: it writes `0`, itself, into each.
    pub(crate) fn doors(&self) -> io::Result<Vec<File>> {
        let open = |(_, folder): &(_, PathBuf)| {
            OpenOptions::new().write(true).open(folder.join("cgroup.procs"))
        };
        self.folders.iter().map(open).collect()
    }

    /// Changes what the group may use, with immediate effect.
    pub fn limit(&self, limits: &Limits) -> Result<(), CreateError> {
        for (controller, folder) in &self.folders {
            for (file, text) in self.settings(*controller, limits) {
                write(&folder.join(file), &text)?;
            }
        }
        Ok(())
    }

    fn settings(&self, of: Controller, limits: &Limits) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        let has = |c| of == Controller::All || of == c;
        if has(Controller::Cpu) {
            all.extend(self.cpu_settings(limits));
        }
        if has(Controller::Memory) {
            let v1 = ("memory.limit_in_bytes", number_or(limits.memory_max_bytes, "-1"));
            let v2 = ("memory.max", number_or(limits.memory_max_bytes, "max"));
            all.push(self.either(v1, v2));
        }
        if has(Controller::Pids) {
            all.push(("pids.max", number_or(limits.pids_max, "max")));
        }
        all
    }

    fn cpu_settings(&self, limits: &Limits) -> [(&'static str, String); 2] {
        let weight = u64::from(limits.cpu_weight.unwrap_or(100).clamp(1, 10_000));
        let shares = (weight * DEFAULT_SHARES / 100).max(2);
        let share =
            self.either(("cpu.shares", shares.to_string()), ("cpu.weight", weight.to_string()));
        let quota =
            limits.cpu_quota_millis.map(|m| (u64::from(m) * QUOTA_PERIOD_US / 1000).max(1000));
        let v1 = ("cpu.cfs_quota_us", number_or(quota, "-1"));
        let v2 = ("cpu.max", format!("{} {QUOTA_PERIOD_US}", number_or(quota, "max")));
        [share, self.either(v1, v2)]
    }

    fn either<T>(&self, one: T, two: T) -> T {
        match self.version {
            Version::One => one,
            Version::Two => two,
        }
    }

    fn counter(&self, file: &str, key: &str) -> Option<u64> {
        let has_memory = |c| matches!(c, Controller::All | Controller::Memory);
        let (_, folder) = self.folders.iter().find(|(c, _)| has_memory(*c))?;
        let text = fs::read_to_string(folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    }
}

fn number_or<N: ToString>(limit: Option<N>, none: &str) -> String {
    limit.map_or_else(|| none.to_owned(), |n| n.to_string())
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for (_, folder) in &self.folders {
            // Busy only if its owner did not reap first; it is found and used again under its
            // name, so nothing is lost but the entry.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests;
