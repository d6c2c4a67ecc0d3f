//! Users, capabilities and the right to gain either.

use landlock::{
    Access, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Gid, Signal, Uid, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
    capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::{Fence, JailError, Missing, step};

/// A user and a group of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Runs `what` with no capability in effect. The kernel decides by who *opened* a file what some of
/// them show, for as long as they are open: the page map tells a privileged opener the physical
/// address of each page.
///
/// # Errors
/// When capabilities cannot be laid down, or not be taken up again.
pub fn without_capabilities<T>(what: impl FnOnce() -> T) -> Result<T, JailError> {
    let held = capabilities(None).map_err(step("read its capabilities"))?;
    let none = CapabilitySets { effective: CapabilitySet::empty(), ..held };
    set_capabilities(None, none).map_err(step("lay down its capabilities"))?;
    let result = what();
    set_capabilities(None, held).map_err(step("take up its capabilities"))?;
    Ok(result)
}

/// Leaves the process with no privilege and no way to gain one.
pub(super) fn drop_all(run_as: Option<Identity>) -> Result<(), JailError> {
    set_no_new_privs(true).map_err(step("forbid new privileges"))?;
    clear_bounding_set().map_err(step("empty the bounding set of capabilities"))?;
    if let Some(identity) = run_as {
        become_user(identity).map_err(step("change its user"))?;
    }
    clear_ambient_capability_set().map_err(step("empty the ambient set of capabilities"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(step("drop its capabilities"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("forbid core dumps"))
}

/// Needs a capability itself. A process without it has no capabilities to lose, and without new
/// privileges its bounding set bounds nothing.
fn clear_bounding_set() -> Result<(), Errno> {
    let held = capabilities(None)?.effective;
    if !held.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            Ok(true) => remove_capability_from_bounding_set(one)?,
            Ok(false) => {}
            // The kernel knows no capability of this number, nor of a higher one.
            Err(_) => break,
        }
    }
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
}

fn become_user(identity: Identity) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

pub(super) fn die_with_parent() -> Result<(), JailError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(step("ask to die with its parent"))
}

/// Network and signals, not files: a Landlock domain that handles files forbids renames between
/// folders, and folders are handed over later, when no rule can be added any more.
pub(super) fn restrict_by_landlock() -> Option<Missing> {
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(landlock::ABI::V6))
        .and_then(|rules| rules.scope(Scope::from_all(landlock::ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    let missing = |reason| Some(Missing { fence: Fence::Landlock, reason });
    match restricted {
        Ok(status) if status.ruleset == RulesetStatus::FullyEnforced => None,
        Ok(_) => missing(Errno::OPNOTSUPP),
        Err(_) => missing(Errno::NOSYS),
    }
}
