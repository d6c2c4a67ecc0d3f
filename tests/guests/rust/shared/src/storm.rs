//! Stores to a mapped value that never stop while others push it. Elements go up in steps by their
//! rule; the bytes of one are all the same, or a float is a whole number, so that a mixture of two
//! steps can be told.

use std::ops::Range;

use faaslet::state::{Element, Mapped, Rule, StateError, Vector};

/// Steps that an element goes through.
const STEPS: u8 = 100;

/// An element that can be stored by steps.
pub(crate) trait Stepped: Element {
    fn of(number: u8) -> Self;
}

macro_rules! stepped {
    ($($int:ty)*, $($float:ty)*) => {
        $(impl Stepped for $int {
            fn of(number: u8) -> Self {
                Self::from_le_bytes([number; size_of::<Self>()])
            }
        })*
        $(impl Stepped for $float {
            fn of(number: u8) -> Self {
                number.into()
            }
        })*
    };
}
stepped!(u8 u16 u32 u64 i8 i16 i32 i64, f32 f64);

/// Words that all share: the first is not 0 when it is over, those of writers once they store.
fn words(key: &str) -> Result<Mapped<u32>, StateError> {
    Vector::existing(&format!("{key}/words"))?.map()
}

fn number(rule: Rule, step: u8) -> u8 {
    match rule {
        Rule::Min => STEPS - step,
        Rule::And => 0xff << (step / 15),
        Rule::Or => !(0xff << (step / 15)),
        _ => step,
    }
}

/// Stores to the elements of a range until it is over; the last step of each.
pub(crate) fn store<T: Stepped>(
    key: &str,
    rule: Rule,
    range: Range<usize>,
    writer: usize,
    seed: u64,
) -> Result<Vec<u8>, StateError> {
    let count = range.len();
    let value = Vector::<T>::existing(key)?.map_range(range.start, count)?;
    let words = words(key)?;
    let mut steps = vec![0; count];
    let mut random = seed | 1;
    while words.get(0) == 0 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Now here and there, now one after the other.
        let first = random as usize % count;
        let run = if random % 11 == 0 { 512 } else { 1 };
        for at in first..(first + run).min(count) {
            steps[at] = STEPS.min(steps[at] + 1);
            value.set(at, T::of(number(rule, steps[at])));
        }
        words.set(1 + writer, 1);
    }
    Ok(steps)
}

/// Pushes so often, counted from when all writers store, then says that it is over.
pub(crate) fn push<T: Stepped>(key: &str, times: u32) -> Result<(), StateError> {
    let value = Vector::<T>::existing(key)?;
    let words = words(key)?;
    let mut pushed = 0;
    while pushed < times {
        value.push()?;
        pushed += u32::from(words.iter().skip(1).all(|word| word != 0));
    }
    words.set(0, 1);
    Ok(())
}

/// The rule of a name.
pub(crate) fn rule(name: &str) -> Option<Rule> {
    Some(match name {
        "replace" => Rule::Replace,
        "sum" => Rule::Sum,
        "min" => Rule::Min,
        "max" => Rule::Max,
        "and" => Rule::And,
        "or" => Rule::Or,
        "xor" => Rule::Xor,
        _ => return None,
    })
}
