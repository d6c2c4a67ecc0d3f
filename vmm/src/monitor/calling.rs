//! A call under way as its caller holds it: it can be cancelled in every stage.
//!
//! ```text
//!  Waits ─► the function is loaded ─► Sent ─► answered
//!    ▲                                  │
//!    └── once: the cell ended before ───┘     a call that its cell got is never sent again: it may
//!        it got the call                      have begun
//! ```

use std::sync::{Arc, Mutex};

use super::caller::Caller;
use super::calls::{Incoming, send, unknown};
use super::functions::Deployed;
use super::link::{CallKey, CellError, CellLink, NotSent};
use super::load::{self, LoadError};
use super::lock::lock;
use super::remote::{BringError, Progress};
use super::{Monitor, StoreError};
use crate::cell::{Answer, Refusal};
use faaslet_store::FunctionName;

/// Cells that a call is tried on, while it cannot have begun on the one before.
const MAX_CELLS_TRIED: usize = 2;

/// A call under way, by which it can be cancelled. Dropping it changes nothing.
#[derive(Clone)]
pub struct Calling(Way);

#[derive(Clone)]
enum Way {
    /// It has been answered.
    Over,
    /// It is with a cell.
    Sent(Arc<CellLink>, CallKey),
    /// It waits for its function.
    Loading(Arc<Loading>),
}

/// A call that waits for its function, until it is sent or cancelled.
pub(super) struct Loading(Mutex<Stage>);

enum Stage {
    Waits(Caller),
    Sent(Arc<CellLink>, CallKey),
    Over,
}

impl Calling {
    /// One that has been answered.
    pub(super) fn over() -> Self {
        Self(Way::Over)
    }

    /// One that a cell has.
    pub(super) fn sent(link: Arc<CellLink>, key: CallKey) -> Self {
        Self(Way::Sent(link, key))
    }

    /// One that waits for its function.
    pub(super) fn loading(loading: Arc<Loading>) -> Self {
        Self(Way::Loading(loading))
    }

    /// Nobody waits for the call any more: it is answered at once, and stopped where it is.
    pub fn cancel(&self) {
        match &self.0 {
            Way::Over => {}
            Way::Sent(link, key) => link.cancel(*key),
            Way::Loading(loading) => loading.cancel(),
        }
    }

    /// Whether it has been answered.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Way::Over => true,
            Way::Sent(link, key) => !link.waits(*key),
            Way::Loading(loading) => match &*lock(&loading.0) {
                Stage::Waits(_) => false,
                Stage::Sent(link, key) => !link.waits(*key),
                Stage::Over => true,
            },
        }
    }

    /// The cell that has it, which is woken by [`CellLink::turn`].
    pub(super) fn link(&self) -> Option<&Arc<CellLink>> {
        match &self.0 {
            Way::Sent(link, _) => Some(link),
            Way::Over | Way::Loading(_) => None,
        }
    }

    /// Wakes the cell that has it, if it sleeps.
    pub(super) fn ring(&self) {
        if let Way::Sent(link, key) = &self.0 {
            link.ring(*key);
        }
    }
}

impl Loading {
    /// A call whose function is to be loaded by [`Loading::run`].
    pub(super) fn new(caller: Caller) -> Self {
        Self(Mutex::new(Stage::Waits(caller)))
    }

    fn cancel(&self) {
        // Answered with the lock given back: the reply may look at this call.
        let stage = std::mem::replace(&mut *lock(&self.0), Stage::Over);
        match stage {
            Stage::Waits(caller) => caller.refuse(Refusal::Cancelled, "the caller has gone"),
            Stage::Sent(link, key) => link.cancel(key),
            Stage::Over => {}
        }
    }

    /// The caller, unless it has gone.
    fn take(&self) -> Option<Caller> {
        match std::mem::replace(&mut *lock(&self.0), Stage::Over) {
            Stage::Waits(caller) => Some(caller),
            _ => None,
        }
    }

    /// Whether somebody still waits.
    fn waits(&self) -> bool {
        matches!(*lock(&self.0), Stage::Waits(_))
    }

