//! Counts the primes below a number by calling one of its own functions for each part of the
//! range: the parts run beside each other, each in a fork of this function's image.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use faaslet::{Chained, Error, chain_fn, join_all};

/// Parts that the range is cut into.
const PARTS: u32 = 4;

/// Largest number that is taken.
const MAX_NUMBER: u32 = 10_000_000;

/// The primes up to the root of the largest number, by which all others are tried. Made once, at
/// the deployment: every fork has them.
static DIVISORS: LazyLock<Vec<u32>> =
    LazyLock::new(|| (2..=MAX_NUMBER.isqrt()).filter(|&n| (2..n).all(|d| n % d != 0)).collect());

#[faaslet::init]
fn init() {
    LazyLock::force(&DIVISORS);
}

fn is_prime(number: u32) -> bool {
    let mut divisors = DIVISORS.iter().take_while(|&&divisor| divisor * divisor <= number);
    number >= 2 && divisors.all(|divisor| number % divisor != 0)
}

/// One part: how many primes there are from `from` to below `to`.
fn count_part((from, to): (u32, u32)) -> usize {
    (from..to).filter(|&number| is_prime(number)).count()
}

#[faaslet::main]
fn count(below: u32) -> Result<usize, Error> {
    if below > MAX_NUMBER {
        return Err(Error::new(format_args!("expected at most {MAX_NUMBER}, found {below}")));
    }
    let edge = |part| below / PARTS * part + below % PARTS * part / PARTS;
    let calls: Vec<Chained<usize>> = (0..PARTS)
        .map(|part| chain_fn(count_part, &(edge(part), edge(part + 1))))
        .collect::<Result<_, _>>()?;
    Ok(join_all(calls)?.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use faaslet::test::Call;

    use super::faaslet_main;

    #[test]
    fn counts_all_parts() {
        let count = |below: u32| Call::new().json(&below).run(faaslet_main).returned();
        for (below, expected) in [(0, 0), (3, 1), (4, 2), (100, 25), (100_003, 9592)] {
            assert_eq!(count(below), Ok(expected), "below {below}");
        }
    }

    #[test]
    fn refuses_too_much() {
        let answer = Call::new().json(&10_000_001).run(faaslet_main);
        assert_eq!(answer.failure(), Some("expected at most 10000000, found 10000001"));
    }
}
