//! Errors as problem+json (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use faaslet_state::message::Failure;
use faaslet_state::session::SessionError;
use faaslet_store::{
    DeployError as RecordError, FunctionError, GcError, GrantError, NameError, PutError,
    RemoveError, TenantError,
};

use crate::api::Problem;
use crate::monitor::state::OutsideError;
use crate::monitor::{
    AdminError, Busy, DeployError, LoadError, ModuleError, OverBudget, StoreError,
};

/// When a refused call may be tried again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Kinds of problems: the word, the status, and what it means.
macro_rules! kinds {
    ($($name:ident $kind:literal $status:ident $title:literal;)*) => {
        impl Problem {
            $(#[doc = $title]
            pub(crate) fn $name(detail: impl Into<String>) -> Self {
                Self {
                    kind: $kind.to_owned(),
                    title: $title.to_owned(),
                    status: StatusCode::$status.as_u16(),
                    detail: detail.into(),
                }
            })*
        }
        /// Every kind with its status.
        #[cfg(test)]
        pub(super) const KINDS: &[(&str, u16)] =
            &[$(($kind, StatusCode::$status.as_u16())),*];
    };
}

kinds! {
    bad_request "bad-request" BAD_REQUEST "The request is not what it should be";
    unauthorised "unauthorised" UNAUTHORIZED "No valid token";
    forbidden "forbidden" FORBIDDEN "The token gives no right to this";
    not_found "not-found" NOT_FOUND "There is no such thing";
    method "method-not-allowed" METHOD_NOT_ALLOWED "This cannot be done with it";
    too_slow "too-slow" REQUEST_TIMEOUT "The request took too long to arrive";
    conflict "conflict" CONFLICT "There is one already";
    precondition "precondition-failed" PRECONDITION_FAILED "It is not in the version that was expected";
    gone "gone" GONE "It was there, and is lost";
    locked "locked" LOCKED "Somebody holds a lock";
    range "range-not-satisfiable" RANGE_NOT_SATISFIABLE "There are no such bytes";
    too_large "too-large" PAYLOAD_TOO_LARGE "The body is over the limit";
    refused "refused" UNPROCESSABLE_ENTITY "What was asked for cannot be done";
    overloaded "overloaded" TOO_MANY_REQUESTS "No room now";
    function_failed "function-failed" INTERNAL_SERVER_ERROR "The function returned a failure";
    function_trapped "function-trapped" INTERNAL_SERVER_ERROR "The function trapped";
    internal "internal" INTERNAL_SERVER_ERROR "The monitor failed";
    lost "lost" BAD_GATEWAY "The call may have run; its cell is gone";
    shutting_down "shutting-down" SERVICE_UNAVAILABLE "The monitor is about to stop";
    timed_out "timed-out" GATEWAY_TIMEOUT "The deadline passed";
    disk_full "disk-full" INSUFFICIENT_STORAGE "No room on the disk";
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            // What is left of the body is not worth reading to its end for another request.
            StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// What is the monitor's own fault: logged here, told in short.
fn internal(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a request failed");
    Problem::internal(format!("{error}; see the monitor's log"))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Function(error) => error.into(),
            StoreError::Tenant(error) => error.into(),
            StoreError::Name(error) => error.into(),
            StoreError::Db(error) => internal(&error),
            StoreError::Blob(error) => internal(&error),
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<FunctionError> for Problem {
    fn from(error: FunctionError) -> Self {
        let text = error.to_string();
        match error {
            FunctionError::Unknown(_) | FunctionError::UnknownVersion { .. } => {
                Self::not_found(text)
            }
            FunctionError::Db(error) => internal(&error),
            _ => Self::refused(text),
        }
    }
}

impl From<TenantError> for Problem {
    fn from(error: TenantError) -> Self {
        let text = error.to_string();
        match error {
            TenantError::Exists(_) => Self::conflict(text),
            TenantError::Unknown(_)
            | TenantError::NotGranted { .. }
            | TenantError::UnknownToken(_) => Self::not_found(text),
            TenantError::TooManyGrants(_)
            | TenantError::TooManyTokens { .. }
            | TenantError::Nested { .. } => Self::refused(text),
            TenantError::Random(_) | TenantError::Db(_) => internal(&text),
        }
    }
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        let text = error.to_string();
        match error {
            PutError::TooLong { .. } => Self::too_large(text),
            PutError::DiskFull { .. } => Self::disk_full(text),
            PutError::Source { .. } | PutError::Mismatch { .. } => Self::bad_request(text),
            PutError::Write { .. } => internal(&text),
        }
    }
}

impl From<ModuleError> for Problem {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::Put(error) => error.into(),
            ModuleError::Quota { .. } => Self::disk_full(error.to_string()),
            ModuleError::OverBudget(error) => error.into(),
        }
    }
}

