//! What a cell says over its rings. Each message is a copy, and nothing in it is trusted.

use std::sync::Arc;
use std::time::Duration;

use faaslet_abi::Outcome;

use super::CellLink;
use super::worker::WorkerCounts;
use crate::cell::{Answer, Refusal, ResponseHead};
use crate::monitor::caller::Reply;
use crate::monitor::lock::lock;
use crate::wire::{self, ArchivedFromCell, ToCell};

/// Functions of a worker whose idle slots are kept in mind.
const MAX_WARM: usize = 4096;

/// What a cell asks of the monitor, and tells it.
pub trait CellEvents: Send + Sync + 'static {
    /// A function calls one that its cell does not have.
    fn chain(&self, cell: &Arc<CellLink>, chain: ChainOut, reply: Reply);
    /// A function logged a line.
    fn log(&self, tenant: &str, function: u32, call: &[u8; 16], level: u8, text: &[u8]);
    /// The cell has ended; its calls were answered already.
    fn ended(&self, cell: &Arc<CellLink>, why: &str);
}

/// A chained call that leaves its cell.
#[derive(Debug)]
pub struct ChainOut {
    /// The function's name.
    pub name: String,
    /// Length of the chain before it.
    pub depth: u32,
    /// Time left.
    pub left: Duration,
    /// The input.
    pub input: Vec<u8>,
}

impl CellLink {
    /// Takes messages of one worker that are there.
    pub(super) fn receive(self: &Arc<Self>, number: usize) -> Result<usize, String> {
        self.workers[number].receive(|message| self.take(number, message))
    }

    fn take(self: &Arc<Self>, number: usize, message: &[u8]) -> Result<(), String> {
        let (head, payload) = wire::split(message).map_err(|error| error.to_string())?;
        let head = wire::from_cell(head).map_err(|error| error.to_string())?;
        match head {
            ArchivedFromCell::Answer { number: call, .. } => {
                let call = call.to_native();
                let answer = answer(head, payload)?;
                // An unknown number is a call whose caller has gone.
                if let Some(caller) = self.workers[number].take(call) {
                    caller.answer(answer);
                }
            }
            ArchivedFromCell::Chain { number: chain, name, depth, deadline_us } => {
                let out = ChainOut {
                    name: name.to_string(),
                    depth: depth.to_native(),
                    left: Duration::from_micros(deadline_us.to_native()),
                    input: payload.to_vec(),
                };
                self.events.chain(self, out, self.chain_reply(number, chain.to_native()));
            }
            ArchivedFromCell::Log { function, call, level } => {
                self.events.log(&self.tenant, function.to_native(), call, *level, payload);
            }
            ArchivedFromCell::State { number: ask, deadline_us, request_bytes } => {
                let (ask, left) = (ask.to_native(), deadline_us.to_native());
                self.ask_owner(number, ask, left, request_bytes.to_native() as usize, payload)?;
            }
            ArchivedFromCell::StateCounts(counts) => self.state.told(counts),
            ArchivedFromCell::Counts { slots, idle, queued, resets, mismatches } => {
                *lock(&self.workers[number].counts) = WorkerCounts {
                    slots: slots.to_native(),
                    idle: idle.to_native(),
                    queued: queued.to_native(),
                    resets: resets.to_native(),
                    mismatches: mismatches.to_native(),
                };
                let warm = wire::Warm::all(payload).take(MAX_WARM);
                *lock(&self.workers[number].warm) = warm.collect();
            }
        }
        Ok(())
    }

    /// What brings the answer of a chained call back to its worker.
    fn chain_reply(self: &Arc<Self>, worker: usize, number: u64) -> Reply {
        let link = Arc::clone(self);
        Box::new(move |answer| {
            let chained = |outcome| ToCell::Chained { number, outcome: outcome as i32 };
            if !link.tell(worker, &chained(answer.outcome), &[&answer.body]) {
                // No room for the body: its parent hears that, and does not wait for it.
                link.tell(worker, &chained(Outcome::Lost), &[]);
            }
        })
    }
}

/// The answer that a cell gives, whose fields may be anything.
fn answer(head: &ArchivedFromCell, payload: &[u8]) -> Result<Answer, String> {
    let ArchivedFromCell::Answer { outcome, refusal, status, headers_bytes, ran_ns, .. } = head
    else {
        return Err("expected an answer".to_owned());
    };
    let headers = headers_bytes.to_native() as usize;
    let (headers, body) =
        payload.split_at_checked(headers).ok_or("response headers are cut short")?;
    let outcome = Outcome::from_i32(outcome.to_native()).ok_or("no such outcome")?;
    let refusal = match (outcome, *refusal) {
        (Outcome::Refused, number) => Some(Refusal::from_u8(number).ok_or("no such refusal")?),
        (_, 0) => None,
        (_, number) => return Err(format!("refusal {number} of a call that was not refused")),
    };
    Ok(Answer {
        outcome,
        body: body.to_vec(),
        response: ResponseHead { status: status.to_native(), headers: headers.to_vec() },
        ran: Duration::from_nanos(ran_ns.to_native()),
        refusal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(outcome: i32, refusal: u8, headers_bytes: u32) -> Result<Answer, String> {
        let head = wire::FromCell::Answer {
            number: 1,
            outcome,
            refusal,
            status: 200,
            headers_bytes,
            ran_ns: 5,
        };
        let mut bytes = Vec::new();
        wire::encode(&head, &mut bytes).unwrap();
        let (head, _) = wire::split(&bytes).unwrap();
        answer(wire::from_cell(head).unwrap(), b"ab")
    }

    #[test]
    fn a_cell_says_which_refusal_it_is() {
        for refusal in Refusal::ALL {
            let answer = answered(Outcome::Refused as i32, refusal as u8, 0).unwrap();
            assert_eq!((answer.outcome, answer.refusal), (Outcome::Refused, Some(refusal)));
        }
        let returned = answered(Outcome::Returned as i32, 0, 1).unwrap();
        assert_eq!((&returned.response.headers[..], &returned.body[..]), (&b"a"[..], &b"b"[..]));
        assert_eq!(returned.refusal, None);
    }

    #[test]
    fn an_answer_that_contradicts_itself_breaks_a_rule() {
        let (returned, refused) = (Outcome::Returned as i32, Outcome::Refused as i32);
        for (outcome, refusal, headers_bytes) in
            [(returned, 1, 0), (refused, 0, 0), (refused, 200, 0), (77, 0, 0), (returned, 0, 3)]
        {
            let told = answered(outcome, refusal, headers_bytes);
            assert!(told.is_err(), "{outcome} {refusal} {headers_bytes}: {told:?}");
        }
    }
}
