//! Functions over HTTP.

use faaslet::test::Call;
use faaslet::{Request, Response, Text};

mod requests {
    use super::{Request, Response};

    #[faaslet::main]
    fn serve(request: Request) -> Result<Response, String> {
        let status = request.query("status").unwrap_or("200");
        let status = status.parse().map_err(|_| format!("expected a status, found {status:?}"))?;
        let body = format!("{} {} {}", request.method, request.path, request.body.len());
        let kind = request.header("X-Kind").unwrap_or("none").to_owned();
        Ok(Response::text(status, body).header("x-kind", kind))
    }
}

mod value {
    #[faaslet::main]
    fn list() -> Vec<u8_alias> {
        vec![1, 2]
    }

    #[allow(non_camel_case_types)]
    type u8_alias = u8;
}

mod text {
    use super::Text;

    #[faaslet::main]
    fn say() -> Text {
        Text("hi".into())
    }
}

#[test]
fn a_request_and_its_response() {
    let call =
        Call::new().request("PUT", "/a/b?status=201").header("x-kind", "test").input("12345");
    let answer = call.run(requests::faaslet_main);
    assert_eq!(answer.output(), b"PUT /a/b 5");
    assert_eq!(answer.status(), Some(201));
    assert_eq!(answer.header("X-KIND"), Some("test"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn without_http_it_runs_too() {
    let answer = Call::new().input("123").run(requests::faaslet_main);
    assert_eq!(answer.output(), b"POST / 3");
}

#[test]
fn what_http_does_not_take_is_a_failure() {
    let call = Call::new().request("GET", "/?status=199");
    let failure = call.run(requests::faaslet_main).failure().unwrap().to_owned();
    assert!(
        failure.starts_with("expected a response status from 200 to 599, found 199"),
        "{failure}"
    );
    let call = Call::new().request("GET", "/").header("x-kind", "ä");
    let failure = call.run(requests::faaslet_main).failure().unwrap().to_owned();
    assert!(
        failure.starts_with("expected a response header in plain ASCII, found \"x-kind\""),
        "{failure}"
    );
}

#[test]
fn a_value_says_its_type_over_http_only() {
    let over_http = Call::new().request("GET", "/");
    let answer = over_http.run(value::faaslet_main);
    assert_eq!(
        (answer.output(), answer.header("content-type")),
        (b"[1,2]".as_slice(), Some("application/json"))
    );
    let answer = over_http.run(text::faaslet_main);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(Call::new().run(text::faaslet_main).header("content-type"), None);
}
