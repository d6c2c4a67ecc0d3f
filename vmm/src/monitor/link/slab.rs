//! Calls that wait for their answers, by number, without hashing or an allocation for each.
//!
//! ```text
//!  number:  63       32 31        0
//!           │ generation │  place  │     a place that was used again has another generation, so a
//!                                        number that is out of date finds nothing
//! ```

/// What waits, by number; a number is never 0.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    /// Invariant: the places without a value.
    free: Vec<u32>,
    max: usize,
}

#[derive(Debug)]
struct Place<T> {
    /// Invariant: over 0, and another one for each value that the place has held.
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// An empty one, for at most `max` values.
    pub(super) fn new(max: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), max }
    }

    /// Keeps a value; gives it back when there are as many as may be.
    pub(super) fn insert(&mut self, value: T) -> Result<u64, T> {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.places.len() >= self.max => return Err(value),
            None => {
                self.places.push(Place { generation: 1, value: None });
                (self.places.len() - 1) as u32
            }
        };
        let place = &mut self.places[at as usize];
        place.value = Some(value);
        Ok(u64::from(place.generation) << 32 | u64::from(at))
    }

    /// Whether it has no value.
    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// Whether the number stands for a value.
    pub(super) fn has(&self, number: u64) -> bool {
        let place = self.places.get(number as u32 as usize);
        place.is_some_and(|place| place.is(number) && place.value.is_some())
    }

    /// Takes the value of a number out.
    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        let at = number as u32;
        let place = self.places.get_mut(at as usize).filter(|place| place.is(number))?;
        let value = place.value.take()?;
        place.generation = place.generation.checked_add(1).unwrap_or(1);
        self.free.push(at);
        Some(value)
    }

    /// Takes all values out.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        self.free.clear();
        std::mem::take(&mut self.places).into_iter().filter_map(|place| place.value).collect()
    }
}

impl<T> Place<T> {
    fn is(&self, number: u64) -> bool {
        u64::from(self.generation) == number >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_its_value_once() {
        let mut slab = Slab::new(2);
        let (a, b) = (slab.insert('a').unwrap(), slab.insert('b').unwrap());
        assert_eq!(slab.insert('c'), Err('c'), "no more than it was made for");
        assert_eq!((slab.take(b), slab.take(b)), (Some('b'), None));
        let c = slab.insert('c').unwrap();
        assert_eq!(b as u32, c as u32, "the place is used again");
        assert!(slab.has(a) && slab.has(c) && !slab.has(b));
        assert_eq!((slab.take(b), slab.take(c), slab.take(a)), (None, Some('c'), Some('a')));
    }

    #[test]
    fn numbers_that_nobody_gave_out_find_nothing() {
        let mut slab = Slab::new(4);
        let number = slab.insert(()).unwrap();
        for wrong in [0, number as u32 as u64, number + 1, u64::MAX, number | 1 << 63] {
            assert_eq!(slab.take(wrong), None, "{wrong:#x}");
        }
        assert_eq!(slab.take_all().len(), 1);
        assert!(!slab.has(number));
    }

    #[test]
    fn a_generation_that_runs_out_begins_at_one() {
        let mut slab = Slab::new(1);
        slab.insert(()).unwrap();
        slab.places[0].generation = u32::MAX;
        assert_eq!(slab.take(u64::from(u32::MAX) << 32), Some(()));
        assert_eq!(slab.insert(()), Ok(1 << 32));
    }
}
