//! Folders that the operator grants, at the bake and in calls.

use std::fs;
use std::path::PathBuf;

use faaslet_tests::{Monitor, Site, built};

/// A folder with words, granted to the tenant that every site has.
fn granted(monitor: &Monitor<'_>, access: &str) -> PathBuf {
    let folder = monitor.site().path("words");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("words.txt"), "first\nsecond\nthird\n").unwrap();
    let grant = format!("{}::/data{access}", folder.display());
    let _ = monitor.run(&["tenant", "grant", "default", "--dir", &grant]).ok();
    folder
}

#[test]
fn what_an_initialisation_opened_is_open_in_every_call() {
    let site = Site::new();
    let monitor = site.up();
    let folder = granted(&monitor, ":ro");
    let module = built("open-file-c");
    let _ = monitor.deploy_with("f", &module, &["--dir", "/data"]).ok();
    for _ in 0..3 {
        assert_eq!(monitor.call("f", "").text(), "first second", "each from the image's place");
    }
    // New settings keep the image's files.
    let _ = monitor.run(&["env", "f", "A=b"]).ok();
    assert_eq!(monitor.call("f", "").text(), "first second");
    // What was in the folder is in the image: another bake sees what is there now.
    fs::write(folder.join("words.txt"), "FIRST\nSECOND\n").unwrap();
    let again = monitor.deploy_with("f", &module, &["--dir", "/data"]).json();
    assert!(!again["phases"].as_array().unwrap().is_empty(), "{again}");
    assert_eq!(monitor.call("f", "").text(), "FIRST SECOND");
    // Without the folder there is nothing to open.
    let _ = monitor.deploy_with("g", &module, &[]).failed(4);
    monitor.stop();
    let monitor = site.up();
    assert_eq!(monitor.call("f", "").text(), "FIRST SECOND", "after a restart");
    monitor.stop();
}

#[test]
fn a_file_that_a_fork_could_not_open_again_is_named_at_the_bake() {
    let site = Site::new();
    let monitor = site.up();
    let _folder = granted(&monitor, "");
    let refused = monitor.deploy_with("f", &built("gone-file-c"), &["--dir", "/data"]);
    let refused = refused.failed(4);
    assert!(refused.contains("/data/gone.txt") && refused.contains("close it"), "{refused}");
    monitor.stop();
}

#[test]
fn a_folder_is_granted_once_and_for_what_it_is() {
    let site = Site::new();
    let monitor = site.up();
    let folder = granted(&monitor, "");
    fs::create_dir(folder.join("sub")).unwrap();
    let _other = monitor.add_tenant("other");
    let grant = |host: &std::path::Path| {
        let grant = format!("{}::/sub:ro", host.display());
        monitor.run(&["tenant", "grant", "other", "--dir", &grant])
    };
    let nested = grant(&folder.join("sub"));
    assert!(nested.code != Some(0) && nested.err.contains("side by side"), "{nested:?}");
    let link = site.path("link");
    std::os::unix::fs::symlink(folder.join("sub"), &link).unwrap();
    let nested = grant(&link);
    assert!(nested.code != Some(0) && nested.err.contains("side by side"), "{nested:?}");
    let absent = grant(&site.path("nowhere"));
    assert!(absent.code != Some(0) && absent.err.contains("nowhere"), "{absent:?}");
    monitor.stop();
}
