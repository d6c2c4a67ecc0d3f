//! What this machine can do for the jail, for `doctor` and for the log. It changes nothing.

use crate::cgroup::{self, Cgroups};
use crate::namespace::Namespace;
use crate::sys;

/// One thing that a machine has or lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub present: bool,
    /// More about it: a version, or why it is missing.
    pub detail: String,
    /// What is lost without it.
    pub loss: &'static str,
    /// What mends it.
    pub mend: &'static str,
}

/// Everything that the jail builds on, in the order in which it matters.
pub fn detect() -> Vec<Fact> {
    let mut facts = vec![filter(), no_new_privileges()];
    facts.extend(namespaces());
    facts.extend([folders(), cgroups(&cgroup::detect()), landlock()]);
    facts
}

fn fact(name: &str, state: Result<String, String>, loss: &'static str, mend: &'static str) -> Fact {
    let present = state.is_ok();
    let detail = state.unwrap_or_else(|why| why);
    Fact { name: name.to_owned(), present, detail, loss, mend }
}

fn filter() -> Fact {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let state = match actions {
        Ok(actions) if actions.contains("kill_process") => Ok("kill_process".to_owned()),
        Ok(actions) => Err(format!("only {}", actions.trim())),
        Err(e) => Err(format!("cannot read seccomp/actions_avail: {e}")),
    };
    fact(
        "seccomp filter",
        state,
        "no cell starts",
        "use a kernel of version 4.14 or newer with CONFIG_SECCOMP_FILTER",
    )
}

fn no_new_privileges() -> Fact {
    let state = rustix::thread::no_new_privs().map(|_| String::new()).map_err(|e| e.to_string());
    fact("no_new_privs", state, "no cell starts", "use a kernel of version 3.5 or newer")
}

fn namespaces() -> impl Iterator<Item = Fact> {
    let all = Namespace::ENTERED.into_iter().chain([Namespace::Pid]);
    all.map(|namespace| {
        let user = Namespace::User.clone_bits();
        let bits = namespace.clone_bits();
        let state = match sys::try_clone(bits) {
            Ok(()) => Ok("as this user".to_owned()),
            Err(_) => sys::try_clone(bits | user)
                .map(|()| "through a user namespace".to_owned())
                .map_err(|e| e.to_string()),
        };
        fact(
            &format!("{namespace} namespace"),
            state,
            namespace.loss(),
            "run as root, or allow unprivileged user namespaces (user.max_user_namespaces)",
        )
    })
}

fn folders() -> Fact {
    let probe = crate::folder::detach(std::path::Path::new("/"), crate::folder::Access::ReadOnly);
    fact(
        "detached mounts",
        probe.map(|_| String::new()).map_err(|e| e.to_string()),
        "no folder of the host can be granted to a tenant",
        "run the monitor as root on Linux 5.12 or newer",
    )
}

fn cgroups(found: &Cgroups) -> Fact {
    let state = match found {
        Cgroups::V2 { base } => Ok(format!("version 2 beneath {}", base.display())),
        Cgroups::V1 { bases } => {
            let lacking: Vec<&str> =
                [("cpu", &bases.cpu), ("memory", &bases.memory), ("pids", &bases.pids)]
                    .into_iter()
                    .filter_map(|(name, base)| base.is_none().then_some(name))
                    .collect();
            match lacking.as_slice() {
                [] => Ok("version 1".to_owned()),
                _ => Err(format!("version 1 without {}", lacking.join(", "))),
            }
        }
        Cgroups::None { reason } => Err(reason.clone()),
    };
    fact(
        "control groups",
        state,
        "tenants' shares of processor and memory are not enforced",
        "run as root, or as a systemd service with Delegate=yes",
    )
}

fn landlock() -> Fact {
    let version = sys::landlock_version();
    let state = match version {
        Ok(version @ 6..) => Ok(format!("version {version}")),
        Ok(version) => Err(format!("version {version}, which knows no signals: 6 is needed")),
        Err(e) => Err(e.to_string()),
    };
    fact(
        "landlock",
        state,
        crate::jail::Fence::Landlock.loss(),
        "use Linux 6.12 or newer with landlock among the security modules (lsm=)",
    )
}
