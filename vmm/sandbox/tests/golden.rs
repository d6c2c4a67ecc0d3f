//! The list of allowed system calls, compared with the files that hold it for reading.
//!
//! `UPDATE_GOLDEN=1` writes them anew; what changed is then for the reader of the commit.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use faaslet_sandbox::filter::{Role, Scope, render};

#[test]
fn the_allowed_calls_are_those_of_the_golden_files() {
    for (name, role, files) in [
        ("cell.txt", Role::Cell, true),
        ("cell-without-files.txt", Role::Cell, false),
        ("builder.txt", Role::Builder, true),
        ("builder-without-files.txt", Role::Builder, false),
    ] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let rendered = render(Scope { role, files });
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &rendered).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(rendered, golden, "{name} differs: check it and run with UPDATE_GOLDEN=1");
    }
}
