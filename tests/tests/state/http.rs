//! `/v1/state`.

use faaslet_tests::Site;

#[test]
fn preconditions_and_ranges_are_those_of_http() {
    let site = Site::new();
    let monitor = site.up();
    let tenant = monitor.default_tenant();
    let at = "/v1/state/some/key";
    let absent = [("if-none-match", "*")];
    let made = tenant.ask("PUT", at, &absent, b"0123456789");
    assert_eq!(made.status, 200, "{}", made.text());
    let tag = made.headers["etag"].to_str().unwrap().to_owned();
    let again = tenant.ask("PUT", at, &absent, b"x");
    assert_eq!((again.status, again.problem().as_str()), (412, "precondition-failed"));
    let read = tenant.ask("GET", at, &[("range", "bytes=2-4")], b"");
    assert_eq!((read.status, &*read.body), (206, &b"234"[..]));
    assert_eq!(read.headers["content-range"], "bytes 2-4/10");
    assert_eq!(tenant.ask("GET", at, &[("if-none-match", &tag)], b"").status, 304);
    assert_eq!(tenant.ask("GET", at, &[("range", "bytes=10-")], b"").status, 416);
    let written = tenant.ask("PUT", &format!("{at}?offset=2"), &[("if-match", &tag)], b"xy");
    assert_eq!(written.status, 200, "{}", written.text());
    let late = tenant.ask("PUT", &format!("{at}?offset=2"), &[("if-match", &tag)], b"zz");
    assert_eq!(late.problem(), "precondition-failed");
    assert!(late.text().contains("some/key"), "{}", late.text());
    assert_eq!(tenant.get(at).body, b"01xy456789");
    assert_eq!(tenant.ask("DELETE", at, &[("if-match", &tag)], b"").status, 412);
    assert_eq!(tenant.ask("DELETE", at, &[], b"").status, 204);
    assert_eq!(tenant.get(at).problem(), "not-found");
    monitor.stop();
}

#[test]
fn what_cannot_be_is_refused_by_kind() {
    let site = Site::new();
    let monitor = site.up_with(&["--state-memory-per-tenant", "1M"]);
    let tenant = monitor.default_tenant();
    let long = format!("/v1/state/{}", "k".repeat(513));
    assert_eq!(tenant.ask("PUT", &long, &[], b"x").status, 400);
    assert_eq!(tenant.ask("PUT", "/v1/state/k?element=u128", &[], b"x").status, 400);
    assert_eq!(tenant.ask("PUT", "/v1/state/k?rule=and&element=f32", &[], b"x").status, 400);
    assert_eq!(tenant.ask("PUT", "/v1/state/k?quota_bytes=4", &[], b"12345").status, 413);
    let full = tenant.ask("PUT", "/v1/state/full", &[], &vec![1; 2 << 20]);
    assert_eq!(full.problem(), "refused");
    assert!(full.text().contains("bytes of the tenant's values"), "{}", full.text());
    assert_eq!(tenant.get("/v1/state/k?version=one").status, 400);
    let _ = tenant.ask("PUT", "/v1/state/s?rule=sum&element=i64", &[], &[0; 8]);
    assert_eq!(tenant.ask("PUT", "/v1/state/s", &[], &[1; 8]).problem(), "refused");
    monitor.stop();
}

#[test]
fn a_tenant_has_its_own_values_alone() {
    let site = Site::new();
    let monitor = site.up();
    let (one, other) = (monitor.add_tenant("one"), monitor.add_tenant("other"));
    assert_eq!(one.ask("PUT", "/v1/state/v", &[], b"mine").status, 200);
    assert_eq!(other.get("/v1/state/v").status, 404);
    assert_eq!(other.get("/v1/state/v?tenant=one").status, 403);
    assert_eq!(other.get("/v1/state").json()["values"], serde_json::json!([]));
    assert_eq!(one.get("/v1/state").json()["values"][0]["key"], "v");
    monitor.stop();
}
