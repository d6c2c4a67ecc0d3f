//! Calls of functions over HTTP: the body is the input, the output is the body.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use faaslet_abi::Outcome;
use tokio::sync::oneshot;

use super::body::whole;
use super::{App, auth};
use crate::api::Problem;
use crate::cell::{Answer, Mode, Refusal};
use crate::monitor::{Calling, Incoming, MAX_TIMEOUT};
use crate::wire::MAX_INPUT_BYTES;

/// Methods that a function is called with.
#[cfg(test)]
pub(super) const METHODS: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

/// Names, as headers or in the query, of what a call may say about itself.
const MODE: &str = "faaslet-mode";
const TIMEOUT: &str = "faaslet-timeout-ms";
const TENANT: &str = "faaslet-tenant";
/// Headers of the answer.
const CALL_ID: HeaderName = HeaderName::from_static("faaslet-call-id");
const RUN_US: HeaderName = HeaderName::from_static("faaslet-run-us");

/// Headers of a request that are not the function's business: the caller's token, and what belongs
/// to the connection.
const KEPT_BACK: [&str; 9] = [
    "authorization",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of a response that a function cannot set: they frame it.
const FRAMING: [&str; 6] =
    ["connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"];

/// Cancels a call when its caller has gone.
struct Waiting(Option<Calling>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(calling) = self.0.take() {
            calling.cancel();
        }
    }
}

