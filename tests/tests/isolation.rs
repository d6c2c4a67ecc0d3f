//! Tenants: what one has, does or suffers is nothing to another.
#![allow(clippy::unwrap_used)]

use faaslet_net::client::{CallError, CallOptions, ConnectError};
use faaslet_net::{CloseCode, Refusal};
use faaslet_tests::{Monitor, Site, Tenant, built, eventually, is_alive};
use std::time::Duration;

/// Calls that are in flight when a cell is killed.
const IN_FLIGHT: usize = 8;
/// Turns given to clients at the end.
const LAST_TURNS: usize = 20;
/// Calls of the tenant whose cell is not.
const OTHER_CALLS: usize = 200;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn image(tenant: &Tenant) -> String {
    let images = tenant.get("/v1/images").json();
    images[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_tenant_can_neither_call_list_nor_read_what_another_has() {
    let site = Site::new();
    let monitor = site.up();
    let (a, b) = (monitor.add_tenant("a"), monitor.add_tenant("b"));
    a.deploy_wat(&monitor, "echo");
    assert_eq!(a.call("echo", b"x").text(), "x");

    assert_eq!(b.call("echo", b"x").problem(), "not-found");
    let error = b.connect().unwrap().call("echo", &b"x"[..]).unwrap_err();
    assert!(matches!(error, CallError::Refused { refusal: Refusal::NotFound, .. }), "{error:?}");
    for args in [&["call", "echo", "--data", "x"][..], &["logs", "echo"], &["versions", "echo"]] {
        let _ = b.run(&monitor, args).failed(4);
    }
    for args in [&["rollback", "echo", "1"][..], &["rm", "echo"], &["env", "echo", "A=b"]] {
        let _ = b.run(&monitor, args).failed(4);
    }
    assert_eq!(b.run(&monitor, &["--json", "ps"]).json(), serde_json::json!([]));
    assert_eq!(b.get("/v1/images").json(), serde_json::json!([]));
    let image = format!("/v1/images/{}", image(&a));
    assert_eq!(b.get(&image).problem(), "not-found");
    assert_eq!(a.get(&image).status, 200);

    // What it says about itself counts for nothing.
    assert_eq!(b.get("/v1/functions?tenant=a").problem(), "forbidden");
    let named = b.ask("POST", "/f/echo", &[("faaslet-tenant", "a")], b"x");
    assert_eq!(named.problem(), "forbidden");
    assert_eq!(b.call("echo?faaslet-tenant=a", b"x").problem(), "forbidden");
    for path in ["/v1/tenants", "/metrics"] {
        assert_eq!(b.get(path).problem(), "forbidden", "{path}");
    }
    assert_eq!(a.call("echo", b"x").text(), "x", "nothing has changed");
    monitor.stop();
}

#[test]
fn a_function_is_told_the_tenant_of_the_credential() {
    let site = Site::new();
    let monitor = site.up();
    for name in ["a", "b"] {
        let tenant = monitor.add_tenant(name);
        let deploy =
            ["deploy", built("identity-c").to_str().unwrap(), "--name", "who"].map(str::to_owned);
        let deploy: Vec<&str> = deploy.iter().map(String::as_str).collect();
        let _ = tenant.run(&monitor, &deploy).ok();
        let text = tenant.call("who", b"").text();
        assert!(text.starts_with(&format!("{name} who ")) && text.ends_with(" 1 0"), "{text}");
    }
    monitor.stop();
}

#[test]
fn a_wrong_token_opens_nothing() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    let right = monitor.default_tenant().token;
    let cut = &right[..right.len() - 1];
    for token in ["", "wrong", cut, &format!("{right}x"), &"x".repeat(400)] {
        let stranger = Tenant::new(&monitor, token);
        if !token.is_empty() {
            assert_eq!(stranger.call("echo", b"").problem(), "unauthorised", "{token:?}");
            assert_eq!(stranger.get("/v1/functions").problem(), "unauthorised");
            let said = stranger.run(&monitor, &["call", "echo", "--data", "x"]).failed(3);
            assert!(!said.contains(token), "a token is never shown: {said}");
        }
        let denied = stranger.connect().unwrap_err();
        let code = |error: &ConnectError| match error {
            ConnectError::Denied { code, .. } => Some(*code),
            _ => None,
        };
        assert_eq!(code(&denied), Some(CloseCode::Unauthorised), "{denied:?}");
    }
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor.stop();
}

/// Calls of `a` that never end, and calls of `b`, while the cell of `a` is killed.
async fn kill_under_load(monitor: &Monitor<'_>, a: &Tenant, b: &Tenant, victim: u32) {
    let (a, b) = (a.client().await.unwrap(), b.client().await.unwrap());
    let looping: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { a.call("loop", &b""[..]).await })
        })
        .collect();
    // The driver of the client runs only while this thread waits for it.
    let sent = async {
        while monitor.count("faaslet_calls_in_flight") < IN_FLIGHT as u64 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(faaslet_tests::PATIENCE, sent).await.unwrap();
    let others = tokio::spawn(async move {
        for number in 0..OTHER_CALLS {
            let input = number.to_string();
            assert_eq!(b.call("echo", input.clone()).await.unwrap().message(), input);
        }
    });
    tokio::task::yield_now().await;
    faaslet_tests::kill_process(victim);
    for call in looping {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Lost { .. }), "{error:?}");
    }
    others.await.unwrap();
    // The very next call finds a new cell.
    assert_eq!(a.call("echo", &b"again"[..]).await.unwrap().message(), "again");
    drop(a);
    // Time for the clients to take their leave: a monitor that stops waits for those that vanish.
    for _ in 0..LAST_TURNS {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_killed_cell_fails_its_own_calls_alone_and_is_replaced() {
    let site = Site::new();
    let monitor = site.up();
    let (a, b) = (monitor.add_tenant("a"), monitor.add_tenant("b"));
    for tenant in [&a, &b] {
        for guest in ["echo", "loop"] {
            tenant.deploy_wat(&monitor, guest);
        }
        assert_eq!(tenant.call("echo", b"warm").text(), "warm");
        // It is in the cell now: what follows runs, and is not being loaded.
        let soon = [("faaslet-timeout-ms", "1")];
        assert_eq!(tenant.ask("POST", "/f/loop", &soon, b"").problem(), "timed-out");
    }
    let (of_a, of_b) = (monitor.cell("a").unwrap(), monitor.cell("b").unwrap());
    assert_ne!(of_a, of_b, "tenants share no process");
    runtime().block_on(kill_under_load(&monitor, &a, &b, of_a));
    assert!(!is_alive(of_a));
    assert_ne!(monitor.cell("a"), Some(of_a));
    assert_eq!(monitor.cell("b"), Some(of_b), "the other tenant keeps its cell");
    monitor.wait_in_flight(0);
    monitor.stop();
}

#[test]
fn a_call_whose_cell_dies_before_it_can_begin_runs_on_the_next_one() {
    let site = Site::new();
    let monitor = site.up();
    let tenant = monitor.add_tenant("a");
    for name in ["echo", "counter"] {
        tenant.deploy_wat(&monitor, name);
    }
    assert_eq!(tenant.call("echo", b"warm").text(), "warm");
    let first = monitor.cell("a").unwrap();
    // A cell that stands still cannot load what the next call needs.
    faaslet_tests::halt_process(first);
    let client = tenant.connect().unwrap();
    let waiting = std::thread::spawn(move || client.call("counter", &b""[..]));
    monitor.wait_in_flight(1);
    faaslet_tests::kill_process(first);
    assert_eq!(waiting.join().unwrap().unwrap().message(), "11");
    assert_ne!(monitor.cell("a"), Some(first));
    monitor.stop();
}

#[test]
fn endless_loops_leave_room_for_a_short_call() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("loop");
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "warm").text(), "warm");
    let tenant = monitor.default_tenant();
    let loops: Vec<_> = (0..6)
        .map(|_| {
            let client = tenant.connect().unwrap();
            let deadline = Some(Duration::from_secs(5));
            let options = CallOptions { deadline, ..CallOptions::default() };
            std::thread::spawn(move || client.call_with("loop", &b""[..], options))
        })
        .collect();
    monitor.wait_in_flight(6);
    let client = tenant.connect().unwrap();
    for _ in 0..10 {
        assert_eq!(client.call("echo", &b"x"[..]).unwrap().message(), "x");
    }
    assert!(loops.iter().all(|call| !call.is_finished()), "the loops went on meanwhile");
    for call in loops {
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    }
    monitor.stop();
}

#[test]
fn a_removed_tenant_has_no_rights_and_no_cell() {
    let site = Site::new();
    let monitor = site.up();
    let tenant = monitor.add_tenant("a");
    tenant.deploy_wat(&monitor, "echo");
    assert_eq!(tenant.call("echo", b"x").text(), "x");
    let cell = monitor.cell("a").unwrap();
    assert_eq!(monitor.operator().ask("DELETE", "/v1/tenants/a", &[], b"").status, 204);
    eventually("its cell has ended", || !is_alive(cell));
    assert_eq!(tenant.call("echo", b"x").problem(), "unauthorised");
    assert!(tenant.connect().is_err());
    monitor.stop();
}
