//! The demo, as `make demo` runs it: twice, since the second run meets what the first one left.
//!
//! It needs `tests/guests/build.sh`.

use std::process::Command;

use faaslet_tests::{program, tree};

/// Calls in each way that the demo measures.
const CALLS: &str = "3";

#[test]
fn the_demo_shows_what_a_call_costs_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    for run in ["first", "second"] {
        let demo = Command::new(tree::root().join("tests/demo.sh"))
            .env("FAASLET", program())
            .env("CALLS", CALLS)
            .env("TMPDIR", temporary.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&demo.stdout);
        assert!(demo.status.success(), "{run}: {text}{}", String::from_utf8_lossy(&demo.stderr));
        for function in ["recognise", "hello"] {
            let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let costs = row.filter(|words| words.first() == Some(&function)).find_map(|words| {
                let fresh: f64 = words.get(1)?.parse().ok()?;
                let forked: f64 = words.get(2)?.parse().ok()?;
                Some((fresh, forked))
            });
            let (fresh, forked) = costs.unwrap_or_else(|| panic!("no costs of {function}: {text}"));
            assert!(fresh > 0.0 && forked > 0.0, "{function}: {text}");
        }
        let left: Vec<_> = temporary.path().read_dir().unwrap().flatten().collect();
        assert!(left.is_empty(), "{run}: {left:?}");
    }
}
