//! The end of a server: it says goodbye to those who hear it, and does not wait for those who do
//! not.
//!
//! ```text
//!  go away ─► told ──FAREWELL──► look: nothing in flight: goodbye, ended
//!                                 │    not a datagram since it was told: vanished, calls cancelled
//!                                 └─► looks again, until none is left or patience ends
//! ```

use super::ServerApp;
use crate::endpoint::{App, End, Hub, LinkKey};
use faaslet_proto::{Close, CloseCode, ServerSession};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Time for a client to close its connection by itself. A client that is there acknowledges what
/// it is told in far less, whatever else it does.
const FAREWELL: Duration = Duration::from_secs(1);
const REASON: &str = "the monitor is shutting down";

/// What a server that takes no more calls remembers.
#[derive(Debug)]
pub(super) struct Leaving {
    /// When connections are looked at next.
    look: Instant,
    /// When patience ends; never while the monitor has calls that came another way.
    until: Option<Instant>,
    /// What had been heard on each connection when it was told; empty after the first look.
    heard: HashMap<LinkKey, u64>,
}

impl Leaving {
    /// When [`ServerApp::leave`] is due.
    pub(super) fn due(&self) -> Instant {
        self.until.map_or(self.look, |until| until.min(self.look))
    }

    /// Whether the server ends with its last connection.
    pub(super) fn ends(&self) -> bool {
        self.until.is_some()
    }
}

impl ServerApp {
    /// Tells everybody to take new calls elsewhere.
    pub(super) fn go_away(&mut self, now: Instant, hub: &mut Hub<ServerSession>) {
        if self.leaving.is_some() {
            return;
        }
        let mut heard = HashMap::new();
        for key in hub.keys() {
            if !self.tenants.contains_key(&key) {
                let session = hub.close(now, key, goodbye());
                self.handle_end(now, key, session, &End::Ours(goodbye()), hub);
                continue;
            }
            heard.extend(hub.heard(key).map(|datagrams| (key, datagrams)));
            if let Some(session) = hub.session(key) {
                session.go_away(now, REASON);
            }
        }
        self.leaving = Some(Leaving { look: now + FAREWELL, until: None, heard });
    }

    /// Ends when the last connection has ended, or then.
    pub(super) fn drain(&mut self, now: Instant, until: Instant, hub: &mut Hub<ServerSession>) {
        self.go_away(now, hub);
        if let Some(leaving) = &mut self.leaving {
            leaving.until = Some(leaving.until.map_or(until, |earlier| earlier.min(until)));
        }
    }

    /// Ends the connections that need not be waited for; all of them when patience ends.
    pub(super) fn leave(&mut self, now: Instant, hub: &mut Hub<ServerSession>) {
        let Some(leaving) = &mut self.leaving else { return };
        let over = leaving.until.is_some_and(|until| until <= now);
        leaving.look = now + FAREWELL;
        let heard = std::mem::take(&mut leaving.heard);
        for key in hub.keys() {
            let vanished = heard.get(&key).is_some_and(|then| hub.heard(key) == Some(*then));
            let drained = hub.session(key).is_some_and(|session| session.is_drained());
            if !over && !vanished && !drained {
                continue;
            }
            let session = hub.close(now, key, goodbye());
            self.handle_end(now, key, session, &End::Ours(goodbye()), hub);
        }
    }
}

fn goodbye() -> Close {
    Close::new(CloseCode::ShuttingDown, REASON)
}
