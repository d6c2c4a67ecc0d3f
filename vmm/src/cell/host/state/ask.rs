//! How a call waits: for its turn, for an owner's answer, for anything that others give.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use faaslet_state::message::{Body, Reply};
use faaslet_state::{Key, SessionError};
use faaslet_tier::{TierError, Value};

use super::error::Refused;
use super::held::Held;
use crate::cell::exchange::Phase;
use crate::cell::local::{Ask, Replied};
use crate::cell::stop::Stop;

/// For how long something is told to an owner after its call has ended.
pub(super) const TELL_LIMIT: Duration = Duration::from_secs(10);

impl Held {
    /// Waits, without a thread, until `look` finds something; it looks whenever the call is woken,
    /// for whatever reason. Nothing when `until` has passed.
    pub(super) async fn wait<T>(
        &self,
        until: Instant,
        mut look: impl FnMut() -> Poll<T>,
    ) -> Result<Option<T>, Stop> {
        std::future::poll_fn(|_| {
            if self.exchange.desk().cancelled {
                return Poll::Ready(Err(Stop::Cancelled));
            }
            if let Poll::Ready(found) = look() {
                return Poll::Ready(Ok(Some(found)));
            }
            let now = Instant::now();
            if now >= until {
                return Poll::Ready(Ok(None));
            }
            if now >= self.deadline {
                return Poll::Ready(Err(Stop::Deadline));
            }
            self.exchange.desk().phase = Phase::Waiting(until.min(self.deadline));
            Poll::Pending
        })
        .await
    }

    /// When a wait ends that the function gave so many milliseconds.
    pub(super) fn until(&self, timeout_ms: i64) -> Instant {
        u64::try_from(timeout_ms)
            .ok()
            .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
            .map_or(self.deadline, |until| until.min(self.deadline))
    }

    /// Asks the owner of a key and waits for the end of it.
    pub(super) async fn ask(
        &mut self,
        key: &str,
        body: Body,
        payload: Vec<u8>,
    ) -> Result<Replied, Stop> {
        self.asked += 1;
        let (task, number, deadline) = (self.task, self.asked, self.deadline);
        let ask = Ask { task, number, key: key.to_owned(), body, payload, deadline };
        {
            let mut desk = self.exchange.desk();
            desk.replied = None;
            desk.asks.push(ask);
        }
        let exchange = self.exchange.clone();
        let answered = || match exchange.desk().replied.take() {
            Some((of, replied)) if of == number => Poll::Ready(replied),
            _ => Poll::Pending,
        };
        let late = || Stop::Late(format!("value {key}: its owner did not answer"));
        self.wait(self.deadline, answered).await?.ok_or_else(late)
    }

    /// The same, for an answer that is no refusal.
    pub(super) async fn ask_for(
        &mut self,
        key: &Key,
        body: Body,
        payload: Vec<u8>,
    ) -> Result<(Reply, Vec<u8>), Refused> {
        let replied = self.ask(key, body, payload).await?;
        replied.map_err(|error| self.refusal(key, &error))
    }

    /// A refusal as the function is told it; what the owner does not have is forgotten here.
    pub(super) fn refusal(&self, key: &Key, error: &SessionError) -> Refused {
        use faaslet_state::message::Failure::{Lost, NotFound};
        if let SessionError::Refused(NotFound | Lost) = error {
            self.wake(self.local.tier().deleted(key));
        }
        Refused::session(key, error)
    }

    /// Waits until it is this call's turn to push, pull or change the value, and brings the push
    /// that was sent before it to its end.
    pub(super) async fn take_turn(&mut self, value: &Arc<Value>) -> Result<(), Refused> {
        self.turn = Some(Arc::clone(value));
        let asked = || match value.turn().ask(self.task) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(full) => Poll::Ready(Err(TierError::Queue { key: value.key().clone(), full })),
        };
        let holder = || match value.turn().holder() {
            Some(holder) => format!("value {}: {holder} pushes or pulls it", value.key()),
            None => format!("value {}: others push or pull it", value.key()),
        };
        let taken = self.wait(self.deadline, asked).await?;
        taken.ok_or_else(|| Stop::Late(holder()))??;
        self.finish_push(value).await
    }

    /// Ends its turn.
    pub(super) fn leave_turn(&mut self) {
        if let Some(value) = self.turn.take() {
            self.wake(value.turn().leave(self.task));
        }
    }
}
