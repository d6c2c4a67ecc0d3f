//! Images as files: looked at, copied to another host, removed, collected.

use faaslet_tests::Site;
use serde_json::Value;

/// The steps of a deployment's bake.
fn steps(deployed: &Value) -> Vec<&str> {
    let phases = deployed["phases"].as_array().unwrap();
    phases.iter().map(|phase| phase[0].as_str().unwrap()).collect()
}

#[test]
fn an_image_that_was_imported_serves_a_deployment_of_its_recipe() {
    let (one, two) = (Site::new(), Site::new());
    let monitor = one.up();
    let module = one.wat("init-heavy");
    let baked = monitor.deploy_with("f", &module, &[]).json();
    let answer = monitor.call("f", "").ok();
    assert!(steps(&baked).contains(&"initialise"), "{baked}");
    let id = baked["image"].as_str().unwrap().to_owned();
    let file = one.path("f.image");
    let path = file.to_str().unwrap();
    let _ = monitor.run(&["image", "export", &id, path]).ok();
    let shown = monitor.run(&["--json", "image", "inspect", path]).json();
    assert!(shown.to_string().contains(&id), "{shown}");
    let _ = monitor.run(&["image", "verify", path]).ok();
    monitor.stop();
    // The file says all of it by itself.
    let alone = two.run(&["--json", "image", "inspect", path]).json();
    assert_eq!(
        (&alone["id"], &alone["instance_kept"]),
        (&Value::from(id.as_str()), &Value::Bool(true))
    );

    let monitor = two.up();
    let _ = monitor.run(&["image", "import", path]).ok();
    let deployed = monitor.deploy_with("f", &module, &[]).json();
    assert_eq!(steps(&deployed), ["rewrite", "compile"], "only compiled");
    assert_eq!(deployed["image"], id);
    assert_eq!(monitor.call("f", "").ok(), answer);
    let used = monitor.run(&["image", "rm", &id]);
    assert!(used.code != Some(0) && used.err.contains("in use"), "{used:?}");
    monitor.stop();
}

#[test]
fn an_image_of_an_old_version_says_why_its_instance_is_not_kept() {
    let site = Site::new();
    let monitor = site.up();
    let old = monitor.deploy_with("f", &site.wat("table"), &[]).json();
    monitor.deploy("f", &site.wat("counter"));
    let shown = monitor.run(&["--json", "image", "inspect", old["image"].as_str().unwrap()]).json();
    assert_eq!(shown["instance_kept"], false, "{shown}");
    let why = shown["instance_kept_why_not"].as_str().unwrap();
    assert!(why.contains("changes table 0"), "{why}");
    monitor.stop();
}

#[test]
fn images_are_listed_checked_and_removed() {
    let site = Site::new();
    let monitor = site.up();
    let deployed = monitor.deploy_with("f", &site.wat("counter"), &[]).json();
    let id = deployed["image"].as_str().unwrap();
    let listed = monitor.run(&["--json", "images"]).json();
    assert_eq!(listed[0]["id"], id, "{listed}");
    let file = site.path("f.image");
    let path = file.to_str().unwrap();
    let _ = monitor.run(&["image", "export", &id[..8], path]).ok();
    let there = monitor.run(&["image", "export", &id[..8], path]);
    assert_ne!(there.code, Some(0), "a file is not written over");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let damaged = site.file("damaged.image", &bytes);
    let damaged = damaged.to_str().unwrap();
    let refused = monitor.run(&["image", "verify", damaged]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let refused = monitor.run(&["image", "import", damaged]);
    assert_ne!(refused.code, Some(0), "{refused:?}");

    let _ = monitor.run(&["rm", "f"]).ok();
    let _ = monitor.run(&["image", "rm", id]).ok();
    let gone = monitor.run(&["image", "rm", id]).failed(4);
    assert!(gone.contains(&id[..8]), "{gone}");
    monitor.stop();
}
