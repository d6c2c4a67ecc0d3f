//! Input, output, failures, log and identity.

use std::fmt;

use faaslet::test::Call;
use faaslet::{Error, Level, Raw, Text};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Person {
    name: String,
}

mod typed {
    use super::{Error, Person};

    #[faaslet::main]
    fn greet(person: Person) -> Result<Person, Error> {
        let number: u32 = person.name.trim().parse()?;
        Ok(Person { name: format!("number {number}") })
    }
}

#[test]
fn json_goes_in_and_out() {
    let answer = Call::new().json(&Person { name: "7".into() }).run(typed::faaslet_main);
    assert_eq!(answer.returned(), Ok(Person { name: "number 7".into() }));
    assert_eq!(answer.output(), br#"{"name":"number 7"}"#);
    assert_eq!(answer.failure(), None);
}

#[test]
fn an_error_is_a_failure_with_its_text() {
    let answer = Call::new().json(&Person { name: "x".into() }).run(typed::faaslet_main);
    assert_eq!(answer.failure(), Some("invalid digit found in string"));
    assert_eq!(answer.output(), b"");
    assert_eq!(answer.returned::<Person>(), Err("invalid digit found in string".into()));
}

#[test]
fn bad_input_is_named() {
    let failure = |input: &[u8]| {
        let answer = Call::new().input(input).run(typed::faaslet_main);
        answer.failure().unwrap().to_owned()
    };
    assert!(failure(b"{}").contains("Person`: missing field `name`"), "{}", failure(b"{}"));
    assert!(failure(b"").contains("Person`, found nothing"), "{}", failure(b""));
    assert!(failure(b"\xff").starts_with("bad input: expected JSON"), "{}", failure(b"\xff"));
}

mod raw {
    use super::Raw;

    #[faaslet::main]
    fn reverse(Raw(mut bytes): Raw) -> Raw {
        bytes.reverse();
        Raw(bytes)
    }
}

mod text {
    use super::Text;

    #[faaslet::main]
    fn shout(text: Text) -> Text {
        Text(text.0.to_uppercase())
    }
}

mod optional {
    #[faaslet::main]
    fn twice(number: Option<u64>) -> Option<u64> {
        number.map(|number| number * 2)
    }
}

mod nothing {
    #[faaslet::main]
    fn run() {
        faaslet::debug!("ran");
    }
}

mod unit_result {
    #[faaslet::main]
    fn run(fail: bool) -> Result<(), &'static str> {
        if fail { Err("as told") } else { Ok(()) }
    }
}

#[test]
fn bytes_and_text_go_as_they_are() {
    let answer = Call::new().input([0, 1, 0xff]).run(raw::faaslet_main);
    assert_eq!(answer.output(), [0xff, 1, 0]);
    let answer = Call::new().input("\"ada\"").run(text::faaslet_main);
    assert_eq!(answer.output(), b"\"ADA\"");
    let answer = Call::new().input(b"ab\xffcd").run(text::faaslet_main);
    assert_eq!(
        answer.failure(),
        Some("bad input: expected text in UTF-8, found another byte at offset 2")
    );
}

mod large {
    use super::Raw;

    #[faaslet::main]
    fn zeros(bytes: usize) -> Raw {
        Raw(vec![0; bytes])
    }
}

#[test]
fn an_output_over_the_limit_is_a_failure() {
    let largest = 64 << 20;
    assert_eq!(Call::new().json(&largest).run(large::faaslet_main).output().len(), largest);
    let answer = Call::new().json(&(largest + 1)).run(large::faaslet_main);
    let expected = "an output of 67108865 bytes was refused: it is larger than the host's limit";
    assert_eq!(answer.failure(), Some(expected));
}

#[test]
fn nothing_can_be_left_out() {
    assert_eq!(Call::new().run(optional::faaslet_main).output(), b"null");
    assert_eq!(Call::new().input("21").run(optional::faaslet_main).returned(), Ok(Some(42)));
    let answer = Call::new().input("whatever").run(nothing::faaslet_main);
    assert_eq!((answer.output(), answer.logs()), (b"".as_slice(), vec!["ran"]));
    assert_eq!(Call::new().json(&false).run(unit_result::faaslet_main).output(), b"");
    assert_eq!(Call::new().json(&true).run(unit_result::faaslet_main).failure(), Some("as told"));
}

/// An error that shows more when asked for it, as some crates' do.
struct Detailed;

impl fmt::Display for Detailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { "short: with its cause" } else { "short" })
    }
}

mod aliased {
    use super::Detailed;

    type Answer = Result<u8, Detailed>;

    #[faaslet::main]
    fn run() -> Answer {
        Err(Detailed)
    }
}

#[test]
fn a_result_by_another_name_is_one() {
    let answer = Call::new().run(aliased::faaslet_main);
    assert_eq!(answer.failure(), Some("short: with its cause"));
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no number")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_error_tells_its_sources() {
    let outer = Outer("x".parse::<u8>().unwrap_err());
    assert_eq!(Error::from(outer).to_string(), "no number: invalid digit found in string");
}

mod logs {
    use super::Text;

    #[faaslet::main]
    fn run() -> Text {
        faaslet::error!("one {}", 1);
        faaslet::warn!("two");
        faaslet::info!("three");
        faaslet::debug!("{}", "x".repeat(5000));
        let who = faaslet::identity();
        Text(format!("{}/{} {} {}", who.tenant, who.function, who.attempt, who.call_id))
    }
}

#[test]
fn logs_and_identity() {
    let answer = Call::new().named("acme", "logs").attempt(3).run(logs::faaslet_main);
    assert_eq!(answer.logs()[..3], ["one 1", "two", "three"]);
    assert_eq!(answer.logs()[3].len(), 4096);
    assert_eq!(answer.logs_of(Level::Warn), ["two"]);
    assert_eq!(String::from_utf8_lossy(answer.output()), format!("acme/logs 3 {}", "0".repeat(32)));
}

mod panics {
    #[faaslet::main]
    fn run(numbers: Vec<u32>) -> u32 {
        numbers[3]
    }
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn a_panic_is_one_of_the_test() {
    let _ = Call::new().json(&[1]).run(panics::faaslet_main);
}

mod hooks {
    use std::sync::OnceLock;

    static MADE: OnceLock<u32> = OnceLock::new();

    #[faaslet::init]
    fn init() -> Result<(), &'static str> {
        MADE.set(5).map_err(|_| "already made")
    }

    #[faaslet::warm]
    fn warm() {}

    #[faaslet::after_restore]
    fn seed() {}

    #[faaslet::main(headroom_kib = 512)]
    fn run() -> u32 {
        *MADE.get().unwrap_or(&0)
    }

    #[test]
    fn init_runs_and_fails_loudly() {
        faaslet_warm();
        faaslet_after_restore();
        init().unwrap();
        assert_eq!(super::Call::new().run(faaslet_main).returned(), Ok(5_u32));
        let again = std::panic::catch_unwind(|| faaslet_init()).unwrap_err();
        assert_eq!(again.downcast_ref::<String>().unwrap(), "faaslet_init failed: already made");
    }
}
