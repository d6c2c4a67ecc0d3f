//! Calls that arrive over QUIC.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use faaslet_abi::Outcome as AbiOutcome;
use faaslet_net::server::{CallRef, Handler, ReplySink, Tenant};
use faaslet_net::{
    Call, CancelReason, Mode as NetMode, Outcome, Refusal as NetRefusal, Reply, Timings,
};
use faaslet_store::Role;

use super::Monitor;
use super::calls::{Incoming, Refusal, Sent};
use super::lock::lock;
use crate::cell::{Answer, Mode};

/// What the endpoint's thread calls. It exists before the monitor, which needs its runtime.
#[derive(Default)]
pub(super) struct Ingress {
    monitor: OnceLock<Weak<Monitor>>,
    /// Calls that can be cancelled, until they are answered.
    sent: Arc<Mutex<HashMap<CallRef, Sent>>>,
}

impl Ingress {
    /// Lets calls in.
    pub(super) fn open(&self, monitor: &Arc<Monitor>) {
        // Opened once; a second monitor is not heard.
        let _ = self.monitor.set(Arc::downgrade(monitor));
    }

    fn monitor(&self) -> Option<Arc<Monitor>> {
        self.monitor.get()?.upgrade()
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<CallRef, Sent>> {
        lock(&self.sent)
    }
}

impl Handler for Ingress {
    fn authenticate(&self, token: &[u8], _remote: SocketAddr) -> Option<Tenant> {
        let token = std::str::from_utf8(token).ok()?;
        match self.monitor()?.store.authenticate(token).ok()?? {
            Role::Tenant(name) => Some(Tenant::new(name.as_str())),
            // The operator has no functions; it acts for the tenant that every folder has.
            Role::Admin => Some(Tenant::new(super::DEFAULT_TENANT)),
        }
    }

    fn call(&self, tenant: &Tenant, call: Call, reply: ReplySink) {
        let Some(monitor) = self.monitor() else {
            return reply.reply(Reply::refused(NetRefusal::ShuttingDown, "the monitor has ended"));
        };
        let key = reply.call();
        let sink = Arc::new(Mutex::new(Some(reply)));
        let (answered, sent) = (Arc::clone(&sink), Arc::clone(&self.sent));
        let done = Box::new(move |answer: Answer| {
            lock(&sent).remove(&key);
            if let Some(reply) = take(&answered) {
                reply.reply(reply_of(answer));
            }
        });
        match monitor.call(tenant, &call.function, incoming(&call), done) {
            Ok(Some(call)) => self.keep(key, call, &sink),
            Ok(None) => {}
            Err(refusal) => {
                if let Some(reply) = take(&sink) {
                    reply.reply(refused(refusal, &call.function));
                }
            }
        }
    }

    fn cancel(&self, call: CallRef, _why: CancelReason) {
        if let Some(sent) = self.sent().remove(&call) {
            sent.cancel();
        }
    }
}

impl Ingress {
    /// Keeps a call that can be cancelled, unless it has been answered meanwhile.
    fn keep(&self, key: CallRef, call: Sent, sink: &Mutex<Option<ReplySink>>) {
        let mut sent = self.sent();
        if lock(sink).is_some() {
            sent.insert(key, call);
        }
    }
}

fn take(sink: &Mutex<Option<ReplySink>>) -> Option<ReplySink> {
    lock(sink).take()
}

fn incoming(call: &Call) -> Incoming {
    Incoming {
        attempt: call.attempt,
        mode: match call.mode {
            NetMode::Default => None,
            NetMode::Fork => Some(Mode::Fork),
            NetMode::Fresh => Some(Mode::Fresh),
        },
        deadline: call.deadline,
        input: call.input.clone(),
        ..Incoming::default()
    }
}

fn refused(refusal: Refusal, name: &str) -> Reply {
    match refusal {
        Refusal::NotFound => Reply::refused(
            NetRefusal::NotFound,
            format!("no function {name}; deploy it with `faaslet deploy`, or see `faaslet ps`"),
        ),
        Refusal::ShuttingDown => {
            Reply::refused(NetRefusal::ShuttingDown, "the monitor is shutting down")
        }
    }
}

fn reply_of(answer: Answer) -> Reply {
    let outcome = match answer.outcome {
        AbiOutcome::Returned => Outcome::Returned,
        AbiOutcome::Failed => Outcome::Failed,
        AbiOutcome::Trapped => Outcome::Trapped,
        AbiOutcome::TimedOut => Outcome::TimedOut,
        AbiOutcome::Refused => Outcome::Refused(NetRefusal::Overloaded { retry_after_ms: 100 }),
        AbiOutcome::Lost => Outcome::Lost,
    };
    let timings = Timings { run: answer.ran, ..Timings::default() };
    Reply { outcome, payload: answer.body.into(), timings }
}
