//! `openapi.json` against the server: routes, statuses, and the fields of what is sent.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::super::OPENAPI;
use super::super::problem::KINDS;
use super::super::router::ROUTES;
use super::Site;
use crate::api::{
    DeployEvent, DeployRequest, DeployedInfo, FunctionInfo, GcInfo, GrantRequest, HostWarmth,
    ImageInfo, LimitsRequest, LogRecord, ModuleInfo, PrewarmRequest, Problem, RollbackRequest,
    SettingsRequest, StateAppended, StateChange, StateDiff, StateList, StateVersion, TenantInfo,
    TenantRequest, TokenEntry, TokenInfo, VersionInfo,
};
use crate::builder::Phase;
use crate::cell::Mode;

fn openapi() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// The route of a path.
fn route(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |route: &str| {
        let (mut route, mut path) = (route.split('/'), path.split('/'));
        loop {
            match (route.next(), path.next()) {
                (None, None) | (Some("{rest}" | "{key}"), Some(_)) => return true,
                (Some(part), Some(found)) if part == found || part.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    ROUTES.iter().map(|(route, _)| *route).find(|route| fits(route))
}

/// Fails unless the document says that this may be answered so.
pub(super) fn documented(method: &str, path: &str, status: u16) {
    let Some(route) = route(path) else { return assert_eq!(status, 404, "{path}") };
    let operation = &openapi()["paths"][route][method.to_lowercase()];
    if operation.is_null() {
        return assert_eq!(status, 405, "{method} {path}");
    }
    let told = operation["responses"].get(status.to_string());
    assert!(told.is_some(), "{method} {route} answers {status}, which openapi.json does not have");
}

#[test]
fn the_document_has_exactly_the_routes_of_the_server() {
    let document = openapi();
    let paths = document["paths"].as_object().unwrap();
    let found: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone()))
        })
        .collect();
    let served: BTreeSet<(String, String)> = ROUTES
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|m| ((*path).to_owned(), (*m).to_owned())))
        .collect();
    assert_eq!(found, served);
}

#[test]
fn every_route_is_served_and_no_other_method_of_it() {
    let site = Site::new();
    for (route, methods) in ROUTES {
        let path = route.replace("{name}", "nobody").replace("{rest}", "a/b").replace("{id}", "00");
        let path = path.replace("{key}", "a/b");
        for method in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] {
            let answer = match (*route, method) {
                // GET is what HEAD asks for, without the body.
                (_, "HEAD") if methods.contains(&"get") => continue,
                _ => site.ask(&site.admin, method, &path, b""),
            };
            let served = methods.contains(&method.to_lowercase().as_str());
            assert_eq!(answer.status == 405, !served, "{method} {path}: {}", answer.text());
            assert!(!answer.text().contains("expected a path"), "{method} {path} is not served");
        }
    }
}

#[test]
fn what_is_unknown_is_said_in_the_same_form() {
    let site = Site::new();
    for path in ["/", "/v1", "/v2/functions", "/f", "/f/", "/v1/functions/a/b"] {
        let answer = site.ask(&site.tenant, "GET", path, b"");
        assert_eq!((answer.status, answer.kind().as_str()), (404, "not-found"), "{path}");
    }
    let answer = site.ask("", "GET", "/openapi.json", b"");
    assert_eq!(answer.text(), OPENAPI);
}

