//! Versions and ranges in the headers of requests for state.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, header};
use faaslet_state::Version;

use crate::api::Problem;
use crate::monitor::state::Precondition;

/// The text of a header.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let value = headers.get(name).map(|value| value.to_str());
    let value = value.transpose().map_err(|_| wrong(name, "a text", "other bytes"))?;
    Ok(value.map(str::trim))
}

fn wrong(name: &HeaderName, expected: &str, found: &str) -> Problem {
    let found: String = found.chars().take(100).collect();
    Problem::bad_request(format!("expected {expected} in the header {name}; found {found:?}"))
}

/// The version that a header names.
pub(super) fn version(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Version>, Problem> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let version = quoted.and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| wrong(name, "one ETag such as \"1.42\"", text))
}

/// Whether a header names this version, or any.
pub(super) fn names(
    headers: &HeaderMap,
    name: &HeaderName,
    found: Version,
) -> Result<bool, Problem> {
    if text(headers, name)? == Some("*") {
        return Ok(true);
    }
    Ok(version(headers, name)? == Some(found))
}

/// What a write expects.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let (some, none) = (text(headers, &header::IF_MATCH)?, text(headers, &header::IF_NONE_MATCH)?);
    match (some, none) {
        (None, None) => Ok(Precondition::None),
        (Some("*"), None) => Ok(Precondition::Present),
        (Some(_), None) => {
            let version = version(headers, &header::IF_MATCH)?;
            Ok(version.map_or(Precondition::None, Precondition::Is))
        }
        (None, Some("*")) => Ok(Precondition::Absent),
        (None, Some(found)) => Err(wrong(&header::IF_NONE_MATCH, "*", found)),
        (Some(_), Some(found)) => Err(wrong(&header::IF_NONE_MATCH, "If-Match alone", found)),
    }
}

/// The range that is asked for, within a value of `len` bytes.
pub(super) fn range(headers: &HeaderMap, len: u64) -> Result<Option<Range<u64>>, Problem> {
    let Some(text) = text(headers, &header::RANGE)? else { return Ok(None) };
    let expected = "one range such as bytes=0-99, bytes=100- or bytes=-100";
    let malformed = || wrong(&header::RANGE, expected, text);
    let (first, last) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .ok_or_else(malformed)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| malformed());
    let range = match (first, last) {
        ("", last) => len.saturating_sub(number(last)?)..len,
        (first, "") => number(first)?..len,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(len),
    };
    if range.is_empty() {
        let detail = format!("expected a range within {len} bytes; found {text:?}");
        return Err(Problem::range(detail));
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn ranges_are_those_of_http() {
        let found = |value| range(&with(header::RANGE, value), 10).map_err(|p| p.status);
        assert_eq!(found("bytes=0-3"), Ok(Some(0..4)));
        assert_eq!(found("bytes=8-"), Ok(Some(8..10)));
        assert_eq!(found("bytes=-3"), Ok(Some(7..10)));
        assert_eq!(found("bytes=5-99999999999999999999"), Err(400));
        assert_eq!(found("bytes=5-18446744073709551615"), Ok(Some(5..10)));
        assert_eq!(found("bytes=10-"), Err(416));
        assert_eq!(found("bytes=4-2"), Err(416));
        for value in ["", "bytes=", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=--1"] {
            assert_eq!(found(value), Err(400), "{value}");
        }
    }

    #[test]
    fn preconditions_are_one_version_or_presence() {
        let some = |value| precondition(&with(header::IF_MATCH, value)).map_err(|p| p.status);
        let version = "1.42".parse().unwrap();
        assert_eq!(some("\"1.42\""), Ok(Precondition::Is(version)));
        assert_eq!(some("*"), Ok(Precondition::Present));
        assert_eq!(some("1.42"), Err(400));
        assert_eq!(some("W/\"1.42\""), Err(400));
        let none = |value| precondition(&with(header::IF_NONE_MATCH, value)).map_err(|p| p.status);
        assert_eq!(none("*"), Ok(Precondition::Absent));
        assert_eq!(none("\"1.42\""), Err(400));
    }
}
