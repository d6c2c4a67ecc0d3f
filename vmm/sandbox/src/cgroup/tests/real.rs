//! Groups of version 2 on the kernel's own file system, as far as this machine has it: on many the
//! trees of version 1 hold the controllers, and version 2 is mounted beside them with few or none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::{Cgroup, Cgroups, Controller, CreateError, Version, find};
use super::LIMITS;

/// Tests of this process that move it from group to group go one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The mounted tree, if this user may make groups in it.
fn tree() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let point = PathBuf::from(line.split(' ').nth(4)?);
    let usable = find::may_make_groups(&point);
    if !usable {
        println!("not tested: this user may not make groups in {}", point.display());
    }
    usable.then_some(point)
}

/// A folder of the tree, removed in the end; this process leaves it first.
struct Place(PathBuf);

impl Place {
    fn new(tree: &Path, name: &str) -> Self {
        let place = tree.join(format!("faaslet-test-{name}-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        Self(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let pid = std::process::id().to_string();
        let _ = fs::write(self.0.with_file_name("cgroup.procs"), pid);
        let _ = fs::remove_dir(self.0.join("faaslet-monitor"));
        let _ = fs::remove_dir(&self.0);
    }
}

/// A process that runs until it is dropped.
struct Running(Child);

impl Running {
    fn new() -> Self {
        let mut cat = Command::new("cat");
        Self(cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_group_holds_its_process_and_goes_when_it_is_empty() {
    let _alone = alone();
    let Some(tree) = tree() else { return };
    let place = Place::new(&tree, "holds");
    let groups = Cgroups::V2 { base: place.0.clone() };
    let folder = place.0.join("faaslet-g-1");
    fs::create_dir(&folder).unwrap();
    let folders = vec![(Controller::All, folder.clone())];
    let group = Cgroup { version: Version::Two, folders };
    let running = Running::new();
    group.add(running.0.id()).unwrap();
    let own = fs::read_to_string(format!("/proc/{}/cgroup", running.0.id())).unwrap();
    assert!(own.lines().any(|line| line.ends_with("/faaslet-g-1")), "{own}");
    assert_eq!(group.doors().unwrap().len(), 1);
    drop(group);
    assert!(folder.exists(), "a group in use stays");
    assert_eq!(groups.remove_empty("g-"), 0);
    drop(running);
    assert_eq!(groups.remove_empty("g-"), 1);
    assert!(!folder.exists());
}

#[test]
fn a_tree_without_the_controllers_is_an_error_that_leaves_nothing() {
    let _alone = alone();
    let Some(tree) = tree() else { return };
    let place = Place::new(&tree, "lacks");
    let offered = fs::read_to_string(place.0.join("cgroup.controllers")).unwrap();
    if offered.contains("memory") {
        println!("not tested: this tree has the controllers");
        return;
    }
    let error = Cgroups::V2 { base: place.0.clone() }.create("g", &LIMITS).unwrap_err();
    assert!(
        matches!(&error, CreateError::Write { path, .. } if path.ends_with("cgroup.subtree_control")),
        "{error}"
    );
    assert!(!place.0.join("faaslet-g").exists());
}

#[test]
fn the_monitor_moves_out_of_the_way_of_a_real_controller() {
    let _alone = alone();
    let Some(tree) = tree() else { return };
    let offered = fs::read_to_string(tree.join("cgroup.controllers")).unwrap();
    let Some(controller) = offered.split_whitespace().next() else {
        println!("not tested: version 2 has no controller here");
        return;
    };
    let given = tree.join("cgroup.subtree_control");
    let before = fs::read_to_string(&given).unwrap();
    fs::write(&given, format!("+{controller}")).unwrap();
    {
        let place = Place::new(&tree, "moves");
        let me = std::process::id().to_string();
        fs::write(place.0.join("cgroup.procs"), &me).unwrap();
        find::delegate(&place.0, &[controller]).unwrap();
        let listed = |file: &str| fs::read_to_string(place.0.join(file)).unwrap();
        assert!(listed("cgroup.subtree_control").contains(controller));
        assert!(listed("faaslet-monitor/cgroup.procs").lines().any(|pid| pid == me));
        assert_eq!(listed("cgroup.procs"), "");
        find::delegate(&place.0, &[controller]).unwrap();
        let off = format!("-{controller}");
        fs::write(place.0.join("cgroup.subtree_control"), off).unwrap();
    }
    if !before.contains(controller) {
        fs::write(&given, format!("-{controller}")).unwrap();
    }
}
