//! A monitor whose own root is of another kind than this machine's: both ways in which the jail
//! empties a root run on every machine, and so does its refusal.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use faaslet_sandbox::spawn;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, unmount,
};
use rustix::process::{chdir, chroot, pivot_root};

use crate::parts::spec;

/// Starts a child from a root made in `folder`, says what the child says, and what is in its root.
///
/// - `detachable`: a file system that `pivot_root` takes away.
/// - `held`: a mount that it refuses to take away, since the mount around it is shared with others.
/// - `folder`: no mount at all, but a folder of one that is shared: nothing can be mounted over it
///   without others seeing it, so there is no empty root.
pub(crate) fn monitor(kind: &str, folder: &str) -> ExitCode {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    mount("none", folder, "tmpfs", MountFlags::empty(), None).unwrap();
    let inner = Path::new(folder).join("inner");
    fs::create_dir(&inner).unwrap();
    match kind {
        "detachable" => {
            furnish(Path::new(folder));
            chdir(folder).unwrap();
            pivot_root(".", ".").unwrap();
            unmount(".", UnmountFlags::DETACH).unwrap();
        }
        "held" | "folder" => {
            mount_change(folder, MountPropagationFlags::SHARED).unwrap();
            if kind == "held" {
                mount_bind(&inner, &inner).unwrap();
            }
            furnish(&inner);
            chdir(&inner).unwrap();
            chroot(".").unwrap();
        }
        other => panic!("no root called {other}"),
    }
    chdir("/").unwrap();
    let child = spawn(&spec("__jailed", &[])).unwrap();
    let state = child.socket().unwrap().recv().unwrap();
    let names = fs::read_dir(format!("/proc/{}/root/", child.pid())).unwrap().count();
    println!("{} names={names}", String::from_utf8(state.bytes).unwrap());
    ExitCode::SUCCESS
}

/// All that lies in this root, beneath a new one.
fn furnish(root: &Path) {
    for entry in fs::read_dir("/").unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), root.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else if kind.is_dir() {
            fs::create_dir(&to).unwrap();
            mount_bind_recursive(&from, &to).unwrap();
        }
    }
}
