//! Cgroups of processes, as the kernel tells them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Start of the names of groups that the program makes.
const PREFIX: &str = "faaslet-";
/// Where cgroups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";

/// Names of the groups that these processes are in.
pub(crate) fn of(processes: &BTreeSet<u32>) -> BTreeSet<String> {
    let texts =
        processes.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok());
    let names = |text: String| -> Vec<String> {
        let parts = text.lines().flat_map(|line| line.split('/'));
        parts.filter(|part| part.starts_with(PREFIX)).map(str::to_owned).collect()
    };
    texts.flat_map(names).collect()
}

/// The folders of groups of these names.
pub(crate) fn folders(names: &BTreeSet<String>) -> Vec<PathBuf> {
    let (mut found, mut look) = (Vec::new(), vec![PathBuf::from(MOUNTED)]);
    while let Some(folder) = look.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if names.contains(&*entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            } else {
                look.push(entry.path());
            }
        }
    }
    found
}
