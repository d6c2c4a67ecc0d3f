//! The way of a call: from whoever asked, to the cell that has the function, and back.
//!
//! A function that its tenant's cell has already costs no task and waits for nothing. Otherwise a
//! task starts the cell, loads the function, and sends the call on (see [`super::calling`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Monitor;
use super::caller::{Caller, Reply};
use super::calling::{Calling, Loading};
use super::config::MAX_TIMEOUT;
use super::functions::Deployed;
use super::link::{CallKey, CellLink, ChainOut, NotSent};
use crate::cell::{Answer, Mode, Refusal};
use crate::wire::CallHead;
use faaslet_store::{FunctionName, Name};

/// A call as it arrives.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    /// Its id; a new one when all zeros.
    pub id: [u8; 16],
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Length of the chain before it.
    pub depth: u32,
    /// Which way it goes in; as deployed when absent.
    pub mode: Option<Mode>,
    /// When it is stopped; the function's own limit when absent.
    pub deadline: Option<Instant>,
    /// The HTTP request head behind it.
    pub request: Vec<u8>,
    /// What the function reads.
    pub input: bytes::Bytes,
}

impl Monitor {
    /// Calls a function. `reply` is called once, from whatever thread the answer comes to, which
    /// may be this one before this returns.
    pub fn call(
        self: &Arc<Self>,
        tenant: &str,
        name: &str,
        incoming: Incoming,
        reply: Reply,
    ) -> Calling {
        let calling = self.call_quietly(tenant, name, incoming, reply);
        calling.ring();
        calling
    }

    /// [`Monitor::call`] for one of a batch, after which [`CellLink::turn`] wakes the cells.
    pub(super) fn call_quietly(
        self: &Arc<Self>,
        tenant: &str,
        name: &str,
        incoming: Incoming,
        reply: Reply,
    ) -> Calling {
        if self.draining() {
            let text = "the monitor is about to stop; call another one, or this one later";
            reply(Answer::refused(Refusal::ShuttingDown, text));
            return Calling::over();
        }
        let deployed = match self.functions.get(tenant, name) {
            Some(deployed) if !deployed.may_be_stale() => deployed,
            here if self.remote.is_some() => {
                return self.bring_and_call(here, [tenant, name], incoming, reply);
            }
            Some(deployed) => deployed,
            None => {
                reply(Answer::refused(Refusal::NotFound, unknown(name)));
                return Calling::over();
            }
        };
        let place = match deployed.tenant.place() {
            Ok(place) => place,
            Err(most) => {
                reply(Answer::refused(Refusal::Overloaded, no_place(tenant, most)));
                return Calling::over();
            }
        };
        let caller = Caller::new(self, &deployed.stats, place, reply);
        let caller = if deployed.takes_first_call() { caller.first_of(&deployed) } else { caller };
        let Some((link, number)) = deployed.loaded() else {
            return self.load_and_call(deployed, incoming, caller);
        };
        match send(&deployed, &link, number, &incoming, caller) {
            Ok(key) => Calling::sent(link, key),
            Err(NotSent::Ended(caller) | NotSent::Broken(caller, _)) => {
                self.load_and_call(deployed, incoming, caller)
            }
            Err(NotSent::Refused(caller, answer)) => {
                caller.answer(answer);
                Calling::over()
            }
        }
    }

    /// A call of a function that another host may have, or may have a newer version of.
    fn bring_and_call(
        self: &Arc<Self>,
        here: Option<Arc<Deployed>>,
        [tenant, name]: [&str; 2],
        incoming: Incoming,
        reply: Reply,
    ) -> Calling {
        let named = Name::new(tenant).and_then(|tenant| Ok((tenant, Name::new(name)?)));
        let Ok((of, function)) = named else {
            reply(Answer::refused(Refusal::NotFound, unknown(name)));
            return Calling::over();
        };
        let place = match self.functions.tenant(tenant).place() {
            Ok(place) => place,
            Err(most) => {
                reply(Answer::refused(Refusal::Overloaded, no_place(tenant, most)));
                return Calling::over();
            }
        };
        let stats = here.map(|here| Arc::clone(&here.stats)).unwrap_or_default();
        let loading = Arc::new(Loading::new(Caller::new(self, &stats, place, reply)));
        let (monitor, ours) = (Arc::clone(self), Arc::clone(&loading));
        let function = FunctionName { tenant: of, name: function };
        self.runtime.spawn(async move { ours.bring(&monitor, &function, &incoming).await });
        Calling::loading(loading)
    }

    fn load_and_call(
        self: &Arc<Self>,
        deployed: Arc<Deployed>,
        incoming: Incoming,
        caller: Caller,
    ) -> Calling {
        let loading = Arc::new(Loading::new(caller));
        let (monitor, ours) = (Arc::clone(self), Arc::clone(&loading));
        self.runtime.spawn(async move { ours.run(&monitor, &deployed, &incoming).await });
        Calling::loading(loading)
    }

    /// A call of a function that the caller's cell does not have.
    pub(super) fn chain(self: &Arc<Self>, cell: &Arc<CellLink>, chain: ChainOut, reply: Reply) {
        let incoming = Incoming {
            attempt: 1,
            depth: chain.depth,
            deadline: Some(deadline_after(chain.left)),
            input: chain.input.into(),
            ..Incoming::default()
        };
        let _ = self.call(cell.tenant(), &chain.name, incoming, reply);
    }
}

/// What a caller is told whose function is nowhere.
pub(super) fn unknown(name: &str) -> String {
    format!(
        "expected a function {name}; the tenant has none of this name; deploy it with \
         `faaslet deploy`, or see `faaslet ps`"
    )
}

fn no_place(tenant: &str, most: u32) -> String {
    format!(
        "expected at most {most} calls in flight of the tenant {tenant}, its limit; there are as \
         many; try again when one has ended, or ask the operator for `faaslet tenant set {tenant} \
         --calls`"
    )
}

/// An instant so much later, and never beyond [`MAX_TIMEOUT`].
pub(super) fn deadline_after(left: Duration) -> Instant {
    Instant::now() + left.min(MAX_TIMEOUT)
}

/// Sends a call to a cell that has its function, without waking it.
pub(super) fn send(
    deployed: &Deployed,
    link: &Arc<CellLink>,
    number: u32,
    incoming: &Incoming,
    caller: Caller,
) -> Result<CallKey, NotSent> {
    let left = match incoming.deadline {
        Some(at) => at.saturating_duration_since(Instant::now()),
        None => deployed.timeout(),
    };
    let head = CallHead {
        number: 0,
        id: if incoming.id == [0; 16] { rand::random() } else { incoming.id },
        attempt: incoming.attempt.max(1),
        depth: incoming.depth,
        function: number,
        mode: match incoming.mode {
            None => 0,
            Some(Mode::Fork) => 1,
            Some(Mode::Fresh) => 2,
        },
        deadline_us: left.min(MAX_TIMEOUT).as_micros() as u64,
        request_bytes: incoming.request.len() as u32,
    };
    link.call(head, [&incoming.request, &incoming.input], caller)
}
