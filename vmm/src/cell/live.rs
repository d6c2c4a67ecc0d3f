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

use faaslet_abi::Outcome;
use faaslet_snapshot::slot::Slot;

use super::audit::Audit;
use super::call::{Answer, Call, Mode};
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
    Empty(Slot),
    /// A kept instance, equal to the image.
    Warm(Box<Faaslet>),
}

/// What a call left behind.
enum After {
    /// It ended in order.
    Sound(Box<Faaslet>),
    /// It trapped or was stopped: never reset, always remapped.
    Poisoned(Box<Faaslet>),
}

/// Serves calls over `slot` until the slot cannot be put back.
pub async fn live(slot: Slot, seat: Seat) {
    let mut at = At::Empty(slot);
    if seat.exchange.desk().call.is_none() {
        // Made ahead of a call.
        let Some(warm) = seat.warm(at).await else { return };
        at = warm;
    }
    loop {
        let call = seat.next().await;
        let (answer, after) = seat.serve(at, call).await;
        seat.answered(answer).await;
        let Some(back) = after.and_then(|after| seat.back(after)) else { return };
        // What is seldom needed is boxed, or each call would copy its whole state about.
        at = match back {
            At::Warm(faaslet) if !seat.audit.put_back() => At::Warm(faaslet),
            At::Warm(faaslet) => {
                let Some(checked) = Box::pin(seat.check(faaslet)).await else { return };
                checked
            }
            At::Empty(slot) => {
                let Some(anew) = Box::pin(seat.anew(slot)).await else { return };
                anew
            }
        };
    }
}

impl Seat {
    /// Waits for the worker to put a call on the desk.
    async fn next(&self) -> Call {
        poll_fn(|_| {
            let mut desk = self.exchange.desk();
            match desk.call.take() {
                Some(call) => Poll::Ready(call),
                None => {
                    desk.phase = Phase::Idle;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Runs one call; the second part is `None` when the slot was lost with it.
    ///
    /// The run time of the answer is what the caller waited for here: the making of a fresh
    /// Faaslet included.
    async fn serve(&self, at: At, call: Call) -> (Answer, Option<After>) {
        let started = Instant::now();
        let made = match at {
            At::Warm(faaslet) => Ok(faaslet),
            At::Empty(slot) => Box::pin(self.make(slot, call.deadline)).await,
        };
        let mut faaslet = match made {
            Ok(faaslet) => faaslet,
            Err(error) => return (self.refusal(&error), None),
        };
        let mut ran = faaslet.run(call, &self.scanner).await;
        ran.answer.ran = started.elapsed();
        let after = if ran.poisoned { After::Poisoned(faaslet) } else { After::Sound(faaslet) };
        (ran.answer, Some(after))
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
            error => Answer::message(Outcome::Refused, error.to_string()),
        }
    }

    /// Leaves the answer on the desk and lets the worker take it before anything else is done.
    async fn answered(&self, answer: Answer) {
        let mut answer = Some(answer);
        poll_fn(|_| match answer.take() {
            Some(answer) => {
                let mut desk = self.exchange.desk();
                desk.answer = Some(answer);
                desk.phase = Phase::Answered;
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Puts the slot back: reset where that is provably right, remapped otherwise.
    fn back(&self, after: After) -> Option<At> {
        match after {
            After::Sound(mut faaslet) if self.mode == Mode::Fork && faaslet.kept() => {
                match faaslet.reset(&self.scanner) {
                    Ok(_) => Some(At::Warm(faaslet)),
                    Err(_) => recycle(faaslet),
                }
            }
            After::Sound(faaslet) | After::Poisoned(faaslet) => recycle(faaslet),
        }
    }

    /// Makes the next fork in a slot that was remapped, checked as one that was reset.
    async fn anew(&self, slot: Slot) -> Option<At> {
        match self.warm(At::Empty(slot)).await? {
            At::Warm(faaslet) if self.audit.put_back() => self.check(faaslet).await,
            at => Some(at),
        }
    }

    /// Compares a slot that was put back with its image; what differs is made anew.
    async fn check(&self, mut faaslet: Box<Faaslet>) -> Option<At> {
        #[cfg(test)]
        if let Some(tamper) = self.audit.tamper.get() {
            tamper(&mut faaslet);
        }
        let size = faaslet.parts().0.data().slot.size();
        self.audit.checked(size);
        let Err(difference) = faaslet.verify(&self.scanner) else { return Some(At::Warm(faaslet)) };
        self.audit.mismatch();
        let Function { tenant, name, version, .. } = &*self.function;
        tracing::error!(tenant, name, version, %difference, "a slot that was put back is not its image");
        self.warm(recycle(faaslet)?).await
    }

    /// Makes the next fork ahead of its call, when the instance could not be kept.
    async fn warm(&self, at: At) -> Option<At> {
        let At::Empty(slot) = at else { return Some(at) };
        if self.mode == Mode::Fresh || self.function.image.is_none() {
            return Some(At::Empty(slot));
        }
        let deadline = Instant::now() + WARM_LIMIT;
        self.make(slot, deadline).await.ok().map(At::Warm)
    }
}

/// Drops the instance and throws every page of the slot away.
#[allow(clippy::boxed_local, reason = "it lies in a box wherever it comes from")]
fn recycle(faaslet: Box<Faaslet>) -> Option<At> {
    let mut slot = faaslet.into_slot();
    slot.poison();
    slot.remap().ok().map(|()| At::Empty(slot))
}
