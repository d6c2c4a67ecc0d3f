//! The seccomp filter: which system calls a jailed process may make, and with which arguments.
//!
//! Two filters are stacked, and the kernel takes the stricter answer of the two:
//!
//! ```text
//!  hostile   calls that only an attacker makes        → the process is killed
//!  allowed   calls that a cell needs, arguments as    → allowed
//!            far as they are numbers
//!            every other call                         → ENOSYS
//! ```
//!
//! Killing ends a successful attack at its first step, and the monitor hears of it. The rest is
//! answered with `ENOSYS`, as an old kernel would, because libraries probe for calls and fall back
//! on that answer alone (glibc from `clone3` to `clone`, whose flags, unlike those of `clone3`, a
//! filter can see).
//!
//! What a filter cannot see is memory: paths, and the `RESOLVE_BENEATH` of `openat2`. So that flag
//! is WASI's fence against functions, not what keeps native code within the folders of a cell:
//! absolute paths lead into the empty root, and `..` stops at a folder's own mount; see
//! [`crate::folder`]. Where the machine gives no empty root, no call that takes a path is allowed
//! at all.

mod allowed;
mod hostile;
mod text;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

pub use text::render;

/// What a jailed process is for. It decides what its filter allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs the functions of one tenant.
    Cell,
    /// Compiles and initialises modules; may make memory files for the images.
    Builder,
}

/// Which calls to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What the process is for.
    pub role: Role,
    /// Whether calls that take a path are allowed; only behind an empty root.
    pub files: bool,
}

/// Why the filter is not in place.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The tables do not compile, which is a fault of this program.
    #[error("the tables of system calls do not make a filter: {0}")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel refused the filter.
    #[error(
        "the kernel refused the filter: {0}; a kernel with CONFIG_SECCOMP_FILTER is needed, and \
         no tracer in the way"
    )]
    Install(#[source] seccompiler::Error),
}

/// A call, and the conditions under which it is meant.
#[derive(Debug)]
struct Call {
    name: &'static str,
    number: i64,
    /// Any of these; none at all means always.
    when: &'static [&'static [Test]],
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug)]
struct Test {
    argument: u8,
    name: &'static str,
    width: Width,
    is: Is,
}

/// How much of an argument the kernel looks at.
#[derive(Clone, Copy, Debug)]
enum Width {
    Int,
    Long,
}

#[derive(Clone, Copy, Debug)]
enum Is {
    Equal(u64),
    Masked { mask: u64, value: u64 },
    OwnProcess,
}

const fn call(name: &'static str, number: i64) -> Call {
    Call { name, number, when: &[] }
}

const fn call_if(name: &'static str, number: i64, when: &'static [&'static [Test]]) -> Call {
    Call { name, number, when }
}

const fn int(argument: u8, name: &'static str, is: Is) -> Test {
    Test { argument, name, width: Width::Int, is }
}

const fn long(argument: u8, name: &'static str, is: Is) -> Test {
    Test { argument, name, width: Width::Long, is }
}

/// Every call that `scope` allows.
fn allowed(scope: Scope) -> impl Iterator<Item = &'static Call> {
    let files: &[Call] = if scope.files { allowed::FILES } else { &[] };
    let role: &[Call] = match scope.role {
        Role::Cell => allowed::CELL,
        Role::Builder => allowed::BUILDER,
    };
    allowed::ALWAYS.iter().chain(files).chain(role)
}

/// Installs the filter for this thread and all that it will start. It can never be lifted.
pub(crate) fn install(scope: Scope, own_process: u32) -> Result<(), FilterError> {
    let hostile = compile(hostile::CALLS.iter(), own_process, Stance::Kill)?;
    let allowed = compile(allowed(scope), own_process, Stance::Allow)?;
    // The last one refuses to install more.
    apply_filter(&hostile).map_err(FilterError::Install)?;
    apply_filter(&allowed).map_err(FilterError::Install)
}

#[derive(Clone, Copy)]
enum Stance {
    Kill,
    Allow,
}

fn compile<'a>(
    calls: impl Iterator<Item = &'a Call>,
    own_process: u32,
    stance: Stance,
) -> Result<BpfProgram, FilterError> {
    let mut rules = BTreeMap::<i64, Vec<SeccompRule>>::new();
    for call in calls {
        let conditions = call.when.iter().map(|all| rule(all, own_process));
        let conditions = conditions.collect::<Result<Vec<_>, _>>().map_err(FilterError::Compile)?;
        rules.entry(call.number).or_default().extend(conditions);
    }
    let (otherwise, matching) = match stance {
        Stance::Kill => (SeccompAction::Allow, SeccompAction::KillProcess),
        Stance::Allow => (SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow),
    };
    SeccompFilter::new(rules, otherwise, matching, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(FilterError::Compile)
}

fn rule(tests: &[Test], own_process: u32) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = tests.iter().map(|test| {
        let width = match test.width {
            Width::Int => SeccompCmpArgLen::Dword,
            Width::Long => SeccompCmpArgLen::Qword,
        };
        let (operator, value) = match test.is {
            Is::Equal(value) => (SeccompCmpOp::Eq, value),
            Is::Masked { mask, value } => (SeccompCmpOp::MaskedEq(mask), value),
            Is::OwnProcess => (SeccompCmpOp::Eq, u64::from(own_process)),
        };
        SeccompCondition::new(test.argument, width, operator, value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
