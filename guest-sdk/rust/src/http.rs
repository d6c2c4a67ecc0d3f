//! The HTTP request behind a call, and the response to it.
//!
//! The host parses HTTP: what comes here is a head in its syntax, made by the host, and a body.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Decode, DecodeError, Encode, EncodeError};
use crate::sys;

/// The method of a call that came in another way than by HTTP.
const METHOD_WITHOUT_HTTP: &str = "POST";

/// The path of a call that came in another way than by HTTP.
const PATH_WITHOUT_HTTP: &str = "/";

/// The status of a response unless it says another.
const STATUS_OK: u16 = 200;

/// The HTTP request behind a call, as the input of a function.
///
/// A call that came in another way (by QUIC, from another function) is a `POST` to `/` without
/// query and headers, whose body is the input: so such a function can be tried from the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method: `GET`, `POST`.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The pairs of the query, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A response with its status and headers, as the output of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, 200 to 599.
    pub status: u16,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of `name` in the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of the first header `name`, in capitals or not.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// The body as a value in JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        T::decode(self.body.clone())
    }

    /// Reads the head, as the host writes it, empty for a call without HTTP.
    pub(crate) fn parse(head: &[u8], body: Vec<u8>) -> Result<Self, String> {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let (method, target) = match lines.next() {
            None => (METHOD_WITHOUT_HTTP, PATH_WITHOUT_HTTP),
            Some(line) => line
                .split_once(' ')
                .ok_or_else(|| format!("expected `METHOD path` of a request, found {line:?}"))?,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or_else(|| {
                    format!("expected `name: value` of a request, found {line:?}")
                })?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: parse_query(query),
            headers,
            body,
        })
    }
}

impl Response {
    /// A response with this status, without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A response with this status and this text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self { body: text.into().into_bytes(), ..Self::new(status) }
            .header("content-type", "text/plain; charset=utf-8")
    }

    /// A response with status 200 and this value as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let body = value.encode()?.into_owned();
        Ok(Self { body, ..Self::new(STATUS_OK) }.header("content-type", "application/json"))
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Hands status and headers to the host.
    pub(crate) fn send_head(&self) -> Result<(), String> {
        sys::set_status(self.status).map_err(|status| {
            let text = sys::text(status);
            format!("expected a response status from 200 to 599, found {}: {text}", self.status)
        })?;
        for (name, value) in &self.headers {
            sys::add_header(name, value).map_err(|status| {
                let text = sys::text(status);
                format!(
                    "expected a response header in plain ASCII, found {name:?}: {value:?}: {text}"
                )
            })?;
        }
        Ok(())
    }
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_query(name), decode_query(value))
        })
        .collect()
}

/// Undoes `+` and `%41`. What is no such code stays as it is, as browsers have it.
fn decode_query(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let code = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match (first, code) {
            (_, Some((high, low))) => {
                bytes.push(high << 4 | low);
                rest = &behind[2..];
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests;
