//! Finding the control groups of this machine, and this process's own place among them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Cgroups, CreateError, V1Bases, make_folder, write};

/// What a group of version 2 must be able to limit.
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Where the monitor moves itself before it shares its group out: in version 2 only groups
/// without processes may have children with controllers.
const MONITOR_GROUP: &str = "faaslet-monitor";

/// `process` is `/proc/self`, or what a test made to look like it.
pub(super) fn detect(process: &Path) -> Cgroups {
    let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
    let mounts: Vec<Mount> = read("mountinfo").lines().filter_map(Mount::parse).collect();
    let own = Own::parse(&read("cgroup"));
    if let Some(base) = v2_base(&mounts, &own) {
        return Cgroups::V2 { base };
    }
    let base = |controller: &str| v1_base(&mounts, &own, controller);
    let bases = V1Bases { cpu: base("cpu"), memory: base("memory"), pids: base("pids") };
    if bases != V1Bases::default() {
        return Cgroups::V1 { bases };
    }
    let reason = if mounts.is_empty() {
        "no control group file system is mounted".to_owned()
    } else {
        "this process may not make groups beneath its own; run as root, or as a service with \
         Delegate=yes"
            .to_owned()
    };
    Cgroups::None { reason }
}

/// Makes the controllers of a version 2 group available to groups beneath it.
pub(super) fn delegate(base: &Path) -> Result<(), CreateError> {
    let control = base.join("cgroup.subtree_control");
    let given = fs::read_to_string(&control).unwrap_or_default();
    if V2_CONTROLLERS.iter().all(|c| given.split_whitespace().any(|g| g == *c)) {
        return Ok(());
    }
    let wanted = V2_CONTROLLERS.map(|c| format!("+{c}")).join(" ");
    if write(&control, &wanted).is_ok() {
        return Ok(());
    }
    let monitor = base.join(MONITOR_GROUP);
    make_folder(&monitor)?;
    write(&monitor.join("cgroup.procs"), &std::process::id().to_string())?;
    write(&control, &wanted)
}

fn v2_base(mounts: &[Mount], own: &Own) -> Option<PathBuf> {
    let mount = mounts.iter().find(|m| m.kind == "cgroup2")?;
    let base = mount.place(own.of("")?)?;
    let offered = fs::read_to_string(base.join("cgroup.controllers")).ok()?;
    let has = |c: &&str| offered.split_whitespace().any(|o| o == *c);
    (V2_CONTROLLERS.iter().all(has) && may_make_groups(&base)).then_some(base)
}

fn v1_base(mounts: &[Mount], own: &Own, controller: &str) -> Option<PathBuf> {
    let holds = |m: &&Mount| m.kind == "cgroup" && m.options.split(',').any(|o| o == controller);
    let base = mounts.iter().find(holds)?.place(own.of(controller)?)?;
    may_make_groups(&base).then_some(base)
}

fn may_make_groups(base: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(base, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// A line of `mountinfo` that is about control groups.
struct Mount {
    /// Which group is at `point`.
    root: PathBuf,
    point: PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let kind = after.next()?.to_owned();
        let options = after.nth(1)?.to_owned();
        kind.starts_with("cgroup").then(|| Self {
            root: root.into(),
            point: point.into(),
            kind,
            options,
        })
    }

    /// Where the group named `group` is to be found.
    fn place(&self, group: &str) -> Option<PathBuf> {
        let beneath = Path::new(group).strip_prefix(&self.root).ok()?;
        let place = self.point.join(beneath);
        place.is_dir().then_some(place)
    }
}

/// This process's groups: controllers, and the group in each tree.
struct Own(Vec<(String, String)>);

impl Own {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The group in the tree of `controller`; an empty name stands for version 2.
    fn of(&self, controller: &str) -> Option<&str> {
        let holds = |names: &str| names.split(',').any(|name| name == controller);
        self.0.iter().find(|(names, _)| holds(names)).map(|(_, group)| group.as_str())
    }
}