/// ANY `/f/{name}` and what lies beneath it.
pub(super) async fn call(
    State(app): State<App>,
    path: Path<Vec<String>>,
    request: Request,
) -> Response {
    match run(&app, path.0.first().map_or("", String::as_str), request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn run(app: &App, name: &str, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let named = said(&parts, TENANT);
    let tenant = auth::tenant(auth::role(app, &parts.headers)?, named.as_deref())?;
    let (mode, timeout) = (mode(&parts)?, timeout(&parts)?);
    let (input, held) = whole(body, &parts.headers, MAX_INPUT_BYTES, &app.0.bodies).await?;
    let id: [u8; 16] = rand::random();
    let incoming = Incoming {
        id,
        attempt: 1,
        depth: 0,
        mode,
        deadline: timeout.map(|timeout| std::time::Instant::now() + timeout),
        request: head(&parts),
        input,
    };
    let (send, receive) = oneshot::channel();
    let reply = Box::new(move |answer| {
        drop(held);
        // A caller that has gone hears nothing.
        let _ = send.send(answer);
    });
    let calling = app.monitor().call(tenant.as_str(), name, incoming, reply);
    let mut waiting = Waiting(Some(calling));
    let answer = receive.await;
    waiting.0 = None;
    let answer = answer.map_err(|_| Problem::lost("the call was dropped; it may have run"))?;
    Ok(respond(&id, answer))
}

/// A value that a call says about itself: a header, or else in the query.
fn said(parts: &Parts, name: &str) -> Option<String> {
    if let Some(value) = parts.headers.get(name) {
        return value.to_str().ok().map(str::to_owned);
    }
    parts.uri.query().filter(|query| query.contains(name))?;
    auth::query(parts, name)
}

fn mode(parts: &Parts) -> Result<Option<Mode>, Problem> {
    match said(parts, MODE).as_deref() {
        None => Ok(None),
        Some("fork") => Ok(Some(Mode::Fork)),
        Some("fresh") => Ok(Some(Mode::Fresh)),
        Some(other) => Err(Problem::bad_request(format!(
            "expected {MODE} to be fork or fresh; found {other:?}"
        ))),
    }
}

fn timeout(parts: &Parts) -> Result<Option<Duration>, Problem> {
    let Some(text) = said(parts, TIMEOUT) else { return Ok(None) };
    let most = MAX_TIMEOUT.as_millis();
    let time = text.parse::<u64>().ok().filter(|ms| (1..=most).contains(&u128::from(*ms)));
    let time = time.map(Duration::from_millis).ok_or_else(|| {
        Problem::bad_request(format!("expected {TIMEOUT} to be 1 to {most}; found {text:?}"))
    })?;
    Ok(Some(time))
}

/// The request as the function sees it: `METHOD path?query`, with the path beneath the function's
/// own, then the headers.
fn head(parts: &Parts) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(parts.method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(path_of(&parts.uri).as_bytes());
    if let Some(query) = parts.uri.query() {
        head.push(b'?');
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        let name = name.as_str();
        if KEPT_BACK.contains(&name) || name.starts_with("faaslet-") {
            continue;
        }
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head
}

/// What follows `/f/NAME`, and `/` for nothing.
fn path_of(uri: &Uri) -> &str {
    let path = uri.path();
    let name = path.strip_prefix("/f/").unwrap_or(path);
    name.find('/').map_or("/", |at| &name[at..])
}

fn respond(id: &[u8; 16], answer: Answer) -> Response {
    let ran = answer.ran;
    let mut response = match answer.outcome {
        Outcome::Returned => returned(answer),
        Outcome::Refused => refused(&answer).into_response(),
        outcome => problem(outcome, String::from_utf8_lossy(&answer.body)).into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_bytes(&hex(id)) {
        headers.insert(CALL_ID, id);
    }
    headers.insert(RUN_US, HeaderValue::from(ran.as_micros() as u64));
    response
}

/// An id as digits.
fn hex(id: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[usize::from(id[at / 2] >> (4 * (1 - at % 2)) & 15)])
}

fn problem(outcome: Outcome, message: impl Into<String>) -> Problem {
    match outcome {
        Outcome::Failed => Problem::function_failed(message),
        Outcome::Trapped => Problem::function_trapped(message),
        Outcome::TimedOut => Problem::timed_out(message),
        Outcome::Lost | Outcome::Refused | Outcome::Returned => Problem::lost(message),
    }
}

/// A call that was not run; only the kinds that may pass carry advice to try again.
fn refused(answer: &Answer) -> Problem {
    let message = String::from_utf8_lossy(&answer.body);
    match answer.refusal.unwrap_or(Refusal::CannotBeMade) {
        Refusal::Overloaded => Problem::overloaded(message),
        Refusal::NotFound => Problem::not_found(message),
        Refusal::TooDeep | Refusal::CannotBeMade => Problem::refused(message),
        Refusal::TooLarge => Problem::too_large(message),
        Refusal::ShuttingDown => Problem::shutting_down(message),
        Refusal::Cancelled => Problem::lost(message),
    }
}

fn returned(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.response.status).ok().filter(|s| s.as_u16() >= 200);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status.unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    set_headers(headers, &answer.response.headers);
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.entry(header::CONTENT_TYPE).or_insert(octets);
    response
}

/// Adds the function's headers; one that is none, or that frames the response, is left out.
fn set_headers(headers: &mut HeaderMap, lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let name = HeaderName::from_bytes(name);
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) else { continue };
        if !FRAMING.contains(&name.as_str()) {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = axum::http::Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_function_sees_its_path_and_headers_but_no_token() {
        let parts = parts(
            "/f/hello/a/b?x=1",
            &[("accept", "text/plain"), ("Authorization", "Bearer secret"), (MODE, "fresh")],
        );
        let head = String::from_utf8(head(&parts)).unwrap();
        assert_eq!(head, "POST /a/b?x=1\r\naccept: text/plain\r\n");
        assert_eq!(path_of(&"/f/hello".parse().unwrap()), "/");
    }

    #[test]
    fn mode_and_timeout_come_from_headers_or_the_query() {
        assert_eq!(mode(&parts("/f/a?faaslet-mode=fresh", &[])), Ok(Some(Mode::Fresh)));
        assert_eq!(
            mode(&parts("/f/a?faaslet-mode=fresh", &[(MODE, "fork")])),
            Ok(Some(Mode::Fork))
        );
        assert_eq!(mode(&parts("/f/a", &[])), Ok(None));
        assert_eq!(mode(&parts("/f/a", &[(MODE, "x")])).unwrap_err().status, 400);
        assert_eq!(
            timeout(&parts("/f/a?faaslet-timeout-ms=5", &[])),
            Ok(Some(Duration::from_millis(5)))
        );
        for bad in ["0", "-1", "x", "99999999999"] {
            assert_eq!(
                timeout(&parts("/f/a", &[(TIMEOUT, bad)])).unwrap_err().status,
                400,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_function_sets_headers_but_not_the_framing() {
        let mut headers = HeaderMap::new();
        set_headers(
            &mut headers,
            b"x-a: 1\r\nX-A: 2\r\nContent-Length: 9\r\nno header\r\nb\xffd: x\r\nset-cookie:  c=d \r\n",
        );
        let all: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(all, ["1", "2"]);
        assert_eq!(headers["set-cookie"], "c=d");
        assert_eq!(headers.len(), 3, "{headers:?}");
    }

    #[test]
    fn every_outcome_has_its_status() {
        let table = [
            (Outcome::Returned, 200),
            (Outcome::Failed, 500),
            (Outcome::Trapped, 500),
            (Outcome::TimedOut, 504),
            (Outcome::Lost, 502),
        ];
        for (outcome, status) in table {
            let response = respond(&[1; 16], Answer::message(outcome, "m"));
            assert_eq!(response.status().as_u16(), status, "{outcome:?}");
            assert_eq!(response.headers()[CALL_ID], "01".repeat(16).as_str());
        }
    }

    #[test]
    fn an_id_is_32_digits() {
        let id = std::array::from_fn(|at| (at * 17) as u8);
        assert_eq!(&hex(&id), b"00112233445566778899aabbccddeeff");
    }

    #[test]
    fn every_refusal_has_its_status_and_advice_where_another_attempt_can_help() {
        let table = [
            (Refusal::Overloaded, 429, true),
            (Refusal::NotFound, 404, false),
            (Refusal::TooDeep, 422, false),
            (Refusal::CannotBeMade, 422, false),
            (Refusal::TooLarge, 413, false),
            (Refusal::ShuttingDown, 503, true),
            (Refusal::Cancelled, 502, false),
        ];
        assert_eq!(table.map(|row| row.0), Refusal::ALL);
        for (refusal, status, again) in table {
            let response = respond(&[1; 16], Answer::refused(refusal, "m"));
            let advice = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!((response.status().as_u16(), advice), (status, again), "{refusal:?}");
        }
    }
}
