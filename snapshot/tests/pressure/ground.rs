//! A memory cgroup with this process in it, and a swap file: made for a test, gone after it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SWAP_BYTES: usize = 96 << 20;
/// What the process may keep while it is pressed: less than image and private pages.
const PRESSED_BYTES: u64 = 8 << 20;
const VERSION_1: &str = "/sys/fs/cgroup/memory";
const VERSION_2: &str = "/sys/fs/cgroup";

/// Which files press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// See the module's documentation.
pub(crate) struct Ground {
    group: PathBuf,
    parent: PathBuf,
    version: Version,
    swap: Option<SwapFile>,
    /// There was swap before.
    had_swap: bool,
}

struct SwapFile(PathBuf);

impl Ground {
    pub(crate) fn new() -> Result<Self, String> {
        let (parent, version) = if Path::new(VERSION_1).join("memory.limit_in_bytes").exists() {
            (PathBuf::from(VERSION_1), Version::One)
        } else {
            (PathBuf::from(VERSION_2), Version::Two)
        };
        let group = parent.join(format!("faaslet-pressure-{}", std::process::id()));
        let had_swap = fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1);
        fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let mut ground = Self { group, parent, version, swap: None, had_swap };
        let presses = match version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.reclaim",
        };
        if !ground.group.join(presses).exists() {
            return Err(format!("no {presses} in {}", ground.group.display()));
        }
        Ground::enter(&ground.group).map_err(|error| error.to_string())?;
        if !had_swap {
            ground.swap = SwapFile::new().inspect_err(|why| println!("no swap file: {why}")).ok();
        }
        Ok(ground)
    }

    /// Whether private pages can go to swap.
    pub(crate) fn swaps(&self) -> bool {
        self.had_swap || self.swap.is_some()
    }

    /// Makes the kernel take pages away until the process keeps few, or none can be taken.
    pub(crate) fn press(&self) {
        // Either answers that it could not take all that was asked for; what it took counts.
        match self.version {
            Version::One => {
                let limit = self.group.join("memory.limit_in_bytes");
                let _ = fs::write(&limit, PRESSED_BYTES.to_string());
                fs::write(&limit, "-1").unwrap();
            }
            Version::Two => {
                let _ = fs::write(self.group.join("memory.reclaim"), (64 << 20).to_string());
            }
        }
    }

    fn enter(group: &Path) -> io::Result<()> {
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let swap = match (self.had_swap, &self.swap) {
            (true, _) => "swap of its own",
            (_, Some(_)) => "a swap file",
            _ => "no swap: clean pages are reclaimed, private ones stay",
        };
        write!(f, "a memory cgroup of version {:?} and {swap}", self.version)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let left = Self::enter(&self.parent).and_then(|()| fs::remove_dir(&self.group));
        if let Err(error) = left {
            println!("{} stays behind: {error}", self.group.display());
        }
    }
}

impl SwapFile {
    fn new() -> Result<Self, String> {
        let name = format!("faaslet-swap-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Written, as a swap file may have no holes.
        fs::write(&path, vec![0; SWAP_BYTES]).map_err(|error| error.to_string())?;
        let file = Self(path);
        for (program, mode) in [("chmod", Some("600")), ("mkswap", None), ("swapon", None)] {
            run(program, mode, &file.0)?;
        }
        Ok(file)
    }
}

impl Drop for SwapFile {
    fn drop(&mut self) {
        // Fails where `swapon` did.
        let _ = run("swapoff", None, &self.0);
        let _ = fs::remove_file(&self.0);
    }
}

fn run(program: &str, mode: Option<&str>, file: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").stdout(Stdio::null());
    let done = command.args(mode).arg(file).stderr(Stdio::null()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Memory of this process that is in swap.
pub(crate) fn swapped_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSwap:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
