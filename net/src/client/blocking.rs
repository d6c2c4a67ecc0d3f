//! A client for programs without a runtime.

use super::{CallError, CallOptions, Client, ClientConfig, ConnectError};
use bytes::Bytes;
use faaslet_proto::Reply;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::Runtime;

/// A [`Client`] with a runtime of its own, driven by the calling thread while it waits. Between
/// calls nothing runs: a connection that was lost meanwhile is made again by the next call.
#[derive(Debug)]
pub struct BlockingClient {
    /// Invariant: some until it is dropped.
    client: Option<Client>,
    tenant: String,
    runtime: Mutex<Runtime>,
}

/// Turns given to the driver at the end, to tell the monitor that the connection is over.
const LAST_TURNS: usize = 4;

impl BlockingClient {
    /// Connects, and returns when the monitor has let us in.
    pub fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ConnectError::Local(error.to_string()))?;
        let client = runtime.block_on(Client::connect(config))?;
        let tenant = client.tenant().to_owned();
        Ok(Self { client: Some(client), tenant, runtime: Mutex::new(runtime) })
    }

    /// Who we are, by our credential.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Calls a function and waits for its output.
    pub fn call(&self, function: &str, input: impl Into<Bytes>) -> Result<Reply, CallError> {
        self.call_with(function, input, CallOptions::default())
    }

    /// Calls a function as `options` say and waits for its output. One call at a time: other
    /// threads wait for their turn.
    pub fn call_with(
        &self,
        function: &str,
        input: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Reply, CallError> {
        let input = input.into();
        self.run(async |client| client.call_with(function, input, options).await)
    }

    /// Does something with the client, and waits for it: `run(async |client| …)`.
    pub fn run<T, E: From<CallError>>(
        &self,
        what: impl AsyncFnOnce(&Client) -> Result<T, E>,
    ) -> Result<T, E> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let client = self.client.as_ref().ok_or(CallError::Closed)?;
        runtime.block_on(what(client))
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        drop(self.client.take());
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner);
        runtime.block_on(async {
            for _ in 0..LAST_TURNS {
                tokio::task::yield_now().await;
            }
        });
    }
}
