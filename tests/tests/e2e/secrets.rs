//! Secrets reach a function, and nothing else has them.

use std::fs;
use std::path::Path;

use faaslet_tests::{Site, built};

/// What is looked for.
const SECRET: &str = "correct-horse-battery-staple";

/// Files beneath a folder that have the secret in them.
fn leaks(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(leaks(&path));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_secret_is_in_no_image_no_listing_and_no_log() {
    let site = Site::new();
    let monitor = site.up_with(&["--log", "trace"]);
    let file = site.file("secret", SECRET.as_bytes());
    let flag = format!("KEY={}", file.display());
    let deployed = monitor.deploy_with("f", &built("environment-c"), &["--secret-file", &flag]);
    let said = String::from_utf8(deployed.ok()).unwrap();
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(monitor.call("f", "KEY").text(), format!("{} e", SECRET.len()));
    fs::remove_file(&file).unwrap();
    for command in [&["ps"][..], &["versions", "f"], &["logs", "f"], &["images"], &["tenant", "ls"]]
    {
        let said = monitor.run(&[&["--json"], command].concat()).text();
        assert!(!said.contains(SECRET), "{command:?}: {said}");
    }
    let tenant = monitor.default_tenant();
    let wrong = serde_json::json!({ "secrets": { "KEY": format!("{SECRET}\0") } }).to_string();
    let refused = tenant.ask("PUT", "/v1/functions/f/settings", &[], wrong.as_bytes());
    assert_eq!(refused.problem(), "refused");
    assert!(refused.text().contains("KEY") && !refused.text().contains(SECRET), "{refused:?}");
    assert_eq!(
        monitor.call("f", "KEY").text(),
        format!("{} e", SECRET.len()),
        "it has not changed"
    );
    monitor.stop();
    let database = site.data().join("faaslet.redb").display().to_string();
    assert_eq!(leaks(&site.data()), [database], "only the records have it");
    let log = fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("cell started") && !log.contains(SECRET));
}
