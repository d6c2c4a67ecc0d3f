//! The example that counts words by map and reduce, over a real text: the documents of this tree.

use std::collections::BTreeMap;
use std::fs;

use faaslet_tests::{Site, built, tree};

const DOCUMENTS: [&str; 6] = [
    "LICENSE",
    "README.md",
    "ARCHITECTURE.md",
    "guest-sdk/README.md",
    "guest-sdk/STATE.md",
    "vmm/state/README.md",
];
/// Words that are asked for: those that occur most.
const WORDS: usize = 40;

/// How often each word occurs, told apart by letters and digits.
fn counts(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    for word in words {
        *counts.entry(word.to_ascii_lowercase()).or_default() += 1;
    }
    counts
}

#[test]
fn words_of_a_real_text_are_counted_exactly_in_any_number_of_parts() {
    let read = |path: &&str| fs::read_to_string(tree::root().join(path)).unwrap();
    let text: String = DOCUMENTS.iter().map(read).collect();
    let mut counts: Vec<_> = counts(&text).into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(WORDS);
    counts.push(("nowhere2find".to_owned(), 0));
    let expected: String = counts.iter().map(|(word, count)| format!("{word} {count}\n")).collect();
    let words: Vec<&str> = counts.iter().map(|(word, _)| word.as_str()).collect();
    let words = words.join(" ");

    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("word-count", &built("word-count"));
    let tenant = monitor.default_tenant();
    let call = |input: String| {
        let answer = tenant.call("word-count", input.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    assert_eq!(call(format!("keep documents\n{text}")), format!("{} bytes", text.len()));
    for parts in [1, 4, 16, 64] {
        assert_eq!(call(format!("count documents {parts} {words}")), expected, "{parts} parts");
    }
    monitor.stop();
}
