//! Counts the words of what is posted, and answers in the words of HTTP: `?top=N` says how many of
//! the most frequent to show, the status says what was wrong.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use faaslet::{Error, Request, Response};
use serde::Serialize;

/// Words shown unless `?top=N` says otherwise.
const DEFAULT_TOP: usize = 3;

#[derive(Serialize)]
struct Counts<'a> {
    words: usize,
    top: Vec<(&'a str, usize)>,
}

#[faaslet::main]
fn count_words(request: Request) -> Result<Response, Error> {
    if request.method != "POST" {
        let text = "post a text, for instance: curl --data 'to be or not to be'\n";
        return Ok(Response::text(405, text).header("allow", "POST"));
    }
    let Ok(top) = request.query("top").map_or(Ok(DEFAULT_TOP), str::parse) else {
        return Ok(Response::text(400, "top: expected a number\n"));
    };
    let Ok(text) = std::str::from_utf8(&request.body) else {
        return Ok(Response::text(415, "expected text in UTF-8\n"));
    };
    Ok(Response::json(&counts(text, top))?)
}

fn counts(text: &str, top: usize) -> Counts<'_> {
    let mut by_word = BTreeMap::new();
    for word in text.split_whitespace() {
        *by_word.entry(word).or_default() += 1;
    }
    let words = by_word.values().sum();
    let mut ranked: Vec<(&str, usize)> = by_word.into_iter().collect();
    ranked.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    ranked.truncate(top);
    Counts { words, top: ranked }
}

#[cfg(test)]
mod tests {
    use faaslet::test::Call;

    use super::faaslet_main;

    #[test]
    fn counts_what_is_posted() {
        let call = Call::new().request("POST", "/?top=2").input("to be or not to be");
        let answer = call.run(faaslet_main);
        assert_eq!(answer.output(), br#"{"words":6,"top":[["be",2],["to",2]]}"#);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.status(), Some(200));
    }

    #[test]
    fn says_by_its_status_what_is_wrong() {
        let status = |method: &str, target: &str, body: &[u8]| {
            Call::new().request(method, target).input(body).run(faaslet_main).status()
        };
        assert_eq!(status("GET", "/", b""), Some(405));
        assert_eq!(status("POST", "/?top=x", b""), Some(400));
        assert_eq!(status("POST", "/", b"\xff"), Some(415));
    }
}