    /// Sends it; says no when the cell ended before it got it.
    fn send(
        &self,
        deployed: &Deployed,
        link: &Arc<CellLink>,
        number: u32,
        incoming: &Incoming,
    ) -> bool {
        let mut stage = lock(&self.0);
        let Stage::Waits(caller) = std::mem::replace(&mut *stage, Stage::Over) else { return true };
        match send(deployed, link, number, incoming, caller.timed()) {
            Ok(key) => {
                link.ring(key);
                *stage = Stage::Sent(Arc::clone(link), key);
                true
            }
            Err(NotSent::Ended(caller) | NotSent::Broken(caller, _)) => {
                *stage = Stage::Waits(caller);
                false
            }
            Err(NotSent::Refused(caller, answer)) => {
                drop(stage);
                caller.answer(answer);
                true
            }
        }
    }

    /// The call is one of this function.
    fn is_of(&self, deployed: &Deployed) {
        let mut stage = lock(&self.0);
        *stage = match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Waits(caller) => Stage::Waits(caller.of(deployed)),
            other => other,
        };
    }

    /// Brings the function here from another host, loads it and sends the call on.
    pub(super) async fn bring(
        &self,
        monitor: &Arc<Monitor>,
        function: &FunctionName,
        incoming: &Incoming,
    ) {
        let failed = match monitor.bring(function, &Progress::default()).await {
            Ok(deployed) => {
                self.is_of(&deployed);
                return self.run(monitor, &deployed, incoming).await;
            }
            Err(BringError::Nobody) => {
                Answer::refused(Refusal::NotFound, unknown(function.name.as_str()))
            }
            Err(BringError::Find(why)) => {
                let text = format!("expected a function {}; {why}", function.name);
                Answer::refused(Refusal::NotFound, text)
            }
            Err(BringError::Adopt(error)) => {
                Answer::refused(Refusal::CannotBeMade, error.to_string())
            }
            Err(error) => Answer::refused(Refusal::Overloaded, error.to_string()),
        };
        if let Some(caller) = self.take() {
            caller.answer(failed);
        }
    }

    /// Loads the function and sends the call on, again on a new cell if the first one ends before
    /// it got the call.
    pub(super) async fn run(
        &self,
        monitor: &Arc<Monitor>,
        deployed: &Arc<Deployed>,
        incoming: &Incoming,
    ) {
        let mut failed = Answer::refused(Refusal::Overloaded, "its cells end as they start");
        for _ in 0..MAX_CELLS_TRIED {
            if !self.waits() {
                return;
            }
            match load::loaded(monitor, deployed).await {
                Ok((link, number)) if self.send(deployed, &link, number, incoming) => return,
                Ok(_) => {}
                Err(error) => {
                    let again = error.is_of_the_cell();
                    failed = Answer::refused(refusal(&error), error.to_string());
                    if !again {
                        break;
                    }
                }
            }
        }
        if let Some(caller) = self.take() {
            caller.answer(failed);
        }
    }
}

/// What a caller whose function did not load is told: only lack of something may pass.
fn refusal(error: &LoadError) -> Refusal {
    match error {
        LoadError::Cell(CellError::Start(_) | CellError::Gone(_))
        | LoadError::System(_)
        | LoadError::Store(StoreError::Db(_)) => Refusal::Overloaded,
        _ => Refusal::CannotBeMade,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::monitor::Config;

    #[test]
    fn a_call_that_waits_for_its_function_is_answered_when_it_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, ..Config::new(dir.path().to_owned()) };
        let (monitor, _quic) = Monitor::start(config).unwrap();
        let (send, receive) = mpsc::sync_channel(2);
        let reply = Box::new(move |answer: Answer| send.send(answer.refusal).unwrap());
        let place = monitor.functions.tenant("t").place().unwrap();
        let caller = Caller::new(&monitor, &Arc::default(), place, reply);
        let calling = Calling::loading(Arc::new(Loading::new(caller)));
        assert!(!calling.is_over());
        assert_eq!(monitor.calls_in_flight(), 1);
        calling.cancel();
        calling.cancel();
        assert_eq!(receive.recv(), Ok(Some(Refusal::Cancelled)));
        assert!(receive.recv().is_err(), "it is answered once");
        assert!(calling.is_over());
        assert_eq!(monitor.calls_in_flight(), 0);
    }
}
