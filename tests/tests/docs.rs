//! What the documents name is there: files, `make` targets, tests, commands of the program.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use faaslet_tests::{program, tree};

fn documents() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(tree::root().join(&path)).unwrap();
        (path, text)
    };
    let is_one = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    tree::files().into_iter().filter(is_one).map(read).collect()
}

/// Command lines in a document: lines of code blocks, and code within text.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            block = !block;
        } else if block || line.starts_with("    ") {
            let line = line.trim_start().trim_start_matches("$ ");
            found.push(line.split('#').next().unwrap_or_default().trim().to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words behind `first` in commands of all documents, with the document.
fn behind<'a>(
    all: &'a [(PathBuf, Vec<String>)],
    first: &'a str,
) -> impl Iterator<Item = (&'a PathBuf, Vec<&'a str>)> {
    all.iter().flat_map(move |(path, lines)| {
        let words = lines.iter().filter_map(move |line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(first)).then(|| words.collect::<Vec<_>>())
        });
        words.map(move |words| (path, words))
    })
}

fn all() -> Vec<(PathBuf, Vec<String>)> {
    documents().into_iter().map(|(path, text)| (path, commands(&text))).collect()
}

#[test]
fn links_lead_to_files() {
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.contains("://")) {
            let target = link.split('#').next().unwrap_or_default();
            let folder = tree::root().join(&path).parent().unwrap().to_owned();
            if !target.is_empty() && !folder.join(target).exists() {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nothing:\n{}", wrong.join("\n"));
}

#[test]
fn make_targets_exist() {
    let targets = |folder: &Path| -> BTreeSet<String> {
        let makefile = fs::read_to_string(folder.join("Makefile")).unwrap_or_default();
        let target = |line: &str| Some(line.split_once(':')?.0.to_owned());
        makefile.lines().filter_map(target).collect()
    };
    let whole = targets(tree::root());
    let all = all();
    let named: Vec<_> = behind(&all, "make").collect();
    assert!(named.len() > 8, "commands are found in documents");
    for (path, words) in named {
        let Some(target) = words.first().filter(|word| !word.starts_with('-')) else { continue };
        // `guest` is what a project's own Makefile has.
        let own = targets(tree::root().join(path).parent().unwrap());
        let known = *target == "guest" || whole.contains(*target) || own.contains(*target);
        assert!(known, "{}: make {target}", path.display());
    }
}

#[test]
fn tests_that_are_named_exist() {
    let tests: BTreeSet<String> = tree::files()
        .iter()
        .filter_map(|path| {
            let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            let at = parts.iter().rposition(|part| part == "tests")?;
            Some(parts.get(at + 1)?.trim_end_matches(".rs").to_owned())
        })
        .collect();
    let all = all();
    let mut named = 0;
    for (path, words) in behind(&all, "cargo") {
        for pair in words.windows(2).filter(|pair| pair[0] == "--test") {
            named += 1;
            assert!(tests.contains(pair[1]), "{}: --test {}", path.display(), pair[1]);
        }
    }
    assert!(named > 5, "commands are found in documents");
}

/// Fewer underscores are in names of other things too.
const UNDERSCORES: usize = 4;

#[test]
fn tests_that_are_named_by_their_function_exist() {
    let is_name = |word: &&str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        word.bytes().all(plain) && word.matches('_').count() >= UNDERSCORES
    };
    let sources = tree::rust();
    let mut named = 0;
    for (path, text) in documents() {
        // Between backticks is every other part.
        for name in text.split('`').skip(1).step_by(2).filter(is_name) {
            named += 1;
            let function = format!("fn {name}()");
            let found = sources.iter().any(|(_, source)| source.contains(&function));
            assert!(found, "{}: there is no test {name}", path.display());
        }
    }
    assert!(named > 40, "names are found in documents");
}

/// The command that a line names: its words before the first that is no name.
fn named<'a>(words: &[&'a str]) -> Option<Vec<&'a str>> {
    let name = |word: &&&str| word.bytes().all(|b| b.is_ascii_lowercase());
    let depth = match words {
        ["tenant", "token", ..] => 3,
        ["tenant" | "images" | "image", ..] => 2,
        _ => 1,
    };
    let named: Vec<_> = words.iter().take(depth).take_while(name).copied().collect();
    (!named.is_empty()).then_some(named)
}

fn exist(lines: &BTreeSet<Vec<&str>>) {
    for line in lines {
        let help = Command::new(program()).args(line).arg("--help").output().unwrap();
        let text = String::from_utf8_lossy(&help.stderr);
        assert!(help.status.success(), "faaslet {}: {text}", line.join(" "));
    }
}

#[test]
fn commands_of_the_program_exist() {
    let all = all();
    let lines: BTreeSet<_> =
        behind(&all, "faaslet").filter_map(|(_, words)| named(&words)).collect();
    assert!(lines.len() > 4, "commands are found in documents: {lines:?}");
    exist(&lines);
}

#[test]
fn advice_in_messages_names_commands_that_exist() {
    let joined = |text: &str| -> String {
        // A string goes on behind the indentation of the next line.
        let mut parts = text.split("\\\n");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.trim_start())
    };
    let product = tree::rust().into_iter().filter(|(path, _)| !path.starts_with("tests"));
    let texts: Vec<_> = product.map(|(_, text)| joined(&text)).collect();
    let lines: BTreeSet<_> = texts
        .iter()
        .flat_map(|text| text.split("`faaslet ").skip(1))
        .filter_map(|rest| rest.split('`').next())
        .filter_map(|line| named(&line.split_whitespace().collect::<Vec<_>>()))
        .collect();
    assert!(lines.len() > 10, "advice is found in the sources: {lines:?}");
    exist(&lines);
}

#[test]
fn every_command_says_what_it_does() {
    let help = |args: &[&str]| {
        let help = Command::new(program()).args(args).arg("--help").output().unwrap();
        assert!(help.status.success(), "{args:?}");
        String::from_utf8(help.stdout).unwrap()
    };
    let whole = help(&[]);
    assert!(whole.contains("Exit codes:"), "{whole}");
    let list = whole.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.trim().splitn(2, "  ").map(str::trim).collect()).collect();
    assert!(lines.len() > 10, "{list}");
    for line in lines {
        let [name, about] = line[..] else { panic!("{line:?} says nothing") };
        assert!(!about.is_empty());
        if name != "help" {
            assert!(help(&[name]).contains("Usage:"), "{name}");
        }
    }
}

#[test]
fn commands_are_found_where_they_stand() {
    let text = "Type `make a`.\n\n    make b  # why\n\n```\n$ faaslet up\n```\nmake c\n";
    assert_eq!(commands(text), ["make a", "make b", "faaslet up"]);
}
