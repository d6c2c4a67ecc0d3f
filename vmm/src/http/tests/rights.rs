//! Who may do what, and that a tenant is its token.

use super::Site;
use crate::api::{TenantInfo, TokenInfo};

/// Routes of the operator, with a body that is right.
const OPERATORS: &[(&str, &str, &str)] = &[
    ("GET", "/v1/tenants", ""),
    ("POST", "/v1/tenants", r#"{"name":"x"}"#),
    ("DELETE", "/v1/tenants/x", ""),
    ("PATCH", "/v1/tenants/default", "{}"),
    ("GET", "/v1/tenants/default/tokens", ""),
    ("POST", "/v1/tenants/default/tokens", ""),
    ("DELETE", "/v1/tenants/default/tokens/00", ""),
    ("POST", "/v1/tenants/default/grants", r#"{"folder":"/::/x"}"#),
    ("DELETE", "/v1/tenants/default/grants?guest=/x", ""),
    ("POST", "/v1/gc?dry_run=true", ""),
    ("POST", "/v1/images", "x"),
    ("DELETE", "/v1/images/00", ""),
    ("GET", "/metrics", ""),
];
/// Routes of tenants.
const TENANTS: &[(&str, &str, &str)] = &[
    ("GET", "/v1/functions", ""),
    ("GET", "/v1/images", ""),
    ("GET", "/v1/images/00", ""),
    ("POST", "/v1/modules", "x"),
    ("PUT", "/v1/functions/f", "{}"),
    ("DELETE", "/v1/functions/f", ""),
    ("GET", "/v1/functions/f/versions", ""),
    ("POST", "/v1/functions/f/rollback", r#"{"version":1}"#),
    ("PUT", "/v1/functions/f/settings", "{}"),
    ("GET", "/v1/functions/f/logs", ""),
    ("POST", "/f/f", ""),
    ("GET", "/f/f/a/b", ""),
];

#[test]
fn without_a_valid_token_nothing_is_done() {
    let site = Site::new();
    let wrong = format!("flt_{}", "0".repeat(64));
    let cut = &site.tenant[..site.tenant.len() - 1];
    for (method, path, body) in OPERATORS.iter().chain(TENANTS) {
        for token in ["", "x", "flt_", &wrong, cut] {
            let answer = site.ask(token, method, path, body.as_bytes());
            assert_eq!(answer.kind(), "unauthorised", "{method} {path} with {token:?}");
            assert!(answer.headers.contains("www-authenticate: bearer"));
        }
    }
}

#[test]
fn a_tenant_is_not_the_operator() {
    let site = Site::new();
    for (method, path, body) in OPERATORS {
        let answer = site.ask(&site.tenant, method, path, body.as_bytes());
        assert_eq!(answer.kind(), "forbidden", "{method} {path}");
    }
    let tenants = site.ask(&site.admin, "GET", "/v1/tenants", b"");
    let tenants: Vec<TenantInfo> = serde_json::from_slice(&tenants.body).unwrap();
    assert_eq!(tenants.len(), 1, "nothing was done");
}

#[test]
fn only_the_operator_names_a_tenant() {
    let site = Site::new();
    let added = site.ask(&site.admin, "POST", "/v1/tenants", br#"{"name":"other"}"#);
    assert_eq!(added.status, 201, "{}", added.text());
    let other: TokenInfo = serde_json::from_slice(&added.body).unwrap();
    for (method, path, body) in TENANTS {
        let name = if path.starts_with("/f/") { "faaslet-tenant" } else { "tenant" };
        let path = format!("{path}?{name}=other");
        let answer = site.ask(&site.tenant, method, &path, body.as_bytes());
        assert_eq!(answer.kind(), "forbidden", "{method} {path}");
        for token in [&site.admin, &other.token] {
            let answer = site.ask(token, method, &path, body.as_bytes());
            assert!(![401, 403].contains(&answer.status), "{method} {path}: {}", answer.text());
        }
    }
}

#[test]
fn a_tenant_comes_and_goes_with_its_tokens_and_folders() {
    let site = Site::new();
    let ask = |method, path: &str, body: &str| site.ask(&site.admin, method, path, body.as_bytes());
    let added = ask("POST", "/v1/tenants", r#"{"name":"t"}"#);
    let token = added.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(ask("POST", "/v1/tenants", r#"{"name":"t"}"#).kind(), "conflict");
    assert_eq!(ask("POST", "/v1/tenants", r#"{"name":"/"}"#).kind(), "bad-request");
    assert_eq!(ask("POST", "/v1/tenants", r#"{"nome":"t"}"#).kind(), "bad-request");

    let folder = site.dir.path().display();
    let grant = |text: &str| ask("POST", "/v1/tenants/t/grants", text).status;
    assert_eq!(grant(&format!(r#"{{"folder":"{folder}::/data:ro"}}"#)), 204);
    assert_eq!(grant(r#"{"folder":"relative::/data"}"#), 400);
    assert_eq!(grant(r#"{"folder":"/nowhere/at/all::/data"}"#), 422);
    let list = ask("GET", "/v1/tenants", "").json();
    assert_eq!(list[1]["grants"][0], format!("{folder}::/data:ro"));
    assert_eq!(ask("DELETE", "/v1/tenants/t/grants?guest=/none", "").kind(), "not-found");
    assert_eq!(ask("DELETE", "/v1/tenants/t/grants?guest=/data", "").status, 204);
    assert_eq!(ask("DELETE", "/v1/tenants/t/grants", "").kind(), "bad-request");

    let more = ask("POST", "/v1/tenants/t/tokens", "").json()["token"].as_str().unwrap().to_owned();
    assert_ne!(more, token);
    assert_eq!(site.ask(&more, "GET", "/v1/functions", b"").status, 200);
    let tokens = ask("GET", "/v1/tenants/t/tokens", "").json();
    let ids: Vec<&str> =
        tokens.as_array().unwrap().iter().filter_map(|t| t["id"].as_str()).collect();
    assert_eq!(ids.len(), 2);
    assert!(!tokens.to_string().contains(&more[..8]), "no token is shown twice: {tokens}");
    let third = ask("POST", "/v1/tenants/t/tokens", "").json();
    let path = format!("/v1/tenants/t/tokens/{}", third["id"].as_str().unwrap());
    let elsewhere = path.replace("tenants/t/", "tenants/default/");
    assert_eq!(ask("DELETE", &elsewhere, "").kind(), "not-found");
    assert_eq!(ask("DELETE", &path, "").status, 204);
    assert_eq!(ask("DELETE", &path, "").kind(), "not-found");
    let third = third["token"].as_str().unwrap();
    assert_eq!(site.ask(third, "GET", "/v1/functions", b"").status, 401);
    assert_eq!(ask("DELETE", "/v1/tenants/t", "").status, 204);
    assert_eq!(ask("DELETE", "/v1/tenants/t", "").kind(), "not-found");
    for token in [&more, &token] {
        assert_eq!(site.ask(token, "GET", "/v1/functions", b"").status, 401);
    }
}

#[test]
fn a_tenants_limits_are_set_shown_and_checked() {
    let site = Site::new();
    let ask = |method, path: &str, body: &str| site.ask(&site.admin, method, path, body.as_bytes());
    let limits = r#"{"name":"t","limits":{"memory_bytes":268435456,"cpu_percent":50}}"#;
    assert_eq!(ask("POST", "/v1/tenants", limits).status, 201);
    assert_eq!(ask("PATCH", "/v1/tenants/t", r#"{"calls_in_flight":7}"#).status, 204);
    let tenant = &ask("GET", "/v1/tenants", "").json()[1];
    assert_eq!(tenant["memory_bytes"], 256 << 20);
    assert_eq!((&tenant["cpu_percent"], &tenant["calls_in_flight"]), (&50.into(), &7.into()));
    assert_eq!(ask("PATCH", "/v1/tenants/t", r#"{"memory_bytes":1}"#).kind(), "refused");
    assert_eq!(ask("PATCH", "/v1/tenants/t", r#"{"memory":1}"#).kind(), "bad-request");
    assert_eq!(ask("PATCH", "/v1/tenants/none", r#"{"functions":1}"#).kind(), "not-found");
}
