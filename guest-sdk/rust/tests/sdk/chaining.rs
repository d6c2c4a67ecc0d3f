//! Calls of other functions.

use std::time::Duration;

use faaslet::test::Call;
use faaslet::{ChainError, Chained, Error, Raw, Status, chain, chain_export, chain_fn, join_all};

mod by_name {
    use super::{ChainError, Chained, chain, join_all};

    #[faaslet::main]
    fn squares(numbers: Vec<u64>) -> Result<Vec<u64>, ChainError> {
        let calls: Vec<Chained<u64>> =
            numbers.iter().map(|number| chain("square", number)).collect::<Result<_, _>>()?;
        join_all(calls)
    }
}

fn square(number: u64) -> Result<u64, ChainError> {
    Ok(number * number)
}

#[test]
fn answers_come_in_order() {
    let answer = Call::new().stub("square", square).json(&[3, 1, 2]).run(by_name::faaslet_main);
    assert_eq!(answer.returned(), Ok(vec![9_u64, 1, 4]));
}

#[test]
fn each_way_to_end_is_an_error_of_its_own() {
    let ends = [
        (ChainError::Failed("why".into()), "the chained call failed: why"),
        (ChainError::Trapped("where".into()), "the chained call trapped: where"),
        (ChainError::TimedOut, "the chained call ran into its deadline"),
        (ChainError::Refused("full".into()), "the chained call was refused: full"),
        (ChainError::Lost, "the process of the chained call died; it may be tried again"),
        (
            ChainError::Status(Status::Busy),
            "the host refused the chained call: too many calls are in flight: wait for some, or drop them",
        ),
    ];
    for (end, expected) in ends {
        let call = Call::new().stub("square", move |_: u64| Err::<u64, _>(end.clone()));
        assert_eq!(call.json(&[1]).run(by_name::faaslet_main).failure(), Some(expected));
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let failure = |call: Call| {
        let answer = call.json(&[1]).run(by_name::faaslet_main);
        answer.failure().unwrap().to_owned()
    };
    let answer = failure(Call::new().stub("square", |_: u64| Ok("text")));
    assert!(
        answer.starts_with("the answer of the chained call: expected JSON of `u64`"),
        "{answer}"
    );
    let input = failure(Call::new().stub("square", |_: String| Ok(1)));
    assert!(input.starts_with("the chained call failed: bad input: expected JSON of"), "{input}");
    let missing = failure(Call::new());
    assert!(missing.contains("no function \"square\" in this test"), "{missing}");
}

mod by_function {
    use super::{ChainError, Error, Raw, chain, chain_fn};

    fn part(range: (u64, u64)) -> Result<u64, Error> {
        faaslet::info!("part from {} at depth {}", range.0, faaslet::identity().depth);
        if range.0 > range.1 {
            return Err(Error::new("backwards"));
        }
        let factor: u64 = chain("factor", &())?.wait()?;
        Ok((range.0..range.1).sum::<u64>() * factor)
    }

    #[faaslet::main]
    fn sum(to: u64) -> Result<u64, Error> {
        let (low, high) = (chain_fn(part, &(0, to / 2))?, chain_fn(part, &(to / 2, to))?);
        let doubled = chain_fn(|number: u64| number * 2, &(low.wait()?? + high.wait()??))?;
        Ok(doubled.wait()?)
    }

    #[faaslet::function]
    fn backwards() -> Result<u64, Error> {
        chain_fn(part, &(2, 1))?.wait()?
    }

    fn first(Raw(bytes): Raw) -> Raw {
        Raw(vec![bytes[0]])
    }

    #[faaslet::function]
    fn of_nothing() -> Result<Raw, ChainError> {
        chain_fn(first, &Raw(Vec::new()))?.wait()
    }

    #[faaslet::function]
    fn deeper(depth: u32) -> u32 {
        chain_fn(deeper, &(depth + 1)).map_or(depth, |call| call.wait().unwrap_or(0))
    }
}

#[test]
fn functions_of_the_module_run_in_calls_of_their_own() {
    let call = Call::new().stub("factor", |(): ()| Ok(10));
    let answer = call.json(&100).run(by_function::faaslet_main);
    assert_eq!(answer.returned(), Ok(2 * 10 * (0..100).sum::<u64>()));
    assert_eq!(answer.logs(), ["part from 0 at depth 1", "part from 50 at depth 1"]);
}

#[test]
fn their_errors_and_panics_reach_the_caller() {
    let answer = Call::new().run(by_function::backwards_entry);
    assert_eq!(answer.failure(), Some("backwards"));
    let answer = Call::new().run(by_function::of_nothing_entry);
    let failure = answer.failure().unwrap();
    assert!(failure.starts_with("the chained call trapped: index out of bounds"), "{failure}");
}

#[test]
fn a_chain_is_no_deeper_than_the_host_allows() {
    let answer = Call::new().json(&0).run(by_function::deeper_entry);
    assert_eq!(answer.returned(), Ok(63_u32));
}

mod by_export {
    use super::{Chained, Duration, Error, chain_export};

    #[faaslet::function]
    fn part(number: i64) -> Result<i64, Error> {
        if number < 0 { Err(Error::new("negative")) } else { Ok(number + 1) }
    }

    #[faaslet::main]
    fn run(number: i64) -> Result<i64, Error> {
        let call: Chained<i64> = chain_export("part", &number)?;
        let waited = call.wait_timeout(Duration::from_secs(1))?;
        Ok(waited.unwrap_or(-1))
    }
}

#[test]
fn exported_functions_fail_with_their_text() {
    let call = Call::new().export("part", by_export::part_entry);
    assert_eq!(call.json(&1).run(by_export::faaslet_main).returned(), Ok(2_i64));
    let answer = call.json(&-1).run(by_export::faaslet_main);
    assert_eq!(answer.failure(), Some("the chained call failed: negative"));
    let answer = Call::new().json(&1).run(by_export::faaslet_main);
    assert_eq!(
        answer.failure(),
        Some("the host refused the chained call: no function has this name")
    );
}

mod many {
    use super::{ChainError, Chained, chain};

    #[faaslet::main]
    fn open(keep: bool) -> u32 {
        let mut kept: Vec<Chained<u64>> = Vec::new();
        for begun in 0..2000 {
            match chain("square", &1) {
                Ok(call) if keep => kept.push(call),
                Ok(call) => drop(call),
                Err(ChainError::Status(faaslet::Status::Busy)) => return begun,
                Err(_) => return 0,
            }
        }
        2000
    }
}

#[test]
fn a_call_that_is_dropped_makes_room() {
    let call = Call::new().stub("square", square);
    assert_eq!(call.json(&true).run(many::faaslet_main).returned(), Ok(1024_u32));
    assert_eq!(call.json(&false).run(many::faaslet_main).returned(), Ok(2000_u32));
}

#[test]
fn outside_of_a_call_nothing_can_be_chained() {
    for begun in [chain::<u64>("square", &1), chain_fn(|n: u64| n, &1)] {
        assert_eq!(begun.err(), Some(ChainError::Status(Status::Denied)));
    }
}
