//! The filter as text, for people and for the golden file.

use std::fmt::Write;

use super::{Call, Is, Role, Scope, Test, allowed, hostile};

/// What a process of this role may do: each call on a line with its conditions, sorted.
pub fn render(scope: Scope) -> String {
    let role = match scope.role {
        Role::Cell => "cell",
        Role::Builder => "builder",
    };
    let files = if scope.files { "with files" } else { "without files" };
    let mut text = String::new();
    section(&mut text, &format!("{role} {files}: allowed"), allowed(scope));
    section(&mut text, "killed", hostile::CALLS.iter());
    text.push_str("any other: ENOSYS\n");
    text
}

fn section<'a>(text: &mut String, title: &str, calls: impl Iterator<Item = &'a Call>) {
    let mut lines: Vec<String> = calls.map(line).collect();
    lines.sort();
    let _ = writeln!(text, "{title}, {} calls", lines.len());
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn line(call: &Call) -> String {
    let any: Vec<String> = call.when.iter().map(|all| conditions(all)).collect();
    match any.as_slice() {
        [] => call.name.to_owned(),
        any => format!("{}: {}", call.name, any.join(", or ")),
    }
}

fn conditions(all: &[Test]) -> String {
    all.iter().map(condition).collect::<Vec<_>>().join(" and ")
}

fn condition(test: &Test) -> String {
    match test.is {
        Is::Equal(value) => format!("{} == {value:#x}", test.name),
        Is::Masked { mask, value } => format!("{} & {mask:#x} == {value:#x}", test.name),
        Is::OwnProcess => format!("{} is its own", test.name),
    }
}
