//! Callers that send too much, nonsense or nothing, or go away.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use faaslet_net::client::CallOptions;
use faaslet_tests::{Monitor, PATIENCE, Site};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Longest input of a call.
const MAX_INPUT_BYTES: usize = 64 << 20;
/// Turns given to a client to tell that a call is cancelled.
const TURNS: usize = 20;
/// Datagrams and requests of nonsense.
const NONSENSE: usize = 200;
/// Connections that say nothing.
const SILENT: usize = 100;

fn with_echo(site: &Site) -> Monitor<'_> {
    let monitor = site.up();
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor
}

#[test]
fn an_input_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let site = Site::new();
    let monitor = with_echo(&site);
    let tenant = monitor.default_tenant();
    let long = site.file("long", &vec![7; MAX_INPUT_BYTES + 1]);
    let refused = monitor.run(&["call", "echo", "--file", long.to_str().unwrap()]).failed(4);
    assert!(refused.contains(&MAX_INPUT_BYTES.to_string()), "{refused}");
    let client = tenant.connect().unwrap();
    let error = client.call("echo", vec![7; MAX_INPUT_BYTES + 1]).unwrap_err();
    assert!(error.to_string().contains(&MAX_INPUT_BYTES.to_string()), "{error}");
    // It is refused for the length that it announces: nothing need be sent.
    let request = format!(
        "POST /f/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        tenant.token,
        MAX_INPUT_BYTES + 1
    );
    let answer = send_raw(&monitor, request.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(client.call("echo", &b"x"[..]).unwrap().message(), "x");
    monitor.stop();
}

#[test]
fn calls_of_a_caller_that_vanishes_are_cancelled() {
    let site = Site::new();
    let monitor = with_echo(&site);
    let long = ["--timeout", "50m"];
    let _ = monitor.deploy_with("loop", &site.wat("loop"), &long).ok();
    let tenant = monitor.default_tenant();
    // Nobody has called the function before: it may be cancelled while it is loaded.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = tenant.client().await.unwrap();
        let options = CallOptions { deadline: Some(PATIENCE * 100), ..CallOptions::default() };
        let call = client.call_with("loop", &b""[..], options);
        let begun = async {
            while monitor.count("faaslet_calls_in_flight") == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = call => panic!("it cannot end: {answer:?}"),
            () = begun => {}
        }
        // The call's future is dropped: the client tells the monitor so.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
    monitor.wait_in_flight(0);

    let mut stream = TcpStream::connect(monitor.http).unwrap();
    let request = format!(
        "POST /f/loop HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
        tenant.token
    );
    stream.write_all(request.as_bytes()).unwrap();
    monitor.wait_in_flight(1);
    drop(stream);
    monitor.wait_in_flight(0);
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor.stop();
}

/// Sends bytes to the HTTP port and reads what comes back until the server closes.
fn send_raw(monitor: &Monitor<'_>, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(monitor.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that closes early breaks the pipe.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn nonsense_over_http_is_refused() {
    let site = Site::new();
    let monitor = with_echo(&site);
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let whole = [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /f/echo HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /f/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\nZ\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
        &long,
        &many,
    ];
    for request in whole {
        let answer = send_raw(&monitor, request.as_bytes());
        let success = answer.starts_with(b"HTTP/1.1 2");
        assert!(!success, "{:.60}: {}", request, String::from_utf8_lossy(&answer));
    }
    for _ in 0..NONSENSE {
        let mut bytes = vec![0; 64];
        random.fill_bytes(&mut bytes);
        assert!(!send_raw(&monitor, &bytes).starts_with(b"HTTP/1.1 2"));
    }
    assert_eq!(monitor.default_tenant().get("/nowhere").problem(), "not-found");
    assert_eq!(
        monitor.default_tenant().ask("PATCH", "/v1/functions", &[], b"x").problem(),
        "method-not-allowed"
    );
    let deploy = monitor.default_tenant().ask("PUT", "/v1/functions/f", &[], b"{\"nonsense\": 1}");
    assert_eq!(deploy.problem(), "bad-request");
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor.stop();
}

#[test]
fn silent_connections_keep_nobody_out() {
    let site = Site::new();
    let monitor = with_echo(&site);
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(monitor.http).unwrap();
        if number % 2 == 0 {
            stream.write_all(b"POST /f/echo HTTP/1.1\r\nhost").unwrap();
        }
        silent.push(stream);
    }
    assert_eq!(monitor.default_tenant().get("/healthz").text(), "ok\n");
    assert_eq!(monitor.call("echo", "x").text(), "x");
    drop(silent);
    monitor.stop();
}

#[test]
fn nonsense_over_quic_is_ignored() {
    let site = Site::new();
    let monitor = with_echo(&site);
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..NONSENSE {
        let mut bytes = vec![0; 1 + number * 7 % 1400];
        random.fill_bytes(&mut bytes);
        socket.send_to(&bytes, monitor.quic).unwrap();
    }
    let client = monitor.default_tenant().connect().unwrap();
    let options = CallOptions { deadline: Some(Duration::from_secs(10)), ..CallOptions::default() };
    assert_eq!(client.call_with("echo", &b"x"[..], options).unwrap().message(), "x");
    monitor.stop();
}
