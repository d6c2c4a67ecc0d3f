//! Deployments that go wrong, meet each other, or are too many.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Barrier;
use std::thread;

use faaslet_tests::{Monitor, Site, eventually, eventually_some, kill_process};
use serde_json::{Value, json};

/// Initialises for a while, which differs from other modules by `seed`.
fn slow(site: &Site, seed: u32) -> std::path::PathBuf {
    let text = format!(
        r#"(module (memory (export "memory") 1) (global $seed (mut i32) (i32.const {seed}))
        (func (export "faaslet_init") (local $left i32)
            (local.set $left (i32.const 500000000))
            (loop $again
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
        (func (export "faaslet_main") (result i32) i32.const 0))"#
    );
    site.module(&format!("slow-{seed}.wasm"), &text)
}

/// Builders that run now.
fn builders(monitor: &Monitor<'_>) -> BTreeSet<u32> {
    let is_one = |pid: &u32| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split('\0').any(|word| word == "__builder")
    };
    monitor.processes().into_iter().filter(is_one).collect()
}

fn detail(event: &Value) -> String {
    assert_eq!(event["event"], "failed", "{event}");
    event["detail"].as_str().unwrap().to_owned()
}

#[test]
fn a_builder_that_is_killed_fails_its_bake_alone() {
    let site = Site::new();
    let monitor = site.up();
    let endless = site.wat("refused/init-loop");
    let tenant = monitor.default_tenant();
    let ended = thread::scope(|scope| {
        let deploying = scope.spawn(|| tenant.try_deploy("endless", &endless));
        let builder = eventually_some("a builder runs", || builders(&monitor).first().copied());
        kill_process(builder);
        deploying.join().unwrap().expect("the monitor lives")
    });
    let detail = detail(&ended);
    assert!(detail.contains("survive") && detail.contains('9'), "{detail}");
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "x").text(), "x");
    eventually("no builder is left", || builders(&monitor).is_empty());
    monitor.stop();
}

#[test]
fn a_builder_that_uses_too_much_memory_is_ended_and_the_next_bake_works() {
    let site = Site::new();
    let monitor = site.up_with(&["--builder-memory", "192M"]);
    let hungry = site.module(
        "hungry.wasm",
        r#"(module (memory (export "memory") 4000)
        (func (export "faaslet_init")
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 262144000)))
        (func (export "faaslet_main") (result i32) i32.const 0))"#,
    );
    let grouped = site.run(&["--json", "doctor"]);
    let grouped = String::from_utf8_lossy(&grouped.out).into_owned();
    if !grouped.contains("cgroup") || !fs::exists("/sys/fs/cgroup").unwrap() {
        println!("skipped: this machine has no control groups");
        return;
    }
    let ended = monitor.default_tenant().try_deploy("hungry", &hungry).unwrap();
    let detail = detail(&ended);
    assert!(detail.contains("survive") && detail.contains("memory"), "{detail}");
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor.stop();
}

#[test]
fn two_deployments_of_one_recipe_at_once_share_one_bake() {
    let site = Site::new();
    let monitor = site.up();
    let module = slow(&site, 1);
    let both = Barrier::new(2);
    let deploy = |name: &str| {
        let tenant = monitor.default_tenant();
        both.wait();
        let ended = tenant.try_deploy(name, &module).unwrap();
        assert_eq!(ended["event"], "deployed", "{ended}");
        ended
    };
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| deploy("one"));
        let other = scope.spawn(|| deploy("other"));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one["image"], other["image"]);
    let baked = |info: &Value| !info["phases"].as_array().unwrap().is_empty();
    assert!(baked(&one) != baked(&other), "{one} {other}");
    monitor.stop();
}