#[test]
fn every_kind_of_problem_has_one_status_and_is_a_word() {
    let words: BTreeSet<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(words.len(), KINDS.len());
    for (kind, status) in KINDS {
        assert!((400..600).contains(status), "{kind}");
        assert!(kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{kind}");
    }
}

#[test]
fn what_is_sent_has_the_fields_of_the_document() {
    let document = openapi();
    let check = |name: &str, value: &dyn erased::Serialized| {
        let schema = &document["components"]["schemas"][name];
        let documented: BTreeSet<String> =
            schema["properties"].as_object().unwrap().keys().cloned().collect();
        let sent: BTreeSet<String> = value.fields();
        assert_eq!(sent, documented, "{name}");
    };
    let text = String::new;
    check("Problem", &Problem::refused("d"));
    check("ModuleInfo", &ModuleInfo { module: text() });
    check("DeployRequest", &DeployRequest::default());
    check("RollbackRequest", &RollbackRequest { version: 1 });
    check("SettingsRequest", &SettingsRequest::default());
    check("TenantRequest", &TenantRequest { name: text(), limits: LimitsRequest::default() });
    check("LimitsRequest", &LimitsRequest::default());
    check("TokenEntry", &TokenEntry { id: text(), created_unix_s: 0 });
    check("GrantRequest", &GrantRequest { folder: text() });
    check("TokenInfo", &TokenInfo { tenant: text(), id: text(), token: text() });
    check("GcInfo", &GcInfo::default());
    let tenant = TenantInfo {
        name: text(),
        grants: Vec::new(),
        cell_pid: None,
        memory_bytes: 0,
        cpu_percent: None,
        calls_in_flight: 0,
        functions: 0,
    };
    check("TenantInfo", &tenant);
    let image = ImageInfo {
        id: text(),
        function: text(),
        version: 0,
        bytes: 0,
        memory_bytes: 0,
        base: Some(text()),
    };
    check("ImageInfo", &image);
    check("DeployedInfo", &deployed());
    let version =
        VersionInfo { version: 1, current: true, created_unix_s: 0, module: text(), image: None };
    check("VersionInfo", &version);
    check("FunctionInfo", &function());
    check("LogRecord", &record());
    check("PrewarmRequest", &PrewarmRequest::default());
    check("HostWarmth", &HostWarmth::failed("h", text()));
    check("StateList", &StateList { values: Vec::new(), more: false });
    check("StateChange", &StateChange { at: 0, len: 0 });
    check("StateDiff", &StateDiff { changes: Vec::new(), complete: true });
    check("StateAppended", &StateAppended { at: 0, len: 0, version: text() });
    let version = StateVersion { version: text(), len: 0, age_ms: 0, changed_bytes: 0 };
    check("StateVersion", &version);
}

#[test]
fn events_of_a_deployment_are_told_apart_by_their_name() {
    let events = [
        (DeployEvent::Phase { phase: Phase::Compile }, "phase"),
        (DeployEvent::Log { line: "l".into() }, "log"),
        (DeployEvent::Store, "store"),
        (DeployEvent::Deployed(deployed()), "deployed"),
        (DeployEvent::Failed(Problem::refused("d")), "failed"),
    ];
    for (event, name) in events {
        assert_eq!(serde_json::to_value(&event).unwrap()["event"], name);
        assert!(OPENAPI.contains(&format!("\"const\": \"{name}\"")), "{name}");
    }
}

fn deployed() -> DeployedInfo {
    DeployedInfo {
        name: "f".into(),
        version: 1,
        image: None,
        artefact_bytes: 0,
        image_bytes: 0,
        base: Some(String::new()),
        phases: Vec::new(),
    }
}

fn function() -> FunctionInfo {
    FunctionInfo {
        name: "f".into(),
        version: 1,
        mode: Mode::Fork,
        image: None,
        image_bytes: 0,
        kept: Ok(()),
        copy_of: None,
        warm_slots: 0,
        calls: 0,
        errors: 0,
        p50_us: 0,
        p99_us: 0,
    }
}

fn record() -> LogRecord {
    LogRecord {
        sequence: 1,
        unix_ms: 0,
        function: "f".into(),
        call: String::new(),
        level: "info".into(),
        text: String::new(),
    }
}

/// Values of different types in one list.
mod erased {
    use super::{BTreeSet, Serialize, Value};

    pub(super) trait Serialized {
        /// The names of its fields.
        fn fields(&self) -> BTreeSet<String>;
    }

    impl<T: Serialize> Serialized for T {
        fn fields(&self) -> BTreeSet<String> {
            match serde_json::to_value(self).unwrap() {
                Value::Object(fields) => fields.keys().cloned().collect(),
                other => panic!("no object: {other}"),
            }
        }
    }
}
