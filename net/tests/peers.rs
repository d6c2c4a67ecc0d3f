//! Hosts that talk to each other over loopback.
#![allow(clippy::unwrap_used)]

mod peer_hosts;

use bytes::Bytes;
use faaslet_net::CloseCode;
use faaslet_net::peer::{HostId, MAX_PAYLOAD_BYTES, PeerError, PeersConfig, tls};
use peer_hosts::{Hosts, LONG, soon, until};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_ask_each_other() {
    let hosts = Hosts::new(&["a", "b"]);
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    let large = Bytes::from(vec![7; MAX_PAYLOAD_BYTES]);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let response = from.ask(to, "echo", "well").await.unwrap();
        assert_eq!((&response.head[..], &response.payload[..]), (&b"echo"[..], &b"well"[..]));
        let response = from.ask(to, "echo", large.clone()).await.unwrap();
        assert_eq!(response.payload, large);
    }
    let (host, counters) = a.peers.counters()[0];
    assert_eq!(host, b.host());
    assert!(counters.is_connected && counters.round_trip > Duration::ZERO);
    assert_eq!((counters.requests, counters.served, counters.failures), (2, 2, 0));
    assert_eq!((counters.in_flight, counters.in_flight_bytes), (0, 0));
    assert!(counters.sent_bytes > 2 * MAX_PAYLOAD_BYTES as u64);
    // The answering host opened none of its own.
    assert_eq!(counters.connects, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_and_forgotten_requests_are_told_apart() {
    let hosts = Hosts::new(&["a", "b"]);
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    let refused = a.ask(&b, "refuse", "").await.unwrap_err();
    assert!(matches!(&refused, PeerError::Refused { reason, .. } if reason == "not the owner"));
    assert!(!refused.may_have_run());
    let dropped = a.ask(&b, "drop", "").await.unwrap_err();
    assert!(matches!(dropped, PeerError::NoResponse { .. }) && dropped.may_have_run());
    let stranger = HostId::new("stranger").unwrap();
    let error = a.peers.ask(stranger, "", "", soon()).await.unwrap_err();
    assert_eq!(error, PeerError::UnknownHost { host: stranger });
    let error = a.ask(&b, "echo", vec![0; MAX_PAYLOAD_BYTES + 1]).await.unwrap_err();
    assert!(matches!(error, PeerError::TooLarge { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_restarts_is_found_again() {
    let hosts = Hosts::new(&["a", "b"]);
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    a.ask(&b, "echo", "1").await.unwrap();
    let held = tokio::spawn({
        let (peers, host) = (a.peers.clone(), b.host());
        async move { peers.ask(host, "hold", "", soon()).await }
    });
    b.script.take_held(1);
    let addr = b.peers.local_addr();
    drop(b);
    let lost = held.await.unwrap().unwrap_err();
    assert!(matches!(lost, PeerError::Lost { .. } | PeerError::NoResponse { .. }), "{lost}");
    assert!(lost.may_have_run());
    // Nobody is there: it waits, and is answered by the host that comes back.
    let waiting = tokio::spawn({
        let (peers, host) = (a.peers.clone(), HostId::new("b").unwrap());
        async move { peers.ask(host, "echo", "2", soon()).await }
    });
    let b = hosts.start_at("b", addr, PeersConfig::default());
    Hosts::acquaint(&[&a, &b]);
    assert_eq!(waiting.await.unwrap().unwrap().payload, "2");
    b.ask(&a, "echo", "3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_host_is_an_error_at_the_deadline() {
    let hosts = Hosts::new(&["a", "b"]);
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    let host = b.host();
    drop(b);
    let deadline = Instant::now() + Duration::from_millis(200);
    let error = a.peers.ask(host, "echo", "", deadline).await.unwrap_err();
    assert!(matches!(error, PeerError::TimedOut { may_have_run: false, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_is_refused_by_both_ends() {
    let hosts = Hosts::new(&["a", "b"]);
    let others = Hosts::new(&["b", "a"]);
    let (a, b) = (hosts.start("a"), others.start("b"));
    Hosts::acquaint(&[&a, &b]);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let error = from.ask(to, "echo", "").await.unwrap_err();
        let PeerError::Denied { code, reason, .. } = &error else { panic!("{error}") };
        assert_eq!(*code, CloseCode::Unauthorised);
        assert!(reason.contains("certificate"), "{reason}");
        assert!(!error.may_have_run());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_than_the_table_says_is_refused() {
    let hosts = Hosts::new(&["a", "b", "c"]);
    let (a, c) = (hosts.start("a"), hosts.start("c"));
    let b = HostId::new("b").unwrap();
    a.peers.set_table(&[(b, c.peers.local_addr())]);
    let error = a.peers.ask(b, "echo", "", soon()).await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Denied { reason, .. } if reason.contains("b.peer")),
        "{error}"
    );
    // Nor does a host let in one that is not in its table.
    a.peers.set_table(&[(c.host(), c.peers.local_addr())]);
    let error = a.ask(&c, "echo", "").await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Denied { reason, .. } if reason.contains("not in the table")),
        "{error}"
    );
    assert_eq!(c.script.given(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_and_late_requests_are_told_to_the_handler() {
    let hosts = Hosts::new(&["a", "b"]);
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    let deadline = Instant::now() + Duration::from_millis(100);
    let late = a.peers.ask(b.host(), "hold", "", deadline).await.unwrap_err();
    assert!(matches!(late, PeerError::TimedOut { .. }), "{late}");
    let first = b.script.take_held(1).remove(0);
    b.script.wait_cancelled(first.request());
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let done = move |result| tell.send(result).unwrap();
    let ticket = a.peers.request(b.host(), "hold", "", soon(), done).unwrap();
    let second = b.script.take_held(1).remove(0);
    a.peers.cancel(ticket);
    assert_eq!(told.recv_timeout(LONG).unwrap(), Err(PeerError::Cancelled));
    b.script.wait_cancelled(second.request());
    assert_eq!(a.peers.counters()[0].1.in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_to_a_host_is_bounded() {
    let hosts = Hosts::new(&["a", "b"]);
    let config = PeersConfig { max_queued: 8, max_queued_bytes: 1 << 20, ..PeersConfig::default() };
    let (a, b) = (hosts.start_at("a", hosts.any, config), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    let ask = |bytes: usize| {
        a.peers.request(b.host(), "hold", vec![0; bytes], soon(), |_| {}).map(|_| ())
    };
    for _ in 0..8 {
        ask(10).unwrap();
    }
    assert!(matches!(ask(10).unwrap_err(), PeerError::Busy { requests: 8, .. }));
    drop(b.script.take_held(8));
    until(|| a.peers.counters()[0].1.in_flight == 0);
    ask(1 << 19).unwrap();
    assert!(matches!(ask(1 << 20).unwrap_err(), PeerError::Busy { .. }));
    assert_eq!(a.peers.counters()[0].1.busy, 2);
    drop(b.script.take_held(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_can_be_replaced_and_peers_drain() {
    let hosts = Hosts::new(&["a", "b"]);
    let (a, b) = (hosts.start("a"), hosts.start("b"));
    Hosts::acquaint(&[&a, &b]);
    a.ask(&b, "echo", "").await.unwrap();
    a.peers.set_table(&[]);
    let error = a.ask(&b, "echo", "").await.unwrap_err();
    assert!(matches!(error, PeerError::UnknownHost { .. }), "{error}");
    Hosts::acquaint(&[&a, &b]);
    let held = tokio::spawn({
        let (peers, host) = (a.peers.clone(), b.host());
        async move { peers.ask(host, "hold", "", soon()).await }
    });
    let reply = b.script.take_held(1).remove(0);
    b.peers.drain(LONG);
    reply.respond("", "the last");
    assert_eq!(held.await.unwrap().unwrap().payload, "the last");
    b.peers.join().unwrap();
    a.peers.drain(Duration::ZERO);
    a.peers.join().unwrap();
    let error = a.ask(&b, "echo", "").await.unwrap_err();
    assert_eq!(error, PeerError::Closed);
}

#[test]
fn keys_are_private_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, dir) = (folder.path().join("authority"), folder.path().join("a"));
    let (a, b) = (HostId::new("a").unwrap(), HostId::new("b").unwrap());
    tls::generate_authority(&authority).unwrap();
    tls::generate_host(&authority, a, &dir).unwrap();
    for path in [authority.join(tls::TRUST_KEY_FILE), dir.join(tls::HOST_KEY_FILE)] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!dir.join(tls::TRUST_KEY_FILE).exists(), "the authority's key stays where it is");
    tls::generate_authority(&authority).unwrap();
    tls::generate_host(&authority, a, &dir).unwrap();
    let error = tls::load(&dir, b).unwrap_err().to_string();
    assert!(error.contains("expected a certificate for host b"), "{error}");
    std::fs::remove_file(dir.join(tls::HOST_KEY_FILE)).unwrap();
    let error = tls::generate_host(&authority, a, &dir).unwrap_err().to_string();
    assert!(error.contains("host-key.pem is missing"), "{error}");
}
