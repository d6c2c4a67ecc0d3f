//! What may be among the dependencies, as `deny.toml` says it, checked with cargo alone: licences,
//! bans and sources. `make deny` checks the same, and known vulnerabilities, with cargo-deny.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use faaslet_tests::tree;
use serde_json::Value;

/// The one platform that faaslet runs on.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Where packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn rules() -> toml::Table {
    std::fs::read_to_string(tree::root().join("deny.toml")).unwrap().parse().unwrap()
}

fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .current_dir(tree::root())
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", PLATFORM])
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let whole: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    whole["packages"].as_array().unwrap().clone()
}

/// Whether a licence expression can be met with licences of the list.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    match words.next() {
        Some("(") => any(words, allowed) && words.next() == Some(")"),
        Some(name) if words.next_if_eq(&"WITH").is_some() => {
            allowed.contains(format!("{name} WITH {}", words.next().unwrap_or_default()).as_str())
        }
        Some(name) => allowed.contains(name),
        None => false,
    }
}

#[test]
fn dependencies_are_what_deny_toml_allows() {
    let rules = rules();
    let text = |value: &'static str, key: &str| -> BTreeSet<String> {
        let list = rules[value][key].as_array().unwrap().iter();
        let names = list.map(|entry| entry.get("name").unwrap_or(entry).as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    let (allow, banned) = (text("licenses", "allow"), text("bans", "deny"));
    let allow: BTreeSet<&str> = allow.iter().map(String::as_str).collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let license = package["license"].as_str().unwrap_or("none stated");
        if !is_met(license, &allow) {
            wrong.push(format!("{name} has the licence {license}"));
        }
        if banned.contains(name) {
            wrong.push(format!("{name} is banned"));
        }
        if package["source"].as_str().is_some_and(|source| source != REGISTRY) {
            wrong.push(format!("{name} comes from {}", package["source"]));
        }
    }
    assert!(wrong.is_empty(), "against deny.toml:\n{}", wrong.join("\n"));
}

#[test]
fn licence_expressions_mean_what_they_say() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0 WITH LLVM-exception", "ISC"]);
    for met in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "(MIT OR X) AND ISC", "MIT AND (X OR ISC)"]
    {
        assert!(is_met(met, &allowed), "{met}");
    }
    assert!(is_met("X OR Apache-2.0 WITH LLVM-exception", &allowed));
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT", "MIT MIT", "none stated"]
    {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}
