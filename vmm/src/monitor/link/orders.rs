//! Orders to a cell over its socket, and what it reports.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use faaslet_sandbox::aio::AsyncSocket;

use super::CellLink;
use crate::control::{Order, Report};

/// How long a cell may take to say that it is ready, or that it has loaded a function.
const REPORT_LIMIT: Duration = Duration::from_secs(120);

/// Why a cell did not start, or did not load a function.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The process could not be started.
    #[error("cannot start a cell: {0}; see `faaslet doctor`")]
    Start(String),
    /// It said something else.
    #[error("expected the cell to {expected}; {found}")]
    Report {
        /// What it should have done.
        expected: &'static str,
        /// What it did.
        found: String,
    },
    /// It ended, or went silent and was ended: another one may do better.
    #[error("expected the cell to answer; it is gone: {0}")]
    Gone(String),
}

impl CellLink {
    /// Gives an order and waits for its report.
    ///
    /// # Errors
    /// See [`CellError`].
    pub async fn order(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<(), CellError> {
        let expected = "obey an order";
        let failed = |found: String| CellError::Report { expected, found };
        let _one_at_a_time = self.orders.lock().await;
        let bytes = serde_json::to_vec(order).map_err(|error| failed(error.to_string()))?;
        let sent = self.socket.send_parcel(&bytes, fds).await;
        sent.map_err(|error| CellError::Gone(error.to_string()))?;
        if matches!(order, Order::Start { .. } | Order::Remove { .. }) {
            return Ok(());
        }
        match report(&self.socket).await?.0 {
            Report::Added { artefact_us, image_us, .. } => {
                tracing::debug!(artefact_us, image_us, "a cell told how long it took");
                Ok(())
            }
            Report::Changed { .. } => Ok(()),
            Report::Failed { message, .. } => Err(failed(message)),
            Report::Ready { .. } => Err(failed("it said that it is ready, again".into())),
        }
    }
}

/// What the cell says next, and the descriptors beside it.
pub(super) async fn report(socket: &AsyncSocket) -> Result<(Report, Vec<OwnedFd>), CellError> {
    let message = tokio::time::timeout(REPORT_LIMIT, socket.recv())
        .await
        .map_err(|_| CellError::Gone(format!("it said nothing within {REPORT_LIMIT:?}")))?
        .map_err(|error| CellError::Gone(error.to_string()))?;
    if message.bytes.is_empty() {
        return Err(CellError::Gone("it closed its socket".to_owned()));
    }
    let report = serde_json::from_slice(&message.bytes).map_err(|error| CellError::Report {
        expected: "answer over its socket",
        found: error.to_string(),
    })?;
    Ok((report, message.descriptors))
}
