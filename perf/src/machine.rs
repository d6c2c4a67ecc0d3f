//! What the figures were taken on, and what the kernel says about a process.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::{SysconfVar, sysconf};

/// Memory of a process, as the kernel accounts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Proportional set size, in KiB.
    pub(crate) pss_kib: u64,
    /// Resident set size, in KiB.
    pub(crate) rss_kib: u64,
    /// Page tables, in KiB.
    pub(crate) tables_kib: u64,
    /// Mappings.
    pub(crate) mappings: u64,
}

impl Memory {
    /// Of this process.
    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// Of process `pid`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (rollup, status) = (read("smaps_rollup")?, read("status")?);
        Ok(Self {
            pss_kib: field(&rollup, "Pss:")?,
            rss_kib: field(&rollup, "Rss:")?,
            tables_kib: field(&status, "VmPTE:")?,
            mappings: read("maps")?.lines().count() as u64,
        })
    }
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find(|line| line.starts_with(name));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.and_then(|word| word.parse().ok()).with_context(|| format!("no {name} in /proc"))
}

/// Processes that `pid` started.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    all
}

/// Time that all cores together were busy since the machine started, or taken by its host.
pub(crate) fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let sum: u64 = [0, 1, 2, 7].iter().filter_map(|at| ticks.get(*at)).sum();
    let a_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as u64;
    Ok(Duration::from_millis(sum * 1000 / a_second.max(1)))
}

/// Time that this thread has waited for a core that it could have used.
pub(crate) fn queued() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// Time on a core of a thread of process `pid`, by the thread's name.
pub(crate) fn thread_time(pid: u32, name: &str) -> Result<Duration> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            let stat = read("schedstat");
            let spent = stat.split_whitespace().next().and_then(|word| word.parse().ok());
            return Ok(Duration::from_nanos(spent.context("no schedstat of a thread")?));
        }
    }
    bail!("process {pid} has no thread {name}")
}

/// Threads that wanted a core, over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Words and what they are, for the head of the table.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = file("/proc/cpuinfo");
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown");
    let memory = field(&file("/proc/meminfo"), "MemTotal:").unwrap_or_default();
    vec![
        ("processor", format!("{model}, {} cores", cores())),
        ("memory", format!("{:.1} GiB", memory as f64 / f64::from(1 << 20))),
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("transparent huge pages", file("/sys/kernel/mm/transparent_hugepage/enabled")),
        ("faaslet", said("git", &["rev-parse", "--short=12", "HEAD"])),
        ("rustc", said("rustc", &["--version"])),
        ("wasmtime", wasmtime()),
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ]
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(crate::results::home()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".into())
}

/// The version in the lock file.
fn wasmtime() -> String {
    let lock = fs::read_to_string(crate::results::home().join("../Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"wasmtime\"");
    let version = lines.nth(1).and_then(|line| line.split('"').nth(1));
    version.unwrap_or("unknown").to_owned()
}
