//! The life of one slot on a worker: it waits for a call, runs it, answers, and puts itself back,
//! for as long as it can.
//!
//! Everything here is one future that the worker polls; [`super::exchange`] is all that they say
//! to each other.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use faaslet_snapshot::bytes::HostPages;
use faaslet_snapshot::slot::Slot;

use super::audit::Audit;
use super::call::{Answer, Call, Mode, Refusal};
use super::exchange::{Exchange, Phase};
use super::faaslet::{Faaslet, MakeError, ScannerCell};
use super::function::Function;
use super::host::Stage;

/// Time that a fork ahead of its call may take; nothing of the guest runs in it.
const WARM_LIMIT: Duration = Duration::from_secs(60);

/// What a slot serves, and where.
pub struct Seat {
    /// The function.
    pub function: Arc<Function>,
    /// Shared with the worker.
    pub exchange: Exchange,
    /// The worker's.
    pub scanner: Rc<ScannerCell>,
    /// The worker's.
    pub audit: Rc<Audit>,
    /// Which way its calls go in.
    pub mode: Mode,
}

/// What lies in the slot.
enum At {
    /// Nothing that can run.
    Empty(Box<Slot>),
    /// A kept instance, equal to the image.
    Warm(Box<Faaslet>),
}

/// What a slot is asked to do.
enum Asked {
    Call(Call),
    /// Nobody wants the slot: go on with the check.
    Check,
}

/// Serves calls over `slot` until the slot cannot be put back.
///
/// What nearly all calls do stands in this one future, as each future within another is copied
/// when it is made; what is seldom needed is boxed, or each call would copy its whole state about.
pub async fn live(slot: Slot, seat: Seat) {
    let mut at = At::Empty(Box::new(slot));
    if seat.exchange.desk().call.is_none() {
        // Made ahead of a call.
        let Some(warm) = Box::pin(seat.warm(at)).await else { return };
        at = warm;
    }
    let mut check = None;
    loop {
        let back = match seat.next(check.is_some()).await {
            Asked::Check => at,
            Asked::Call(call) => {
                // The run time of the answer is what the caller waited for here: the making of a
                // fresh Faaslet included.
                let started = Instant::now();
                let mut faaslet = match at {
                    At::Warm(faaslet) => faaslet,
                    At::Empty(slot) => match Box::pin(seat.make(*slot, call.deadline)).await {
                        Ok(faaslet) => faaslet,
                        Err(error) => return seat.answered(seat.refusal(&error)).await,
                    },
                };
                faaslet.begin(call, &seat.scanner);
                let result = match faaslet.plain() {
                    Some((main, store)) => main.call_async(store, ()).await,
                    None => Box::pin(faaslet.other()).await,
                };
                let mut ran = faaslet.finish(result);
                ran.answer.ran = started.elapsed();
                seat.answered(ran.answer).await;
                let Some(mut back) = seat.back(faaslet, ran.poisoned) else { return };
                if let At::Empty(_) = back {
                    let Some(warm) = Box::pin(seat.warm(back)).await else { return };
                    back = warm;
                }
                seat.put_back(&mut back, &mut check);
                back
            }
        };
        at = match (back, check) {
            (At::Warm(faaslet), Some(from)) => {
                let Some(checked) = Box::pin(seat.check(faaslet, from, &mut check)).await else {
                    return;
                };
                checked
            }
            (back, _) => back,
        };
    }
}

impl Seat {
    /// Waits for the worker to put a call on the desk, or, with a check to go on with, to have
    /// nothing else to do.
    async fn next(&self, checking: bool) -> Asked {
        let mut offered = false;
        poll_fn(|_| {
            let mut desk = self.exchange.desk();
            if let Some(call) = desk.call.take() {
                return Poll::Ready(Asked::Call(call));
            }
            if checking && std::mem::replace(&mut offered, true) {
                return Poll::Ready(Asked::Check);
            }
            desk.phase = if checking { Phase::Checking } else { Phase::Idle };
            Poll::Pending
        })
        .await
    }

    async fn make(&self, slot: Slot, deadline: Instant) -> Result<Box<Faaslet>, MakeError> {
        let Self { function, exchange, .. } = self;
        let made = match self.mode {
            Mode::Fork => Faaslet::fork(slot, function, exchange, deadline).await,
            Mode::Fresh => Faaslet::fresh(slot, function, exchange, &Stage::Make, deadline).await,
        };
        made.map(Box::new)
    }

    fn refusal(&self, error: &MakeError) -> Answer {
        match error {
            MakeError::Wasm(error) => super::faaslet::failure(&self.function, error),
            // Mappings and memory come back as other slots are given up.
            MakeError::Slot(_) => Answer::refused(Refusal::Overloaded, error.to_string()),
            error => Answer::refused(Refusal::CannotBeMade, error.to_string()),
        }
    }

    /// Leaves the answer on the desk and lets the worker take it before anything else is done.
    async fn answered(&self, answer: Answer) {
        let mut answer = Some(answer);
        poll_fn(|_| match answer.take() {
            Some(answer) => {
                let mut desk = self.exchange.desk();
                desk.answer = Some(answer);
                desk.results.clear();
                desk.phase = Phase::Answered;
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Puts the slot back after a call: reset where that is provably right, remapped otherwise,
    /// and always after a trap.
    fn back(&self, mut faaslet: Box<Faaslet>, poisoned: bool) -> Option<At> {
        let kept = !poisoned && self.mode == Mode::Fork && faaslet.kept();
        if kept && faaslet.reset(&self.scanner).is_ok() {
            return Some(At::Warm(faaslet));
        }
        recycle(faaslet).map(At::Empty)
    }

    /// Counts a slot that was put back, and begins a check when it is one to check.
    fn put_back(&self, back: &mut At, check: &mut Option<HostPages>) {
        let At::Warm(faaslet) = back else { return };
        // A comparison would bring every page.
        if self.audit.put_back() && check.is_none() && self.function.is_whole() {
            *check = Some(HostPages(0));
            self.audit.checked(faaslet.size());
            #[cfg(test)]
            if let Some(tamper) = self.audit.tamper.get() {
                tamper(faaslet);
            }
        }
    }

    /// Goes on with a check from a page on; a slot that is not its image is made anew.
    async fn check(
        &self,
        mut faaslet: Box<Faaslet>,
        from: HostPages,
        check: &mut Option<HostPages>,
    ) -> Option<At> {
        let difference = match faaslet.verify_part(&self.scanner, from, self.audit.slice()) {
            Ok(next) => {
                *check = next;
                return Some(At::Warm(faaslet));
            }
            Err(difference) => difference,
        };
        *check = None;
        self.audit.mismatch();
        let Function { tenant, name, version, .. } = &*self.function;
        tracing::error!(tenant, name, version, %difference, "a slot that was put back is not its image");
        self.warm(At::Empty(recycle(faaslet)?)).await
    }

    /// Makes the next fork ahead of its call, when the instance could not be kept.
    async fn warm(&self, at: At) -> Option<At> {
        let At::Empty(slot) = at else { return Some(at) };
        if self.mode == Mode::Fresh || self.function.image.is_none() {
            return Some(At::Empty(slot));
        }
        let deadline = Instant::now() + WARM_LIMIT;
        self.make(*slot, deadline).await.ok().map(At::Warm)
    }
}

/// Drops the instance and throws every page of the slot away.
fn recycle(faaslet: Box<Faaslet>) -> Option<Box<Slot>> {
    let mut slot = faaslet.into_slot();
    slot.poison();
    slot.remap().ok().map(|()| Box::new(slot))
}
