//! What a value is made as: its elements, how changes of two hosts are merged, how long it lasts.

use rkyv::{Archive, Deserialize, Serialize};

/// Largest value, in bytes; the quota of a value is at most this.
pub const MAX_VALUE_BYTES: u64 = 1 << 40;

/// What a value is an array of. An aligned element that is stored whole is never merged into a
/// mixture of two writers' bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of Rust's own types")]
pub enum Element {
    U8 = 1,
    U16 = 2,
    U32 = 3,
    U64 = 4,
    I8 = 5,
    I16 = 6,
    I32 = 7,
    I64 = 8,
    F32 = 9,
    F64 = 10,
}

impl Element {
    /// Every element, for tests and for the names on the command line.
    pub const ALL: [Self; 10] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
    ];

    /// Bytes of one element.
    pub const fn width(self) -> u64 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The element with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|element| *element as u8 == number)
    }

    const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// How a pushed change is merged into the owner's value.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
#[repr(u8)]
pub enum Rule {
    /// The element pushed takes the place of the owner's; the later push wins.
    Replace = 0,
    /// The difference since the base is added (wrapping for integers).
    Sum = 1,
    /// The smaller one stays.
    Min = 2,
    /// The larger one stays.
    Max = 3,
    /// Bitwise and.
    And = 4,
    /// Bitwise or.
    Or = 5,
    /// The bits that changed since the base are flipped.
    Xor = 6,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 7] =
        [Self::Replace, Self::Sum, Self::Min, Self::Max, Self::And, Self::Or, Self::Xor];

    /// The rule with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| *rule as u8 == number)
    }

    const fn is_bitwise(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor)
    }
}

/// What an acknowledged change survives.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
#[repr(u8)]
pub enum Durability {
    /// Everything but the loss of the owner's monitor, after which the value is lost and says so.
    #[default]
    Memory = 0,
    /// `kill -9` of every process and loss of power.
    Durable = 1,
}

/// Which versions an owner keeps beside the newest. A version goes when it is past both bounds.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct Retention {
    /// At least so many of the newest.
    pub versions: u32,
    /// And all that are younger than this, in seconds.
    pub age_s: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { versions: 8, age_s: 0 }
    }
}

/// See the module's documentation. A `Spec` that exists is valid.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct Spec {
    element: Element,
    rule: Rule,
    durability: Durability,
    retention: Retention,
    quota_bytes: u64,
}

/// Why a value cannot be made like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A bitwise rule over floats.
    #[error(
        "expected `and`, `or`, `xor` over integers; found {element:?}: choose an integer element"
    )]
    BitsOfFloats {
        /// The element asked for.
        element: Element,
    },
    /// Nothing, too much, or half an element.
    #[error(
        "expected a quota of 1 to {MAX_VALUE_BYTES} bytes in whole elements of {width}; found {found}"
    )]
    Quota {
        /// Bytes of an element.
        width: u64,
        /// The quota asked for, in bytes.
        found: u64,
    },
}

impl Spec {
    /// A value of `element`s merged by `rule`, at most `quota_bytes` long.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn new(
        element: Element,
        rule: Rule,
        durability: Durability,
        quota_bytes: u64,
    ) -> Result<Self, SpecError> {
        if rule.is_bitwise() && element.is_float() {
            return Err(SpecError::BitsOfFloats { element });
        }
        let width = element.width();
        if quota_bytes == 0 || quota_bytes > MAX_VALUE_BYTES || !quota_bytes.is_multiple_of(width) {
            return Err(SpecError::Quota { width, found: quota_bytes });
        }
        Ok(Self { element, rule, durability, retention: Retention::default(), quota_bytes })
    }

    /// The same, keeping other versions.
    #[must_use]
    pub fn retaining(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// The same, from another host: bytes that are a spec by their form need not be a valid one.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn checked(self) -> Result<Self, SpecError> {
        Self::new(self.element, self.rule, self.durability, self.quota_bytes)
            .map(|spec| spec.retaining(self.retention))
    }

    /// What it is an array of.
    pub const fn element(&self) -> Element {
        self.element
    }

    /// How changes are merged.
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// What an acknowledged change survives.
    pub const fn durability(&self) -> Durability {
        self.durability
    }

    /// Which old versions are kept.
    pub const fn retention(&self) -> Retention {
        self.retention
    }

    /// Largest length, in bytes.
    pub const fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }

    /// Whether a value may have this length: within the quota, and whole elements unless the rule
    /// is `replace`, for which a last partial element is merged byte by byte.
    pub const fn allows(&self, len: u64) -> bool {
        len <= self.quota_bytes
            && (matches!(self.rule, Rule::Replace) || len.is_multiple_of(self.element.width()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_merged_cannot_be_made() {
        for rule in Rule::ALL {
            for element in Element::ALL {
                let spec = Spec::new(element, rule, Durability::Memory, 64);
                assert_eq!(spec.is_err(), rule.is_bitwise() && element.is_float());
            }
        }
        for quota in [0, 7, MAX_VALUE_BYTES + 8] {
            assert!(Spec::new(Element::U64, Rule::Sum, Durability::Memory, quota).is_err());
        }
    }

    #[test]
    fn half_an_element_is_for_replace_alone() {
        let spec = |rule| Spec::new(Element::U32, rule, Durability::Memory, 64).unwrap();
        assert!(spec(Rule::Replace).allows(7) && !spec(Rule::Sum).allows(7));
        assert!(spec(Rule::Sum).allows(8) && !spec(Rule::Sum).allows(68));
    }
}
