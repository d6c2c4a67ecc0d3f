//! Connections that have shown no valid token, counted by where they come from, so that they leave
//! room for those that have shown one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// How many strangers there may be.
#[derive(Clone, Copy, Debug)]
pub struct MostStrangers {
    /// Over all addresses.
    pub all: usize,
    /// From one address.
    pub each: usize,
}

impl MostStrangers {
    /// Those of so many connections: a quarter of the room is for others.
    #[must_use]
    pub fn of(connections: usize, each: usize) -> Self {
        Self { all: connections - connections / 4, each }
    }
}

/// Why one more is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// Over all addresses.
    #[error("as many connections without a token as may be")]
    All,
    /// From this one.
    #[error("as many connections without a token from this address as may be")]
    FromAddress,
}

/// Who is there now. Addresses that one caller is likely to have count as one.
#[derive(Debug, Default)]
pub struct Strangers {
    all: usize,
    /// Invariant: none of zero, and `all` together.
    each: HashMap<IpAddr, usize>,
}

impl Strangers {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all
    }

    /// How many there are of an address.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> usize {
        self.each.get(&network(address)).copied().unwrap_or(0)
    }

    /// Whether there is room for one more.
    pub fn room(&self, most: MostStrangers, address: IpAddr) -> Result<(), TooMany> {
        if self.all >= most.all {
            return Err(TooMany::All);
        }
        if self.of(address) >= most.each {
            return Err(TooMany::FromAddress);
        }
        Ok(())
    }

    /// One comes.
    pub fn enter(&mut self, address: IpAddr) {
        self.all += 1;
        *self.each.entry(network(address)).or_default() += 1;
    }

    /// One that came from there has gone, or is a stranger no more.
    pub fn leave(&mut self, address: IpAddr) {
        let address = network(address);
        let Some(here) = self.each.get_mut(&address) else { return };
        self.all -= 1;
        *here -= 1;
        if *here == 0 {
            self.each.remove(&address);
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_neighbours_count_as_one() {
        let most = MostStrangers::of(8, 2);
        let mut strangers = Strangers::default();
        strangers.enter(address("2001:db8::1"));
        strangers.enter(address("2001:db8::2"));
        assert_eq!(strangers.room(most, address("2001:db8::3")), Err(TooMany::FromAddress));
        assert_eq!(strangers.room(most, address("2001:db8:0:1::3")), Ok(()));
        strangers.enter(address("::ffff:10.0.0.1"));
        strangers.leave(address("10.0.0.1"));
        strangers.leave(address("10.0.0.1"));
        assert_eq!((strangers.count(), strangers.each.len()), (2, 1));
    }

    #[test]
    fn all_together_leave_a_quarter() {
        let most = MostStrangers::of(8, 8);
        let mut strangers = Strangers::default();
        for host in 0..6 {
            let address = IpAddr::from([10, 0, 0, host]);
            assert_eq!(strangers.room(most, address), Ok(()));
            strangers.enter(address);
        }
        assert_eq!(strangers.room(most, address("10.0.0.9")), Err(TooMany::All));
    }
}
