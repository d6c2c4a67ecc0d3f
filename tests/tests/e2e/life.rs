//! The life of a monitor: start, a second one, drain, restart.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use faaslet_net::client::CallError;
use faaslet_tests::{Site, built, eventually};

#[test]
fn a_second_monitor_on_the_folder_is_refused_with_the_pid_of_the_first() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("counter");
    let up = ["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let refused = site.run(&up).failed(7);
    assert!(refused.contains(&monitor.pid().to_string()), "{refused}");
    assert_eq!(monitor.call("counter", "").text(), "11", "the first goes on");
    monitor.stop();
}

#[test]
fn a_port_in_use_and_a_folder_that_cannot_be_made_are_said_so() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let http = site.run(&["up", "--listen", "127.0.0.1:0", "--http", &address]).failed(7);
    assert!(http.contains(&address), "{http}");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap().to_string();
    let quic = site.run(&["up", "--listen", &address, "--http", "127.0.0.1:0"]).failed(7);
    assert!(quic.contains(&address), "{quic}");
    let file = site.file("file", b"no folder");
    let beneath = file.join("data");
    let folder = site.run(&["--dir", beneath.to_str().unwrap(), "up"]);
    // `--dir` is given twice: whichever way the program takes that, it must not start.
    assert!(matches!(folder.code, Some(2 | 7)), "{folder:?}");
    let mut up = std::process::Command::new(faaslet_tests::program());
    let output = up.arg("--dir").arg(&beneath).arg("up").env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains(beneath.to_str().unwrap()), "{text}");
}

#[test]
fn nothing_secret_in_the_folder_can_be_read_by_others() {
    let site = Site::new();
    let monitor = site.up();
    for file in ["admin.token", "default.token", "tls/server-key.pem", "tls/trust-key.pem"] {
        let mode = fs::metadata(site.data().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    let log = monitor.log();
    for token in [monitor.operator().token, monitor.default_tenant().token] {
        assert!(!token.is_empty() && !log.contains(&token), "tokens are not logged");
    }
    monitor.stop();
}

#[test]
fn sigterm_lets_calls_end_and_takes_no_more() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("sleep", &built("sleep-c"));
    assert_eq!(monitor.call("sleep", "1").text(), "slept");
    let client = monitor.default_tenant().connect().unwrap();
    let sleeping = std::thread::spawn(move || client.call("sleep", "700"));
    monitor.wait_in_flight(1);
    monitor.terminate();
    eventually("it says that it drains", || !site.data().join("address.json").exists());
    let _ = monitor.call("sleep", "1").failed(3);
    monitor.wait_stopped();
    assert_eq!(sleeping.join().unwrap().unwrap().message(), "slept");
}

#[test]
fn sigterm_does_not_wait_for_a_caller_that_vanished() {
    let site = Site::new();
    let monitor = site.up_with(&["--drain", "1h"]);
    let _ = monitor.deploy_with("loop", &site.wat("loop"), &["--timeout", "1h"]).ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tenant = monitor.default_tenant();
    runtime.block_on(async {
        let client = tenant.client().await.unwrap();
        tokio::spawn(async move { client.call("loop", &b""[..]).await });
        while monitor.count("faaslet_calls_in_flight") == 0 {
            tokio::task::yield_now().await;
        }
    });
    // From here on its runtime stands still: nobody answers, and nobody says goodbye.
    monitor.stop();
    drop(runtime);
}

#[test]
fn a_call_that_does_not_end_is_lost_when_the_drain_is_over() {
    let site = Site::new();
    let monitor = site.up_with(&["--drain", "200ms"]);
    monitor.deploy_wat("loop");
    let client = monitor.default_tenant().connect().unwrap();
    let looping = std::thread::spawn(move || client.call("loop", &b""[..]));
    monitor.wait_in_flight(1);
    monitor.stop();
    let error = looping.join().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Lost { .. } | CallError::Unknown { .. }), "{error:?}");
}

#[test]
fn what_was_deployed_is_callable_after_a_restart() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy("f", &site.wat("echo"));
    monitor.deploy("f", &site.wat("counter"));
    let flags = ["--env", "TEST_STATUS=4"];
    let _ = monitor.deploy_with("command", &built("command-c"), &flags).ok();
    let (operator, tenant) = (monitor.operator().token, monitor.default_tenant().token);
    let other = monitor.add_tenant("other");
    other.deploy_wat(&monitor, "echo");
    monitor.stop();

    let monitor = site.up();
    assert_eq!(monitor.operator().token, operator);
    assert_eq!(monitor.default_tenant().token, tenant);
    assert_eq!(monitor.call("f", "").text(), "11");
    assert!(monitor.call("command", "").failed(1).contains('4'));
    let _ = monitor.run(&["rollback", "f"]).ok();
    assert_eq!(monitor.call("f", "x").text(), "x");
    let other = faaslet_tests::Tenant::new(&monitor, &other.token);
    assert_eq!(other.call("echo", b"y").text(), "y");
    assert_eq!(other.call("f", b"y").problem(), "not-found");
    monitor.stop();
}

#[test]
fn an_idle_cell_is_retired_and_the_next_call_starts_another() {
    let site = Site::new();
    let monitor = site.up_with(&["--idle-cell", "50ms"]);
    monitor.deploy_wat("counter");
    assert_eq!(monitor.call("counter", "").text(), "11");
    eventually("the idle cell is retired", || monitor.processes().is_empty());
    assert_eq!(monitor.call("counter", "").text(), "11");
    monitor.stop();
}
