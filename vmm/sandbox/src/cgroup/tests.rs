//! Groups on folders that look like the kernel's.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Cgroups, CreateError, Limits, V1Bases, find};

mod real;

const LIMITS: Limits = Limits {
    cpu_weight: Some(200),
    cpu_quota_millis: Some(1500),
    memory_max_bytes: Some(1 << 30),
    pids_max: Some(64),
};

/// A folder that looks like `/proc/self` to `find`, with control groups mounted beside.
fn machine(mountinfo: &str, own: &str, folders: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display().to_string();
    fs::write(folder.path().join("mountinfo"), mountinfo.replace('@', &at)).unwrap();
    fs::write(folder.path().join("cgroup"), own).unwrap();
    for name in folders {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    folder
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn version_2_is_preferred_and_found_beneath_its_mount() {
    let folder = machine(
        "30 1 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n31 1 0:27 / @/mem rw - cgroup cgroup rw,memory\n",
        "4:memory:/\n0::/service\n",
        &["v2/service", "mem"],
    );
    let base = folder.path().join("v2/service");
    fs::write(base.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
    assert_eq!(find::detect(folder.path()), Cgroups::V2 { base });
}

#[test]
fn version_1_is_used_when_version_2_has_no_controllers() {
    let folder = machine(
        "30 1 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n\
         31 1 0:27 / @/mem rw - cgroup cgroup rw,memory\n\
         32 1 0:28 /outer @/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
        "4:memory:/deep/down\n3:cpu,cpuacct:/outer/inner\n0::/\n",
        &["v2", "mem/deep/down", "cpu/inner"],
    );
    fs::write(folder.path().join("v2/cgroup.controllers"), "hugetlb\n").unwrap();
    let bases = V1Bases {
        cpu: Some(folder.path().join("cpu/inner")),
        memory: Some(folder.path().join("mem/deep/down")),
        pids: None,
    };
    assert_eq!(find::detect(folder.path()), Cgroups::V1 { bases });
}

#[test]
fn a_machine_without_control_groups_says_so() {
    let folder = machine("", "", &[]);
    let none = find::detect(folder.path());
    assert!(matches!(&none, Cgroups::None { reason } if reason.contains("mounted")), "{none:?}");
    let error = none.create("a", &LIMITS).unwrap_err();
    assert!(matches!(error, CreateError::Unavailable { .. }), "{error}");
}

#[test]
fn what_version_2_lacks_is_named() {
    let mounts = "30 1 0:26 / @/v2 rw - cgroup2 cgroup2 rw\n";
    let folder = machine(mounts, "0::/\n", &["v2"]);
    fs::write(folder.path().join("v2/cgroup.controllers"), "cpu hugetlb\n").unwrap();
    let none = find::detect(folder.path());
    let named = |reason: &str| reason.contains("has no memory, pids:");
    assert!(matches!(&none, Cgroups::None { reason } if named(reason)), "{none:?}");
}

#[test]
fn version_2_files_get_version_2_values() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().to_owned();
    fs::write(base.join("cgroup.subtree_control"), "cpu memory pids").unwrap();
    let group = Cgroups::V2 { base: base.clone() }.create("t", &LIMITS).unwrap();
    let at = base.join("faaslet-t");
    assert_eq!(read(&at.join("cpu.weight")), "200");
    assert_eq!(read(&at.join("cpu.max")), "150000 100000");
    assert_eq!(read(&at.join("memory.max")), "1073741824");
    assert_eq!(read(&at.join("pids.max")), "64");
    group.limit(&Limits::default()).unwrap();
    assert_eq!(read(&at.join("cpu.max")), "max 100000");
    assert_eq!(read(&at.join("memory.max")), "max");
    fs::write(at.join("memory.events"), "low 0\noom 5\noom_kill 3\n").unwrap();
    assert_eq!(group.memory_kills(), 3);
}

#[test]
fn version_2_delegation_moves_the_monitor_out_of_the_way() {
    // The control file is a folder's name that cannot be written, so the first try fails.
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    fs::create_dir(base.join("cgroup.subtree_control")).unwrap();
    assert!(find::delegate(base, &find::V2_CONTROLLERS).is_err());
    let moved = read(&base.join("faaslet-monitor/cgroup.procs"));
    assert_eq!(moved, std::process::id().to_string());
}

#[test]
fn version_1_files_get_version_1_values() {
    let folder = tempfile::tempdir().unwrap();
    let base = |name: &str| {
        let base = folder.path().join(name);
        fs::create_dir(&base).unwrap();
        Some(base)
    };
    let bases = V1Bases { cpu: base("cpu"), memory: base("memory"), pids: base("pids") };
    let _group = Cgroups::V1 { bases }.create("t", &LIMITS).unwrap();
    let at = |name: &str| read(&folder.path().join(name));
    assert_eq!(at("cpu/faaslet-t/cpu.shares"), "2048");
    assert_eq!(at("cpu/faaslet-t/cpu.cfs_quota_us"), "150000");
    assert_eq!(at("memory/faaslet-t/memory.limit_in_bytes"), "1073741824");
    assert_eq!(at("pids/faaslet-t/pids.max"), "64");
}

#[test]
fn empty_groups_of_one_owner_are_removed_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // A folder that is not empty stands for a group with processes: neither can be removed.
    for name in ["faaslet-a-1", "faaslet-a-busy/x", "faaslet-ab-1", "faaslet-b-1", "a-1"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    let groups = Cgroups::V2 { base: folder.path().to_owned() };
    assert_eq!(groups.remove_empty("a-"), 1);
    assert!(!at("faaslet-a-1").exists());
    for name in ["faaslet-a-busy", "faaslet-ab-1", "faaslet-b-1", "a-1"] {
        assert!(at(name).exists(), "{name}");
    }
}

#[test]
fn names_that_are_no_folder_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bases = V1Bases { cpu: Some(folder.path().to_owned()), ..V1Bases::default() };
    let groups = Cgroups::V1 { bases };
    for name in ["", "a/b", "..\0", "a b", &"x".repeat(65)] {
        let error = groups.create(name, &LIMITS).unwrap_err();
        assert!(matches!(error, CreateError::Name { .. }), "{name:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
