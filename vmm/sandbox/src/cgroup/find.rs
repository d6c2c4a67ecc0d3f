//! Finding the control groups of this machine, and this process's own place among them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Cgroups, CreateError, V1Bases, make_folder, write};

/// What a group of version 2 must be able to limit.
pub(super) const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Where the monitor moves itself before it shares its group out: in version 2 only groups
/// without processes may have children with controllers.
const MONITOR_GROUP: &str = "faaslet-monitor";

/// `process` is `/proc/self`, or what a test made to look like it.
pub(super) fn detect(process: &Path) -> Cgroups {
    let read = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
    let mounts: Vec<Mount> = read("mountinfo").lines().filter_map(Mount::parse).collect();
    let own = Own::parse(&read("cgroup"));
    let version_2 = v2_base(&mounts, &own);
    if let Ok(base) = version_2 {
        return Cgroups::V2 { base };
    }
    let base = |controller: &str| v1_base(&mounts, &own, controller);
    let bases = V1Bases { cpu: base("cpu"), memory: base("memory"), pids: base("pids") };
    if bases != V1Bases::default() {
        return Cgroups::V1 { bases };
    }
    let reason = match version_2 {
        Err(reason) if !mounts.is_empty() => reason,
        _ => "no control group file system is mounted".to_owned(),
    };
    Cgroups::None { reason }
}

/// Makes controllers of a version 2 group available to groups beneath it.
pub(super) fn delegate(base: &Path, controllers: &[&str]) -> Result<(), CreateError> {
    let control = base.join("cgroup.subtree_control");
    if lacking(&control, controllers).is_empty() {
        return Ok(());
    }
    let wanted: Vec<String> = controllers.iter().map(|c| format!("+{c}")).collect();
    let wanted = wanted.join(" ");
    if write(&control, &wanted).is_ok() {
        return Ok(());
    }
    let monitor = base.join(MONITOR_GROUP);
    make_folder(&monitor)?;
    write(&monitor.join("cgroup.procs"), &std::process::id().to_string())?;
    write(&control, &wanted)
}

/// Which controllers a file of a version 2 group does not list.
fn lacking<'a>(file: &Path, controllers: &[&'a str]) -> Vec<&'a str> {
    let listed = fs::read_to_string(file).unwrap_or_default();
    let has = |c: &str| listed.split_whitespace().any(|l| l == c);
    controllers.iter().copied().filter(|c| !has(c)).collect()
}

fn v2_base(mounts: &[Mount], own: &Own) -> Result<PathBuf, String> {
    let mount = mounts.iter().find(|m| m.kind == "cgroup2");
    let place = mount.and_then(|mount| mount.place(own.of("")?));
    let base = place.ok_or("this process's own group is in no tree that is mounted")?;
    let lacking = lacking(&base.join("cgroup.controllers"), &V2_CONTROLLERS);
    if !lacking.is_empty() {
        let (base, lacking) = (base.display(), lacking.join(", "));
        return Err(format!(
            "version 2 at {base} has no {lacking}: a tree of version 1 or the group above keeps it"
        ));
    }
    if !may_make_groups(&base) {
        return Err(format!("this user may not make groups in {}", base.display()));
    }
    Ok(base)
}

fn v1_base(mounts: &[Mount], own: &Own, controller: &str) -> Option<PathBuf> {
    let holds = |m: &&Mount| m.kind == "cgroup" && m.options.split(',').any(|o| o == controller);
    let base = mounts.iter().find(holds)?.place(own.of(controller)?)?;
    may_make_groups(&base).then_some(base)
}

pub(super) fn may_make_groups(base: &Path) -> bool {
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
