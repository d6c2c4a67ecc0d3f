//! The function `{{name}}`.

use faaslet::Error;
use serde::{Deserialize, Serialize};

/// The input: `{"name": "Ada"}`.
#[derive(Deserialize)]
struct Person {
    name: String,
}

/// The output: `{"greeting": "Hello, Ada!"}`.
#[derive(Serialize)]
struct Greeting {
    greeting: String,
}

/// Runs once, at the deployment. What it leaves in memory is there at the start of every call:
/// load models and fill tables here.
#[faaslet::init]
fn init() {}

/// Runs one call, in a fork of its own.
#[faaslet::main]
fn greet(person: Person) -> Result<Greeting, Error> {
    if person.name.is_empty() {
        return Err(Error::new("expected a name, found an empty one"));
    }
    faaslet::info!("greeting {}", person.name);
    Ok(Greeting { greeting: format!("Hello, {}!", person.name) })
}

#[cfg(test)]
mod tests {
    use faaslet::test::Call;

    use super::faaslet_main;

    #[test]
    fn greets_by_name() {
        let answer = Call::new().input(r#"{"name": "Ada"}"#).run(faaslet_main);
        assert_eq!(answer.output(), br#"{"greeting":"Hello, Ada!"}"#);
    }

    #[test]
    fn refuses_an_empty_name() {
        let answer = Call::new().input(r#"{"name": ""}"#).run(faaslet_main);
        assert_eq!(answer.failure(), Some("expected a name, found an empty one"));
    }
}
