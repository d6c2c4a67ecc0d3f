//! The answers that one call waits for or holds: what became of the calls that it chained.
//!
//! What it is: a table of handles whose bytes are bounded, so that a function which calls many
//! others and reads none of their results cannot fill the memory of its cell. What it is not: the
//! bound on how many calls are open, which is where they are made.

use std::collections::HashMap;

use faaslet_abi::Outcome;

use super::call::Answer;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Results {
    /// `None` while the call runs.
    held: HashMap<u32, Option<Answer>>,
    /// Invariant: the bytes of all answers that are held.
    bytes: usize,
}

impl Results {
    /// Expects the answer of a call.
    pub fn expect(&mut self, handle: u32) {
        self.held.insert(handle, None);
    }

    /// Keeps the answer of a call; false when nobody expects it. One that would take the held
    /// bytes past `limit` is put away, and a refusal stands in its place.
    pub fn arrive(&mut self, handle: u32, answer: Answer, limit: usize) -> bool {
        let Some(result) = self.held.get_mut(&handle) else { return false };
        self.bytes -= result.as_ref().map_or(0, size);
        let answer = match self.bytes + size(&answer) {
            all if all <= limit => answer,
            all => too_much(size(&answer), all, limit),
        };
        self.bytes += size(&answer);
        *result = Some(answer);
        true
    }

    /// The answer of a call, if it has one; nothing of a call that is not expected.
    pub fn get(&self, handle: u32) -> Option<&Option<Answer>> {
        self.held.get(&handle)
    }

    /// Forgets a call; false when it is not expected.
    pub fn release(&mut self, handle: u32) -> bool {
        let released = self.held.remove(&handle);
        self.bytes -= released.as_ref().and_then(Option::as_ref).map_or(0, size);
        released.is_some()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }

    /// Calls that are expected or held.
    pub fn len(&self) -> usize {
        self.held.len()
    }
}

fn size(answer: &Answer) -> usize {
    answer.body.len() + answer.response.headers.len()
}

fn too_much(one: usize, all: usize, limit: usize) -> Answer {
    let text = format!(
        "the function ran, and its result of {one} bytes was put away: with it this call would hold {all} bytes of results; expected at most {limit} (result_bytes); release results that were read, or await fewer calls at a time"
    );
    Answer::message(Outcome::Refused, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn answer(bytes: usize) -> Answer {
        Answer::message(Outcome::Returned, "x".repeat(bytes))
    }

    fn outcome(results: &Results, handle: u32) -> Option<Outcome> {
        results.get(handle)?.as_ref().map(|answer| answer.outcome)
    }

    #[test]
    fn what_is_released_makes_room_and_what_is_too_much_is_refused_by_the_limit_s_name() {
        let mut results = Results::default();
        (1..=4).for_each(|handle| results.expect(handle));
        assert!(results.arrive(1, answer(400), LIMIT));
        assert!(results.arrive(2, answer(600), LIMIT), "up to the limit");
        assert!(results.arrive(3, answer(1), LIMIT));
        assert_eq!(outcome(&results, 2), Some(Outcome::Returned));
        assert_eq!(outcome(&results, 3), Some(Outcome::Refused));
        let text =
            String::from_utf8(results.get(3).unwrap().as_ref().unwrap().body.clone()).unwrap();
        assert!(text.contains("at most 1000 (result_bytes)"), "{text}");
        assert!(results.release(3) && results.release(2) && !results.release(2));
        assert!(results.arrive(4, answer(600), LIMIT));
        assert_eq!(outcome(&results, 4), Some(Outcome::Returned));
        assert!(!results.arrive(9, answer(1), LIMIT), "nobody expects it");
        results.clear();
        assert_eq!((results.len(), results.bytes), (0, 0));
    }
}