impl From<OverBudget> for Problem {
    fn from(error: OverBudget) -> Self {
        match error {
            OverBudget::Full { .. } => Self::disk_full(error.to_string()),
            OverBudget::Gc(error) => internal(&error),
        }
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::overloaded(busy.to_string())
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Store(error) => error.into(),
            AdminError::NoFunction(_)
            | AdminError::NoImage(_)
            | AdminError::Remove(RemoveError::Absent { .. }) => Self::not_found(error.to_string()),
            AdminError::Image(_) | AdminError::Folder(_) | AdminError::Limit { .. } => {
                Self::refused(error.to_string())
            }
            AdminError::Put(error) => error.into(),
            AdminError::Remove(RemoveError::InUse { .. }) | AdminError::BaseInUse { .. } => {
                Self::conflict(error.to_string())
            }
            AdminError::Gc(GcError::Db(error)) => internal(&error),
            AdminError::Load(LoadError::NotGranted(_) | LoadError::Folder(_)) => {
                Self::refused(error.to_string())
            }
            error => internal(&error),
        }
    }
}

impl From<OutsideError> for Problem {
    fn from(error: OutsideError) -> Self {
        let text = error.to_string();
        match error {
            OutsideError::Session { error, .. } => of_session(&error, text),
            OutsideError::Precondition { .. } => Self::precondition(text),
            OutsideError::Rule { .. } => Self::refused(text),
            OutsideError::Range { .. } => Self::range(text),
            OutsideError::TooLong { .. } => Self::too_large(text),
            OutsideError::TooManyWatches { .. } => Self::overloaded(text),
            OutsideError::Protocol => internal(&text),
            OutsideError::Ended => Self::shutting_down(text),
        }
    }
}

fn of_session(error: &SessionError, text: String) -> Problem {
    let failure = match error {
        SessionError::Refused(failure) => failure,
        SessionError::Unknown => return Problem::lost(text),
        SessionError::Deadline | SessionError::NoOwner { .. } => return Problem::timed_out(text),
        SessionError::Full { .. } => return Problem::overloaded(text),
    };
    match failure {
        Failure::NotFound => Problem::not_found(text),
        Failure::Lost | Failure::Collected { .. } => Problem::gone(text),
        Failure::OtherSpec { .. } | Failure::OtherValue { .. } => Problem::conflict(text),
        Failure::Locked { .. } | Failure::LockTimeout { .. } => Problem::locked(text),
        Failure::Malformed { .. } => Problem::bad_request(text),
        Failure::Storage { .. } => Problem::disk_full(text),
        Failure::Length { .. } => Problem::too_large(text),
        _ => Problem::refused(text),
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let text = error.to_string();
        match error {
            DeployError::Request(_) => Self::bad_request(text),
            DeployError::Store(error) => error.into(),
            DeployError::Put(error) => error.into(),
            DeployError::Record(RecordError::UnknownTenant(_)) => Self::not_found(text),
            DeployError::Busy(busy) => busy.into(),
            DeployError::OverBudget(error) => error.into(),
            DeployError::Build(_)
            | DeployError::Record(_)
            | DeployError::Folder(LoadError::NotGranted(_) | LoadError::Folder(_)) => {
                Self::refused(text)
            }
            DeployError::Folder(error) => internal(&error),
            DeployError::Image(_) | DeployError::Rest(_) | DeployError::System(_) => {
                internal(&text)
            }
        }
    }
}
