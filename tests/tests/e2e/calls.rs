//! Calls: every way in gives the same answer, and every way to fail its own.

use faaslet_net::Mode;
use faaslet_net::client::{CallError, CallOptions};
use faaslet_tests::{Site, kill_process};

/// Larger than one frame of the wire, one ring slot and one page of the guest.
const LARGE_BYTES: usize = 3 << 20;

#[test]
fn a_function_answers_the_same_over_every_way_in() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("echo");
    let tenant = monitor.default_tenant();
    let client = tenant.connect().unwrap();
    let large: Vec<u8> = (0..LARGE_BYTES).map(|at| (at % 251) as u8).collect();
    for input in [&b""[..], b"x", b"some text\n", &[0, 255, 13, 10], &large] {
        let file = site.file("input", input);
        let file = ["call", "echo", "--file", file.to_str().unwrap()];
        assert!(monitor.run(&file).ok() == input, "--file, {} bytes", input.len());
        let stdin = site.run_with(&["call", "echo"], input).ok();
        assert!(stdin == input, "standard input, {} bytes", input.len());
        assert!(client.call("echo", input.to_vec()).unwrap().payload == input, "QUIC");
        let answer = tenant.call("echo", input);
        assert!(answer.status == 200 && answer.body == input, "HTTP, {} bytes", input.len());
        assert_eq!(answer.headers["faaslet-call-id"].len(), 32);
    }
    assert_eq!(monitor.call("echo", "data").text(), "data");
    let shown = monitor.run(&["--json", "call", "echo", "--data", "data"]).json();
    assert_eq!((&shown["output"]["text"], &shown["bytes"]), (&"data".into(), &4.into()));
    monitor.stop();
}

#[test]
fn fresh_and_fork_agree() {
    let site = Site::new();
    let monitor = site.up();
    let client = monitor.default_tenant().connect().unwrap();
    let names = ["counter", "dirty", "grow", "table", "init-heavy", "segments", "echo"];
    for name in names {
        monitor.deploy_wat(name);
        let call = |mode| {
            let options = CallOptions { mode, ..CallOptions::default() };
            client
                .call_with(name, &b""[..], options)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let first = call(Mode::Fork).payload;
        for mode in [Mode::Fork, Mode::Fresh, Mode::Default, Mode::Fork, Mode::Fresh] {
            assert_eq!(call(mode).payload, first, "{name}, {mode:?}");
        }
    }
    let call = |name, mode| monitor.run(&["call", name, "--mode", mode, "--data", ""]).ok();
    assert_eq!(call("counter", "fork"), b"11");
    assert_eq!(call("counter", "fresh"), b"11");
    assert_eq!(call("init-heavy", "fresh"), 0x2678_c120_8f82_c10a_u64.to_be_bytes());
    monitor.stop();
}

#[test]
fn a_function_that_is_deployed_fresh_has_no_image() {
    let site = Site::new();
    let monitor = site.up();
    let deployed =
        monitor.deploy_with("counter", &site.wat("counter"), &["--mode", "fresh"]).json();
    assert!(deployed["image"].is_null(), "{deployed}");
    assert_eq!(monitor.call("counter", "").ok(), b"11");
    assert_eq!(monitor.call("counter", "").ok(), b"11");
    monitor.stop();
}

#[test]
fn every_way_to_fail_has_its_exit_code_and_status() {
    let site = Site::new();
    let down = site.run(&["call", "echo", "--data", "x"]).failed(3);
    assert!(down.contains("faaslet up"), "{down}");
    let monitor = site.up();
    for name in ["echo", "trap", "loop", "counter"] {
        monitor.deploy_wat(name);
    }
    let tenant = monitor.default_tenant();

    let trapped = monitor.call("trap", "u").failed(1);
    for part in ["trapped", "unreachable", "inner", "middle", "main"] {
        assert!(trapped.contains(part), "{part} in {trapped}");
    }
    assert_eq!(tenant.call("trap", b"d").problem(), "function-trapped");

    let late = ["call", "loop", "--data", "", "--timeout", "100ms"];
    assert!(monitor.run(&late).failed(5).contains("deadline"));
    let timeout = [("faaslet-timeout-ms", "100")];
    assert_eq!(tenant.ask("POST", "/f/loop", &timeout, b"").problem(), "timed-out");

    let unknown = monitor.call("nothing", "").failed(4);
    assert!(unknown.contains("nothing") && unknown.contains("faaslet ps"), "{unknown}");
    assert_eq!(tenant.call("nothing", b"").problem(), "not-found");

    let _ = monitor.run(&["call"]).failed(2);
    let _ = monitor.run(&["call", "echo", "--mode", "sideways"]).failed(2);
    let _ = monitor.run(&["call", "echo", "--file", "/nowhere/at/all"]).failed(7);
    // After all this the function still answers.
    assert_eq!(monitor.call("counter", "").ok(), b"11");
    monitor.stop();
}

#[test]
fn a_call_whose_cell_is_lost_has_an_exit_code_of_its_own() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("loop");
    // Once, so that a cell has it and the next call is in that cell at once.
    let _ = monitor.run(&["call", "loop", "--data", "", "--timeout", "100ms"]).failed(5);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| monitor.call("loop", ""));
        monitor.wait_in_flight(1);
        kill_process(monitor.cell("default").expect("the call runs in a cell"));
        let lost = call.join().unwrap().failed(6);
        assert!(lost.contains("may have run"), "{lost}");
    });
    monitor.stop();
}

#[test]
fn a_client_without_a_deadline_gets_the_functions_own() {
    let site = Site::new();
    let monitor = site.up();
    let flags = ["--timeout", "100ms"];
    let _ = monitor.deploy_with("loop", &site.wat("loop"), &flags).ok();
    let client = monitor.default_tenant().connect().unwrap();
    let error = client.call("loop", &b""[..]).unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    monitor.stop();
}

#[test]
fn functions_call_each_other() {
    let site = Site::new();
    let monitor = site.up();
    monitor.deploy_wat("chain");
    monitor.deploy("e-child", &site.wat("echo"));
    monitor.deploy("t-child", &site.wat("trap"));
    // By name to another function, by export and by table index to one of the same module.
    assert_eq!(monitor.call("chain", "nesome text").text(), "0some text");
    assert_eq!(monitor.call("chain", "esome text").text(), "0child:some text");
    assert_eq!(monitor.call("chain", "tsome text").text(), "0child:some text");
    let trapped = monitor.call("chain", "ntu").text();
    assert!(trapped.starts_with('2') && trapped.contains("unreachable"), "{trapped}");
    let none = monitor.call("chain", "nx").text();
    assert!(none.starts_with('4') && none.contains("x-child"), "{none}");
    monitor.stop();
}
