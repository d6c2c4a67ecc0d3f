//! Client and server over QUIC on loopback.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Bench, LONG, is_unknown};
use faaslet_net::client::{BlockingClient, CallError, CallOptions, Client, ConnectError};
use faaslet_net::server::{BindError, Server, ServerConfig};
use faaslet_net::{CancelReason, CloseCode, Limits, Refusal, Reply, tls};
use faaslet_proto::{NotSent, ServerSettings};
use std::time::Duration;
use tokio::task::JoinSet;

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("this should not take so long")
}

fn deadline(time: Duration) -> CallOptions {
    CallOptions { deadline: Some(time), ..CallOptions::default() }
}

#[tokio::test]
async fn a_call_is_answered() {
    let bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    assert_eq!(client.tenant(), "acme");
    assert_eq!(within(client.call("echo", "hello")).await.unwrap(), Reply::returned("hello"));
    assert_eq!(within(client.call("echo", "")).await.unwrap(), Reply::returned(""));
    let error = within(client.call("fail", "")).await.unwrap_err();
    assert_eq!(error, CallError::Failed { message: "no such colour".to_owned() });
    let error = within(client.call("trap", "")).await.unwrap_err();
    assert_eq!(error, CallError::Trapped { message: "unreachable".to_owned() });
    let error = within(client.call("nothing", "")).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { refusal: Refusal::NotFound, .. }));
    let error = within(client.call("drop", "")).await.unwrap_err();
    assert!(matches!(error, CallError::Lost { message } if message.contains("without an answer")));
}

#[test]
fn a_program_without_a_runtime_can_call() {
    let bench = Bench::new();
    let client = BlockingClient::connect(bench.client_config()).unwrap();
    for _ in 0..100 {
        assert_eq!(client.call("echo", "hello").unwrap().payload, "hello");
    }
}

#[test]
fn a_program_that_ends_gives_its_connection_back() {
    let bench = Bench::with(ServerConfig { max_connections: 1, ..ServerConfig::default() });
    for _ in 0..3 {
        let mut config = bench.client_config();
        config.max_attempts = 1;
        let client = BlockingClient::connect(config).unwrap();
        assert_eq!(client.call("echo", "hello").unwrap().payload, "hello");
    }
}

#[tokio::test]
async fn thousands_of_calls_wait_for_their_turn() {
    let bench = Bench::new();
    let mut config = bench.client_config();
    config.max_in_flight = 50;
    let client = within(Client::connect(config)).await.unwrap();
    let mut calls = JoinSet::new();
    for call in 0..3_000_u32 {
        let client = client.clone();
        calls.spawn(async move {
            // Sizes from nothing to several fragments.
            let input = vec![call as u8; (call as usize * 37) % 70_000];
            let reply = client.call("echo", input.clone()).await.unwrap();
            assert_eq!(reply.payload, input);
        });
    }
    within(async {
        while let Some(result) = calls.join_next().await {
            result.unwrap();
        }
    })
    .await;
    assert_eq!(bench.script.given(), 3_000);
}

#[tokio::test]
async fn the_largest_call_crosses_both_ways_and_a_small_one_beside_it() {
    let bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    let large = tokio::spawn({
        let client = client.clone();
        async move { client.call("echo", vec![3; 64 << 20]).await }
    });
    let mut beside = 0;
    while !large.is_finished() {
        within(client.call("echo", "small")).await.unwrap();
        beside += 1;
    }
    let reply = within(large).await.unwrap().unwrap();
    assert!(reply.payload.len() == 64 << 20 && reply.payload.iter().all(|byte| *byte == 3));
    assert!(beside > 10, "only {beside} small calls went beside the large one");
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    let mut call = Box::pin(client.call("hold", ""));
    let script = bench.script.clone();
    let held = tokio::task::spawn_blocking(move || script.take_held(1));
    let held = tokio::select! {
        _ = &mut call => panic!("nobody answered it"),
        held = held => held.unwrap(),
    };
    drop(call);
    let (call, sink) = held.into_iter().next().unwrap();
    let script = bench.script.clone();
    let why = tokio::task::spawn_blocking(move || script.cancelled(call)).await.unwrap();
    assert_eq!(why, CancelReason::Caller);
    sink.reply(Reply::returned("late"));
    assert_eq!(within(client.call("echo", "next")).await.unwrap().payload, "next");
}

