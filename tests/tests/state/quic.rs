//! State over QUIC, by the client that programs use.

use std::time::Duration;

use faaslet_net::client::{
    BlockingClient, Client, Condition, PutOptions, Spec, StateError, StateFailure, StateVersion,
};
use faaslet_tests::{Hosts, Monitor, Site};

const LONG: Duration = Duration::from_secs(60);

fn refused(result: Result<impl std::fmt::Debug, StateError>) -> StateFailure {
    let error = result.unwrap_err();
    error.failure().unwrap_or_else(|| panic!("{error}"))
}

fn connected(monitor: &Monitor<'_>) -> BlockingClient {
    monitor.default_tenant().connect().unwrap()
}

#[test]
fn values_are_written_and_read_by_range_version_and_condition() {
    let site = Site::new();
    let monitor = site.up();
    let run = async |client: &Client| -> Result<(), StateError> {
        let state = client.state();
        let absent = PutOptions { condition: Condition::Absent, ..PutOptions::default() };
        let made = state.put_with("a/key", "0123456789", absent).await?;
        assert_eq!(refused(state.put_with("a/key", "x", absent).await), StateFailure::Conflict);
        let part = PutOptions { at: Some(2), condition: Condition::Is(made.version), ..absent };
        let second = state.put_with("a/key", "xy", part).await?;
        assert!(second.version > made.version && second.made == made.made);
        assert_eq!(refused(state.put_with("a/key", "zz", part).await), StateFailure::Conflict);
        assert_eq!(state.append("a/key", "!", None).await?, 10);
        assert_eq!(&state.get("a/key").await?.bytes[..], b"01xy456789!");
        assert_eq!(&state.get_range("a/key", 2..4, None).await?.bytes[..], b"xy");
        assert_eq!(&state.get_range("a/key", 9..99, None).await?.bytes[..], b"9!");
        let old = state.get_range("a/key", 0..99, Some(made.version)).await?;
        assert_eq!((&old.bytes[..], old.stat.version), (&b"0123456789"[..], made.version));
        let never = StateVersion { epoch: 0, n: 9 };
        let collected = state.get_range("a/key", 0..1, Some(never)).await;
        assert_eq!(refused(collected), StateFailure::Collected);

        assert_eq!(refused(state.append("a/log", "x", None).await), StateFailure::NotFound);
        assert_eq!(state.append("a/log", "x", Some(Spec::default())).await?, 0);
        assert_eq!(state.list("a/", "").await?, (vec!["a/key".into(), "a/log".into()], false));
        assert_eq!(state.list("", "a/key").await?.0, ["a/log"]);
        assert_eq!(
            refused(state.remove("a/key", Some(made.version)).await),
            StateFailure::Conflict
        );
        state.remove("a/key", None).await?;
        assert_eq!(refused(state.stat("a/key").await), StateFailure::NotFound);
        Ok(())
    };
    connected(&monitor).run(run).unwrap();
    assert_eq!(monitor.default_tenant().get("/v1/state/a/log").body, b"x", "the same over HTTP");
    monitor.stop();
}

#[test]
fn what_cannot_be_is_refused_by_kind_and_a_large_value_goes_both_ways() {
    let site = Site::new();
    let monitor = site.up_with(&["--state-memory-per-tenant", "40M"]);
    let run = async |client: &Client| -> Result<(), StateError> {
        let state = client.state();
        assert_eq!(refused(state.put("", "x").await), StateFailure::Invalid);
        let small = Spec { quota_bytes: 4, ..Spec::default() };
        let quota = PutOptions { spec: small, ..PutOptions::default() };
        assert_eq!(refused(state.put_with("q", "12345", quota).await), StateFailure::TooLarge);
        let rule = Spec { element: 9, rule: 4, ..Spec::default() };
        let bits = PutOptions { spec: rule, ..PutOptions::default() };
        assert_eq!(refused(state.put_with("r", "", bits).await), StateFailure::Invalid);
        assert_eq!(refused(state.get_range("q", 5..6, None).await), StateFailure::Invalid);
        let large: Vec<u8> = (0..20 << 20).map(|at: u32| (at % 251) as u8).collect();
        state.put("large", large.clone()).await?;
        assert!(state.get("large").await?.bytes == large);
        let other = state.put("other", large).await;
        assert_eq!(refused(other), StateFailure::Limit, "the tenant's memory");
        Ok(())
    };
    connected(&monitor).run(run).unwrap();
    let other = monitor.add_tenant("other").connect().unwrap();
    let theirs = other.run(async |client| client.state().get("large").await);
    assert_eq!(refused(theirs), StateFailure::NotFound, "each tenant has its own values");
    monitor.stop();
}

/// A watcher that follows every version until the value has `last` bytes; those it saw.
async fn follow(client: &Client, key: &str, last: u64) -> Result<Vec<u64>, StateError> {
    let mut stat = client.state().stat(key).await?;
    let mut seen = vec![stat.len];
    while stat.len < last {
        let next = client.state().watch(key, stat.version).await?;
        assert!(next.version > stat.version, "never an older version");
        stat = next;
        seen.push(stat.len);
    }
    Ok(seen)
}

#[test]
fn a_watcher_on_either_host_learns_of_the_latest_version() {
    let hosts = Hosts::new(&["one", "two"]);
    let (one, two) = (hosts.up(0), hosts.up(1));
    // Owned by one host or the other.
    let keys: Vec<String> = (0..8).map(|number| format!("watched/{number}")).collect();
    let writer = connected(&one);
    for key in &keys {
        writer.run(async |client| client.state().put(key, "").await).unwrap();
    }
    std::thread::scope(|scope| {
        let watchers: Vec<_> = [&one, &two]
            .into_iter()
            .flat_map(|host| keys.iter().map(move |key| (host, key)))
            .map(|(host, key)| {
                let client = connected(host);
                scope.spawn(move || client.run(async |client| follow(client, key, 20).await))
            })
            .collect();
        for _ in 0..20 {
            for key in &keys {
                writer.run(async |client| client.state().append(key, "x", None).await).unwrap();
            }
        }
        for watcher in watchers {
            let seen = watcher.join().unwrap().unwrap();
            assert!(seen.is_sorted() && seen.last() == Some(&20), "{seen:?}");
        }
    });
    let gone = writer.run(async |client| {
        let state = client.state();
        let version = state.stat(&keys[0]).await?.version;
        let (gone, removed) =
            tokio::join!(state.watch(&keys[0], version), state.remove(&keys[0], None));
        removed?;
        Ok::<_, StateError>(gone)
    });
    assert_eq!(refused(gone.unwrap()), StateFailure::NotFound);
    one.stop();
    two.stop();
}

#[test]
fn a_watch_that_nobody_waits_for_any_more_keeps_nobody_out() {
    let site = Site::new();
    let monitor = site.up();
    let run = async |client: &Client| -> Result<(), StateError> {
        let state = client.state();
        let known = state.put("v", "").await?.version;
        // More, one after the other, than one tenant may have at once.
        for _ in 0..1500 {
            let watch = state.watch("v", known);
            assert!(tokio::time::timeout(Duration::ZERO, watch).await.is_err());
        }
        let (changed, appended) =
            tokio::join!(tokio::time::timeout(LONG, state.watch("v", known)), async {
                state.append("v", "x", None).await
            });
        appended?;
        assert_eq!(changed.expect("the change is told")?.len, 1);
        Ok(())
    };
    connected(&monitor).run(run).unwrap();
    monitor.stop();
}
