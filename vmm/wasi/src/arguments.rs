//! Checks of arguments that are a number or bits of the standard. A bad one is a trap.

use crate::abi::{LOOKUP_SYMLINK_FOLLOW, rights};
use crate::memory::Trap;

/// `value`, if the standard has that number.
pub(crate) fn number_up_to(what: &'static str, value: u32, max: u8) -> Result<u8, Trap> {
    let number = u8::try_from(value).ok().filter(|&number| number <= max);
    number.ok_or(Trap::Argument { what, value: u64::from(value) })
}

/// `value`, if none but `known` bits are set.
pub(crate) fn bits(what: &'static str, value: u32, known: u16) -> Result<u16, Trap> {
    let flags = u16::try_from(value).ok().filter(|&flags| flags & !known == 0);
    flags.ok_or(Trap::Argument { what, value: u64::from(value) })
}

/// `lookupflags` has one bit: whether a symbolic link at the end of the path is followed.
pub(crate) fn follows(flags: u32) -> Result<bool, Trap> {
    match flags {
        0 => Ok(false),
        LOOKUP_SYMLINK_FOLLOW => Ok(true),
        _ => Err(Trap::Argument { what: "lookupflags", value: u64::from(flags) }),
    }
}

/// Both kinds of `rights`.
pub(crate) fn known_rights(base: u64, inheriting: u64) -> Result<(), Trap> {
    match [base, inheriting].into_iter().find(|it| it & !rights::ALL != 0) {
        Some(value) => Err(Trap::Argument { what: "rights", value }),
        None => Ok(()),
    }
}
