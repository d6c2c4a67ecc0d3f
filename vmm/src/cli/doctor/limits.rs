//! Limits of the system and the process, the clock, and room on the disk.

use std::path::Path;

use super::{Check, read};
use crate::monitor::Config;

/// Descriptors: an image and an artefact for each function, a connection for each client.
const MIN_OPEN_FILES: u64 = 4096;
/// Mappings of a slot.
const MAPPINGS_PER_SLOT: u64 = 6;
/// Mappings of everything else in a cell.
const OTHER_MAPPINGS: u64 = 2000;
/// Room on the disk below which a deployment may fail.
const MIN_FREE_BYTES: u64 = 2 << 30;
/// Clock sources that are read without a system call, or nearly so.
const GOOD_CLOCKS: [&str; 4] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

pub fn checks(folder: &Path) -> Vec<Check> {
    vec![open_files(), mappings(), overcommit(), clock(), low_latency(), disk(folder)]
}

/// The soft and the hard limit of a line of `/proc/self/limits`.
fn limit(limits: &str, name: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = line.split_whitespace();
    let mut value = || match values.next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some((value()?, value()?))
}

fn open_files() -> Check {
    let limits = read("/proc/self/limits").unwrap_or_default();
    let state = match limit(&limits, "Max open files") {
        Some((soft, hard)) if soft >= MIN_OPEN_FILES => Ok(format!("{soft}, at most {hard}")),
        Some((soft, hard)) => Err(format!("{soft}, at most {hard}; expected {MIN_OPEN_FILES}")),
        None => Err("cannot be read".to_owned()),
    };
    Check::new(
        "open files",
        state,
        "fewer functions and clients at the same time",
        &format!("ulimit -n {MIN_OPEN_FILES}, or LimitNOFILE={MIN_OPEN_FILES} in the service"),
    )
}

fn mappings() -> Check {
    let config = Config::new(std::path::PathBuf::new());
    let slots = (config.workers * config.slots) as u64;
    let wanted = slots * MAPPINGS_PER_SLOT + OTHER_MAPPINGS;
    let found = read("/proc/sys/vm/max_map_count")
        .and_then(|text| text.parse::<u64>().map_err(|error| error.to_string()));
    let state = match found {
        Ok(found) if found >= wanted => Ok(found.to_string()),
        Ok(found) => Err(format!("{found}, expected {wanted} for {slots} slots")),
        Err(error) => Err(error),
    };
    Check::new(
        "mappings",
        state,
        "a cell cannot have all its slots in use at the same time",
        &format!("sysctl -w vm.max_map_count={wanted}, or fewer --slots"),
    )
}

fn overcommit() -> Check {
    let state = match read("/proc/sys/vm/overcommit_memory").as_deref() {
        Ok("2") => Err("2: every reservation counts".to_owned()),
        Ok(mode) => Ok(mode.to_owned()),
        Err(error) => Err(error.clone()),
    };
    Check::new(
        "memory overcommit",
        state,
        "memory that no call uses counts against the limit, so fewer slots fit",
        "sysctl -w vm.overcommit_memory=0",
    )
}

fn clock() -> Check {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let state = read(path).and_then(|source| match GOOD_CLOCKS.contains(&source.as_str()) {
        true => Ok(source),
        false => Err(source),
    });
    Check::new(
        "clock source",
        state,
        "reading the time costs a system call: about a microsecond for each call",
        "boot with clocksource=tsc, if the machine's counter is steady",
    )
}

fn low_latency() -> Check {
    let path = Path::new("/dev/cpu_dma_latency");
    let state = match std::fs::OpenOptions::new().write(true).open(path) {
        Ok(_) => Ok("can be held".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Check::new(
        "cpu_dma_latency",
        state,
        "`up --low-latency` cannot keep the processor awake",
        "run as root, or give the user write access to /dev/cpu_dma_latency",
    )
}

fn disk(folder: &Path) -> Check {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let state = rustix::fs::statvfs(there).map_err(|error| error.to_string()).and_then(|disk| {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let text = format!("{} free at {}", super::super::output::bytes(free), there.display());
        if free >= MIN_FREE_BYTES { Ok(text) } else { Err(text) }
    });
    Check::new(
        "disk",
        state,
        "deployments may find no room",
        "`faaslet gc`, or a folder on another disk with --dir",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_from_its_line() {
        let limits = "Limit   Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 unlimited            files\n";
        assert_eq!(limit(limits, "Max open files"), Some((1024, u64::MAX)));
        assert_eq!(limit(limits, "Max nothing"), None);
    }
}
