//! New projects: what they hold, and that they build.

use std::collections::BTreeSet;
use std::process::Command;

use super::*;

/// The guest SDK in the source tree.
fn guest_sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk")
}

/// Every file beneath `folder`, by its place in it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn the_whole_sdk_is_carried() {
    let dir = tempfile::tempdir().unwrap();
    let project = create(Lang::Rust, "whole", dir.path()).unwrap();
    for part in ["abi/src", "rust/src", "rust/macros/src"] {
        let (source, carried) = (guest_sdk().join(part), project.join(".faaslet-sdk").join(part));
        assert_eq!(files(&source), files(&carried), "{part}: name its files in `RUST_SDK`");
    }
}

#[test]
fn the_carried_workspace_is_the_one_of_the_source_tree() {
    let tree = fs::read_to_string(guest_sdk().join("../Cargo.toml")).unwrap();
    let tree: toml::Table = tree.parse().unwrap();
    let carried: toml::Table = RUST_SDK[0].1.parse().unwrap();
    let workspace = |table: &toml::Table| table["workspace"].as_table().unwrap().clone();
    let (tree, carried) = (workspace(&tree), workspace(&carried));
    assert_eq!(tree["package"], carried["package"]);
    for (name, dependency) in carried["dependencies"].as_table().unwrap() {
        let of_tree = &tree["dependencies"][name];
        match dependency.get("path") {
            Some(path) => {
                let whole = format!("guest-sdk/{}", path.as_str().unwrap());
                assert_eq!(of_tree["path"].as_str(), Some(whole.as_str()));
            }
            None => assert_eq!(of_tree, dependency, "{name}"),
        }
    }
}

#[test]
fn the_name_is_put_in_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    for (lang, name) in [(Lang::Rust, "in-rust"), (Lang::C, "in-c")] {
        let project = create(lang, name, dir.path()).unwrap();
        let toml = fs::read_to_string(project.join("faaslet.toml")).unwrap();
        assert!(toml.contains(&format!("name = {name:?}")), "{toml}");
        for file in files(&project).iter().filter(|file| !file.starts_with(".faaslet-sdk")) {
            let text = fs::read_to_string(project.join(file)).unwrap();
            assert!(!text.contains("{{"), "{}: {text}", file.display());
        }
    }
}

#[test]
fn what_is_no_name_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for name in ["", "1a", "-a", "a.b", "a/b", "..", "ä", "a b", "\"", &long] {
        let error = create(Lang::C, name, dir.path()).unwrap_err();
        assert!(matches!(error, NewError::Name(_)), "{name}: {error}");
    }
    let error = create(Lang::Rust, "serde", dir.path()).unwrap_err();
    assert!(matches!(error, NewError::Taken(_)), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_there_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "precious").unwrap();
    let error = create(Lang::C, "mine", dir.path()).unwrap_err();
    assert!(matches!(error, NewError::Exists(_)), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("mine")).unwrap(), "precious");
    let error = create(Lang::C, "new", &dir.path().join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("nowhere/new"), "{error}");
}

/// Needs the guests' toolchain, as `make test` does.
#[test]
fn a_new_project_builds() {
    let dir = tempfile::tempdir().unwrap();
    for (lang, name) in [(Lang::Rust, "new-rust"), (Lang::C, "new-c")] {
        let project = create(lang, name, dir.path()).unwrap();
        let module = dir.path().join("module.wasm");
        let built = Command::new(guest_sdk().join("setup/build-guest.sh"))
            .args([&project, &module])
            .env("FAASLET_GUEST_BUILD", dir.path().join("build"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let bytes = fs::read(&module).unwrap();
        for export in ["faaslet_main", "faaslet_init", "_initialize"] {
            let found = bytes.windows(export.len()).any(|part| part == export.as_bytes());
            assert!(found, "{name} exports {export}");
        }
    }
}