#[tokio::test]
async fn a_deadline_ends_a_call() {
    let bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    let options = deadline(Duration::from_millis(30));
    let error = within(client.call_with("hold", "", options)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    let script = bench.script.clone();
    let held = tokio::task::spawn_blocking(move || script.take_held(1)).await.unwrap();
    let call = held[0].0;
    let script = bench.script.clone();
    let why = tokio::task::spawn_blocking(move || script.cancelled(call)).await.unwrap();
    // Whose timer fires first is open.
    assert!(matches!(why, CancelReason::Deadline | CancelReason::Caller), "{why:?}");
}

#[tokio::test]
async fn a_call_waits_for_a_permit_no_longer_than_its_deadline() {
    let bench = Bench::new();
    let mut config = bench.client_config();
    config.max_in_flight = 1;
    let client = within(Client::connect(config)).await.unwrap();
    let holding = tokio::spawn({
        let client = client.clone();
        async move { client.call("hold", "").await }
    });
    let script = bench.script.clone();
    let held = tokio::task::spawn_blocking(move || script.take_held(1)).await.unwrap();
    let options = deadline(Duration::from_millis(20));
    let error = within(client.call_with("echo", "", options)).await.unwrap_err();
    assert_eq!(error, CallError::NotSent(NotSent::Deadline));
    for (_, sink) in held {
        sink.reply(Reply::returned("at last"));
    }
    assert_eq!(within(holding).await.unwrap().unwrap().payload, "at last");
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_not_tried_again() {
    let bench = Bench::new();
    let mut config = bench.client_config();
    config.token = b"wrong".to_vec();
    let error = within(Client::connect(config)).await.unwrap_err();
    let ConnectError::Denied { code, reason, .. } = error else { panic!("{error}") };
    assert_eq!(code, CloseCode::Unauthorised);
    assert!(reason.contains("ask its operator"), "{reason}");
}

#[tokio::test]
async fn a_monitor_with_other_keys_is_not_trusted() {
    let (bench, other) = (Bench::new(), Bench::new());
    let mut config = bench.client_config();
    config.addr = other.addr;
    config.max_attempts = 1;
    let error = within(Client::connect(config)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("trust file"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_said_so() {
    let mut bench = Bench::new();
    bench.server = None;
    let mut config = bench.client_config();
    config.max_attempts = 2;
    config.patience.greeting = Duration::from_millis(50);
    let error = within(Client::connect(config)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { attempts: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_restarted_server_is_found_again_and_no_call_is_sent_twice() {
    let mut bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call("hold", "").await }
    });
    let script = bench.script.clone();
    let held = tokio::task::spawn_blocking(move || script.take_held(1)).await.unwrap();
    bench.server = None;
    let error = within(call).await.unwrap().unwrap_err();
    assert!(is_unknown(&error), "{error}");
    drop(held);
    bench.start();
    assert_eq!(within(client.call("echo", "again")).await.unwrap().payload, "again");
    assert_eq!(bench.script.given(), 2, "held once, echoed once");
}

#[tokio::test]
async fn a_drained_server_finishes_calls_and_takes_no_more() {
    let mut bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call("hold", "").await }
    });
    let script = bench.script.clone();
    let held = tokio::task::spawn_blocking(move || script.take_held(1)).await.unwrap();
    let server = bench.server.take().unwrap();
    server.drain(LONG);
    for (_, sink) in held {
        sink.reply(Reply::returned("finished"));
    }
    assert_eq!(within(call).await.unwrap().unwrap().payload, "finished");
    tokio::task::spawn_blocking(move || server.join()).await.unwrap().unwrap();
    bench.start();
    assert_eq!(within(client.call("echo", "next")).await.unwrap().payload, "next");
}

#[test]
fn a_server_that_goes_away_does_not_wait_for_clients_that_have_vanished() {
    let mut bench = Bench::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A client runs only while its runtime is driven: this one is as dead as its process would be.
    let (dead, alive) = (runtime(), runtime());
    let vanished = dead.block_on(bench.client()).unwrap();
    let _call = dead.spawn(async move { vanished.call("hold", "").await });
    let script = bench.script.clone();
    let held = std::thread::spawn(move || script.take_held(1));
    let held = dead.block_on(async move {
        within(tokio::task::spawn_blocking(move || held.join().unwrap())).await.unwrap()
    });
    let _idle = dead.block_on(bench.client()).unwrap();
    let waiting = alive.block_on(bench.client()).unwrap();
    let alive = std::thread::spawn(move || alive.block_on(waiting.call("hold", "")));
    let held_on = bench.script.take_held(1);

    let server = bench.server.take().unwrap();
    server.go_away();
    assert_eq!(bench.script.cancelled(held[0].0), CancelReason::Disconnected);
    for (_, sink) in held_on {
        sink.reply(Reply::returned("to the end"));
    }
    assert_eq!(alive.join().unwrap().unwrap().payload, "to the end");
    server.drain(LONG * 10);
    server.join().unwrap();
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_calls_with_it() {
    let bench = Bench::new();
    let client = within(bench.client()).await.unwrap();
    let call = tokio::spawn(async move { client.call("hold", "").await });
    let script = bench.script.clone();
    let held = tokio::task::spawn_blocking(move || script.take_held(1)).await.unwrap();
    call.abort();
    let (call, script) = (held[0].0, bench.script.clone());
    let why = tokio::task::spawn_blocking(move || script.cancelled(call)).await.unwrap();
    assert!(matches!(why, CancelReason::Caller | CancelReason::Disconnected));
}

#[tokio::test]
async fn inputs_over_the_limit_do_not_leave() {
    let limits = Limits { max_input_bytes: 1000, ..Limits::default() };
    let session = ServerSettings { limits, ..ServerSettings::default() };
    let bench = Bench::with(ServerConfig { session, ..ServerConfig::default() });
    let client = within(bench.client()).await.unwrap();
    let error = within(client.call("echo", vec![0; 1001])).await.unwrap_err();
    let expected = NotSent::InputTooLarge { limit_bytes: 1000, found_bytes: 1001 };
    assert_eq!(error, CallError::NotSent(expected));
    assert_eq!(bench.script.given(), 0);
    within(client.call("echo", vec![0; 1000])).await.unwrap();
}

#[test]
fn a_taken_address_is_named() {
    let bench = Bench::new();
    let tls = tls::server_config(&bench.folder.path().join("tls")).unwrap();
    let config = ServerConfig::default();
    let error = Server::bind(bench.addr, &tls, config, bench.script.clone()).unwrap_err();
    assert!(matches!(error, BindError::Address { .. }));
    assert!(error.to_string().contains(&bench.addr.to_string()), "{error}");
}
