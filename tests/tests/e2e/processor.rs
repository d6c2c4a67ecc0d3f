//! A store that another release or another processor wrote: code is compiled again, once.

use std::fs;

use faaslet_store::{BlobKind, Code, FunctionName, Hash, Store};
use faaslet_tests::Site;

/// Makes the code of `f` look as if it was compiled elsewhere: what is in the file must not run.
fn doctor(site: &Site) {
    let store = Store::open(&site.data()).unwrap();
    let f = FunctionName::new("default", "f").unwrap();
    let version = store.current(&f).unwrap();
    let artefact = store.put_blob(BlobKind::Artefact, None, &mut &b"of elsewhere"[..]).unwrap();
    let code = Code { artefact, engine: Hash([7; 32]), ..version.deployment.code() };
    store.replace_code(&f, version.version, &code).unwrap();
}

fn compilations(site: &Site) -> usize {
    fs::read_to_string(site.log()).unwrap().matches("compiling for this processor").count()
}

#[test]
fn code_for_another_processor_is_compiled_again_once_with_the_limits_of_its_deployment() {
    let site = Site::new();
    let monitor = site.up();
    // More memory than a function has that does not ask for it.
    let large = site.module(
        "large.wasm",
        r#"(module (import "faaslet_v1" "output_set" (func $set (param i32 i32) (result i32)))
        (memory (export "memory") 8192) (global $count (mut i32) (i32.const 48))
        (func (export "faaslet_init") (global.set $count (i32.const 49)))
        (func (export "faaslet_main") (result i32)
            (i32.store8 (i32.const 8) (global.get $count))
            (call $set (i32.const 8) (i32.const 1))))"#,
    );
    let _ = monitor.deploy_with("f", &large, &["--memory", "1G"]).ok();
    assert_eq!(monitor.call("f", "").text(), "1");
    monitor.stop();
    doctor(&site);
    let monitor = site.up();
    assert_eq!(monitor.call("f", "").text(), "1");
    assert_eq!(compilations(&site), 1);
    age(&site);
    let _ = monitor.run(&["gc"]).ok();
    assert_eq!(monitor.call("f", "").text(), "1");
    monitor.stop();
    let monitor = site.up();
    assert_eq!(monitor.call("f", "").text(), "1");
    assert_eq!(compilations(&site), 1, "the new code is the version's own");
    let artefacts = fs::read_dir(site.data().join("artefacts")).unwrap().count();
    assert_eq!(artefacts, 1, "the useless one was collected");
    monitor.stop();
}

/// Makes all files old enough for a collection.
fn age(site: &Site) {
    for folder in ["modules", "artefacts", "images", "plans"] {
        for file in fs::read_dir(site.data().join(folder)).unwrap() {
            let file = fs::File::open(file.unwrap().path()).unwrap();
            let long_ago = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
            file.set_times(long_ago).unwrap();
        }
    }
}

#[test]
fn tenants_share_no_code_that_a_builder_made() {
    let site = Site::new();
    let monitor = site.up();
    let other = monitor.add_tenant("other");
    let module = site.wat("echo");
    let deployed = |tenant: &faaslet_tests::Tenant| {
        let deployed = tenant.try_deploy("f", &module).unwrap();
        assert_eq!(deployed["event"], "deployed", "{deployed}");
        !deployed["phases"].as_array().unwrap().is_empty()
    };
    assert!(deployed(&monitor.default_tenant()));
    assert!(!deployed(&monitor.default_tenant()), "its own bake serves a tenant again");
    assert!(deployed(&other), "what one tenant's builder made runs with nobody else's secrets");
    monitor.stop();
}
