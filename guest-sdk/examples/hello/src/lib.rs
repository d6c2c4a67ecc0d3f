//! The small example: greets whoever the input names.
#![forbid(unsafe_code)]

use faaslet::Error;
use serde::{Deserialize, Serialize};

/// Longest name that is greeted.
const MAX_NAME_BYTES: usize = 256;

/// Whom to greet: `{"name": "Ada"}`.
#[derive(Deserialize)]
struct Person {
    name: String,
}

/// What comes back: `{"greeting": "Hello, Ada!"}`.
#[derive(Serialize)]
struct Greeting {
    greeting: String,
}

#[faaslet::main]
fn greet(person: Person) -> Result<Greeting, Error> {
    let name = person.name.trim();
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        let found = name.len();
        return Err(Error::new(format_args!(
            "expected a name of 1 to {MAX_NAME_BYTES} bytes, found {found}"
        )));
    }
    faaslet::info!("greeting {name}");
    Ok(Greeting { greeting: format!("Hello, {name}!") })
}

#[cfg(test)]
mod tests {
    use faaslet::test::Call;

    use super::faaslet_main;

    #[test]
    fn greets_by_name() {
        let answer = Call::new().input(r#"{"name": " Ada "}"#).run(faaslet_main);
        assert_eq!(answer.output(), br#"{"greeting":"Hello, Ada!"}"#);
        assert_eq!(answer.logs(), ["greeting Ada"]);
    }

    #[test]
    fn refuses_what_is_no_name() {
        let failure = |input: &str| {
            let answer = Call::new().input(input).run(faaslet_main);
            answer.failure().map(str::to_owned).unwrap_or_default()
        };
        assert_eq!(failure(r#"{"name": ""}"#), "expected a name of 1 to 256 bytes, found 0");
        assert!(failure("{}").contains("missing field `name`"));
    }
}