#[test]
fn a_tenant_with_too_many_deployments_is_refused_at_once_and_others_are_not() {
    let site = Site::new();
    let monitor = site.up();
    let endless = site.wat("refused/init-loop");
    let other = monitor.add_tenant("other");
    let (tenant, module) = (monitor.default_tenant(), &endless);
    thread::scope(|scope| {
        for n in 0..4 {
            let tenant = tenant.clone();
            scope.spawn(move || tenant.try_deploy(&format!("f{n}"), module));
        }
        let busy = eventually_some("the tenant has all it may", || {
            let answer = tenant.ask("PUT", "/v1/functions/f", &[], b"{}");
            (answer.status == 429).then_some(answer)
        });
        assert_eq!(busy.problem(), "overloaded");
        assert!(busy.text().contains("4 deployments"), "{}", busy.text());
        other.deploy_wat(&monitor, "echo");
        monitor.kill();
    });
}

#[test]
fn a_deployment_that_asks_for_more_than_a_host_gives_is_refused() {
    let site = Site::new();
    let monitor = site.up();
    let tenant = monitor.default_tenant();
    let module = fs::read(site.wat("echo")).unwrap();
    let module = tenant.ask("POST", "/v1/modules", &[], &module).json()["module"].clone();
    for (field, value) in [
        ("memory_bytes", 1_u64 << 50),
        ("memory_bytes", 0),
        ("initialise_ms", 3_600_000),
        ("timeout_ms", 1 << 40),
        ("concurrency", 0),
    ] {
        let request = json!({ "module": module, field: value }).to_string();
        let answer = tenant.ask("PUT", "/v1/functions/f", &[], request.as_bytes()).text();
        let last: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        assert_eq!(last["status"], 400, "{field}: {last}");
        assert!(detail(&last).contains("expected 1 to"), "{last}");
    }
    assert_eq!(tenant.get("/v1/functions").json(), json!([]));
    monitor.stop();
}

#[test]
fn what_is_served_is_what_the_store_says_however_deployments_race() {
    let site = Site::new();
    let monitor = site.up();
    let modules: Vec<_> = (0..3).map(|n| answers(&site, n)).collect();
    thread::scope(|scope| {
        for module in &modules {
            let tenant = monitor.default_tenant();
            scope.spawn(move || {
                for _ in 0..5 {
                    let ended = tenant.try_deploy("f", module).unwrap();
                    assert_eq!(ended["event"], "deployed", "{ended}");
                }
            });
        }
        let tenant = monitor.default_tenant();
        scope.spawn(move || {
            for version in 1..10 {
                let _ = tenant.post("/v1/functions/f/rollback", &json!({ "version": version }));
            }
        });
    });
    let served = monitor.call("f", "").text();
    monitor.stop();
    let again = site.up();
    assert_eq!(again.call("f", "").text(), served, "the store has another version");
    again.stop();
}

/// Answers a number.
fn answers(site: &Site, number: u8) -> std::path::PathBuf {
    let text = format!(
        r#"(module (import "faaslet_v1" "output_set" (func $set (param i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 8) "{number}")
        (func (export "faaslet_main") (result i32) (call $set (i32.const 8) (i32.const 1))))"#
    );
    site.module(&format!("answers-{number}.wasm"), &text)
}

#[test]
fn environment_and_secrets_that_a_deployment_does_not_give_stay() {
    let site = Site::new();
    let monitor = site.up();
    let secret = site.file("secret", b"of the tenant");
    let secret = format!("KEY={}", secret.display());
    let module = faaslet_tests::built("environment-c");
    let deploy = |flags: &[&str]| monitor.deploy_with("f", &module, flags).ok();
    let _ = deploy(&["--env", "A=one", "--env", "B=two", "--secret-file", &secret]);
    assert_eq!(monitor.call("f", "KEY").text(), "13 t");
    let _ = deploy(&["--env", "A=other"]);
    assert_eq!(monitor.call("f", "KEY").text(), "13 t", "the secret stays");
    assert_eq!(monitor.call("f", "A").text(), "5 r");
    assert_eq!(monitor.call("f", "B").text(), "-1", "the environment is replaced as a whole");
    let _ = deploy(&[]);
    assert_eq!(monitor.call("f", "A").text(), "5 r");
    let _ = deploy(&["--secret-file", &secret]);
    assert_eq!(monitor.call("f", "A").text(), "5 r");
    monitor.stop();
}
