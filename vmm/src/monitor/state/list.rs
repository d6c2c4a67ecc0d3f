//! Names of all hosts: a `List` asks every owner, and lays the answers together.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use faaslet_state::key::MAX_KEY_BYTES;
use faaslet_state::message::{Body, Failure, MAX_LISTED, Reply};
use faaslet_state::payload::{names, write_name};
use faaslet_state::session::SessionError;

use super::super::lock::lock;
use super::live::Live;
use super::{Answered, States};

/// What the hosts have said so far.
struct Gathered {
    names: BTreeSet<String>,
    /// Up to where every host that has more has told all: the least of their last names.
    complete: Option<String>,
    left: usize,
    limit: usize,
    answered: Option<Answered>,
}

pub(super) fn ask(
    states: &Arc<States>,
    live: &Arc<Live>,
    prefix: &str,
    after: &str,
    limit: u32,
    deadline: Instant,
    answered: Answered,
) {
    if prefix.len().max(after.len()) > MAX_KEY_BYTES || live.inner().is_closed() {
        let why = format!("found a prefix or name of more than {MAX_KEY_BYTES} bytes");
        let closed = live.inner().is_closed();
        let failure = if closed { Failure::Ended } else { Failure::Malformed { why } };
        return answered(Err(failure.into()));
    }
    let limit = limit.min(MAX_LISTED);
    let gathered = Arc::new(Mutex::new(Gathered {
        names: BTreeSet::new(),
        complete: None,
        left: states.hosts.len(),
        limit: limit as usize,
        answered: Some(answered),
    }));
    for host in &states.hosts {
        let body = Body::List { after: after.to_owned(), limit };
        let gathered = Arc::clone(&gathered);
        let answered: Answered = Box::new(move |result| {
            let told = lock(&gathered).take(result);
            if let Some((answered, result)) = told {
                answered(result);
            }
        });
        states.submit_to(live, *host, prefix, body, deadline, answered);
    }
}

impl Gathered {
    /// Takes one host's answer; after the last, or an error, what to tell.
    fn take(
        &mut self,
        result: Result<(Reply, Bytes), SessionError>,
    ) -> Option<(Answered, Result<(Reply, Bytes), SessionError>)> {
        self.left -= 1;
        let (reply, payload) = match result {
            Ok(answer) => answer,
            Err(error) => return Some((self.answered.take()?, Err(error))),
        };
        if let Err(failure) = self.add(&reply, &payload) {
            return Some((self.answered.take()?, Err(failure.into())));
        }
        if self.left > 0 {
            return None;
        }
        let result = Ok(self.together());
        Some((self.answered.take()?, result))
    }

    fn add(&mut self, reply: &Reply, payload: &[u8]) -> Result<(), Failure> {
        let malformed = |why: String| Failure::Malformed { why };
        let Reply::Listed { more } = reply else {
            return Err(malformed("found another answer than a list".to_owned()));
        };
        let mut last = None;
        for name in names(payload).take(MAX_LISTED as usize) {
            let name = name.map_err(|error| malformed(error.to_string()))?;
            last = Some(name.to_owned());
            self.names.insert(name.to_owned());
        }
        if let (true, Some(last)) = (more, last) {
            let known = self.complete.take();
            self.complete = Some(known.map_or(last.clone(), |known| known.min(last)));
        }
        Ok(())
    }

    fn together(&self) -> (Reply, Bytes) {
        let known = |name: &&String| self.complete.as_ref().is_none_or(|last| *name <= last);
        let mut bytes = Vec::new();
        let mut count = 0;
        for name in self.names.iter().take_while(known).take(self.limit) {
            write_name(&mut bytes, name);
            count += 1;
        }
        (Reply::Listed { more: count < self.names.len() || self.complete.is_some() }, bytes.into())
    }
}
