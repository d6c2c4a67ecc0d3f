//! Elements as numbers: one small trait, so that each loop is compiled for each type.

use crate::spec::Rule;

/// An element of a value.
pub(super) trait Number: Copy {
    const WIDTH: usize;
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn least(self, other: Self) -> Self;
    fn most(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// Whether `copy` is another element than `self`, the base.
    fn is_replaced(self, copy: Self) -> bool;
    /// Whether there is something to add to `self`, the base, to come to `copy`.
    fn is_increased(self, copy: Self) -> bool;
}

/// `new` merged into `old`.
#[inline]
pub(super) fn merged<N: Number>(rule: Rule, old: N, new: N) -> N {
    match rule {
        Rule::Replace => new,
        Rule::Sum => old.plus(new),
        Rule::Min => old.least(new),
        Rule::Max => old.most(new),
        Rule::And => old.and(new),
        Rule::Or => old.or(new),
        Rule::Xor => old.xor(new),
    }
}

macro_rules! bytes {
    () => {
        const WIDTH: usize = size_of::<Self>();
        #[inline]
        fn read(bytes: &[u8]) -> Self {
            let mut array = [0; size_of::<Self>()];
            array.copy_from_slice(bytes);
            Self::from_le_bytes(array)
        }
        #[inline]
        fn write(self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.to_le_bytes());
        }
    };
}

macro_rules! integers {
    ($($number:ident as $unsigned:ident),*) => {$(
        impl Number for $number {
            bytes!();
            #[inline]
            fn bits(self) -> u64 { self as $unsigned as u64 }
            #[inline]
            fn from_bits(bits: u64) -> Self { bits as Self }
            #[inline]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline]
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline]
            fn least(self, other: Self) -> Self { self.min(other) }
            #[inline]
            fn most(self, other: Self) -> Self { self.max(other) }
            #[inline]
            fn and(self, other: Self) -> Self { self & other }
            #[inline]
            fn or(self, other: Self) -> Self { self | other }
            #[inline]
            fn xor(self, other: Self) -> Self { self ^ other }
            #[inline]
            fn is_replaced(self, copy: Self) -> bool { self != copy }
            #[inline]
            fn is_increased(self, copy: Self) -> bool { self != copy }
        }
    )*};
}

macro_rules! floats {
    ($($number:ident as $unsigned:ident),*) => {$(
        impl Number for $number {
            bytes!();
            #[inline]
            fn bits(self) -> u64 { self.to_bits() as u64 }
            #[inline]
            fn from_bits(bits: u64) -> Self { Self::from_bits(bits as $unsigned) }
            #[inline]
            fn plus(self, other: Self) -> Self { self + other }
            #[inline]
            fn minus(self, other: Self) -> Self { self - other }
            #[inline]
            fn least(self, other: Self) -> Self {
                let less = other.total_cmp(&self).is_lt() && !other.is_nan();
                if self.is_nan() || less { other } else { self }
            }
            #[inline]
            fn most(self, other: Self) -> Self {
                let more = other.total_cmp(&self).is_gt() && !other.is_nan();
                if self.is_nan() || more { other } else { self }
            }
            // A spec of floats has no bitwise rule.
            #[inline]
            fn and(self, _: Self) -> Self { self }
            #[inline]
            fn or(self, _: Self) -> Self { self }
            #[inline]
            fn xor(self, _: Self) -> Self { self }
            #[inline]
            fn is_replaced(self, copy: Self) -> bool { self.to_bits() != copy.to_bits() }
            #[inline]
            #[allow(clippy::float_cmp, reason = "equal is what adds nothing")]
            fn is_increased(self, copy: Self) -> bool { !self.is_nan() && self != copy }
        }
    )*};
}

integers!(u8 as u8, u16 as u16, u32 as u32, u64 as u64);
integers!(i8 as u8, i16 as u16, i32 as u32, i64 as u64);
floats!(f32 as u32, f64 as u64);

/// Compiles a call for the type of an element.
macro_rules! with_number {
    ($element:expr, $N:ident => $body:expr) => {{
        use crate::spec::Element;
        macro_rules! body {
            ($number:ident) => {{
                type $N = $number;
                $body
            }};
        }
        match $element {
            Element::U8 => body!(u8),
            Element::U16 => body!(u16),
            Element::U32 => body!(u32),
            Element::U64 => body!(u64),
            Element::I8 => body!(i8),
            Element::I16 => body!(i16),
            Element::I32 => body!(i32),
            Element::I64 => body!(i64),
            Element::F32 => body!(f32),
            Element::F64 => body!(f64),
        }
    }};
}
pub(super) use with_number;
