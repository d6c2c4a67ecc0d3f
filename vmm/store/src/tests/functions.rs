//! Deployments, versions, rollback, settings.

use std::collections::BTreeMap;

use super::{deploy, deployment, function, name, put, store, store_with_tenant};
use crate::{
    BlobKind, Code, DeployError, FunctionError, Hash, MAX_SETTINGS_BYTES, Secret, Settings,
    TenantLimits,
};

#[test]
fn versions_count_up_and_the_newest_is_current() {
    let (_folder, store) = store_with_tenant();
    let f = function("f");
    for n in 1..=12 {
        assert_eq!(deploy(&store, "f", &n.to_string()), n);
        assert_eq!(store.current(&f).unwrap().version, n);
    }
    assert_eq!(deploy(&store, "g", "1"), 1);
    let versions: Vec<_> = store.versions(&f).unwrap().iter().map(|v| v.version).collect();
    assert_eq!(versions, (1..=12).collect::<Vec<_>>());
    assert_eq!(store.version(&f, 3).unwrap().deployment, deployment(&store, "3"));
    assert_eq!(store.functions(Some(&name("acme"))).unwrap().len(), 2);
    assert_eq!(store.functions(Some(&name("acm"))).unwrap().len(), 0);
}

#[test]
fn a_deployment_whose_files_are_not_all_there_is_refused() {
    let (_folder, store) = store_with_tenant();
    let whole = deployment(&store, "one");
    let absent = Hash([9; 32]);
    for kind in BlobKind::ALL {
        let mut torn = whole.clone();
        match kind {
            BlobKind::Module => torn.module = absent,
            BlobKind::Artefact => torn.artefact = absent,
            BlobKind::Plan => torn.plan = absent,
            BlobKind::Image => torn.image.as_mut().unwrap().blob = absent,
        }
        let error = store.deploy(&function("f"), &torn, None).unwrap_err();
        assert!(
            matches!(error, DeployError::MissingBlob { kind: found, .. } if found == kind),
            "{error}"
        );
    }
    assert!(store.functions(None).unwrap().is_empty());
    assert_eq!(store.deploy(&function("f"), &whole, None).unwrap(), 1);
}

#[test]
fn a_deployment_of_nobody_or_over_a_limit_is_refused() {
    let (_folder, store) = store();
    let deployed = deployment(&store, "one");
    let error = store.deploy(&function("f"), &deployed, None).unwrap_err();
    assert!(matches!(error, DeployError::UnknownTenant(_)), "{error}");
    let limits = TenantLimits { functions: 1, ..TenantLimits::default() };
    store.add_tenant(&name("acme"), limits).unwrap();
    store.deploy(&function("f"), &deployed, None).unwrap();
    store.deploy(&function("f"), &deployed, None).unwrap();
    let error = store.deploy(&function("g"), &deployed, None).unwrap_err();
    assert!(matches!(error, DeployError::TooManyFunctions { max: 1, .. }), "{error}");
    store.remove_function(&function("f")).unwrap();
    store.deploy(&function("g"), &deployed, None).unwrap();
}

#[test]
fn only_granted_folders_can_be_asked_for() {
    let (_folder, store) = store_with_tenant();
    let mut asks = deployment(&store, "one");
    asks.folders = vec!["data".to_owned()];
    let error = store.deploy(&function("f"), &asks, None).unwrap_err();
    assert!(matches!(&error, DeployError::NotGranted { guest, .. } if guest == "data"), "{error}");
    store.grant(&name("acme"), "/srv::data".parse().unwrap()).unwrap();
    store.deploy(&function("f"), &asks, None).unwrap();
    asks.folders = vec!["data".to_owned(); 65];
    let error = store.deploy(&function("f"), &asks, None).unwrap_err();
    assert!(matches!(error, DeployError::TooManyFolders { found: 65 }), "{error}");
}

#[test]
fn rollback_goes_to_a_version_that_is_there_and_no_number_is_used_twice() {
    let (_folder, store) = store_with_tenant();
    let f = function("f");
    for content in ["one", "two", "three"] {
        deploy(&store, "f", content);
    }
    store.rollback(&f, 1).unwrap();
    assert_eq!(store.current(&f).unwrap().deployment, deployment(&store, "one"));
    let error = store.rollback(&f, 4).unwrap_err();
    assert!(
        matches!(&error, FunctionError::UnknownVersion { known, .. } if *known == [1, 2, 3]),
        "{error}"
    );
    assert_eq!(deploy(&store, "f", "four"), 4);
    store.remove_function(&f).unwrap();
    for error in [
        store.current(&f).unwrap_err(),
        store.rollback(&f, 1).unwrap_err(),
        store.remove_function(&f).unwrap_err(),
        store.set_settings(&f, &Settings::default()).unwrap_err(),
    ] {
        assert!(matches!(error, FunctionError::Unknown(_)), "{error}");
    }
    assert!(store.functions(None).unwrap().is_empty());
    assert_eq!(deploy(&store, "f", "five"), 5);
}

#[test]
fn settings_change_without_a_version_and_outlive_a_deployment() {
    let (_folder, store) = store_with_tenant();
    let f = function("f");
    let settings = Settings {
        env: BTreeMap::from([("LEVEL".to_owned(), "info".to_owned())]),
        secrets: BTreeMap::from([("KEY".to_owned(), Secret::new("hush".to_owned()))]),
    };
    store.deploy(&f, &deployment(&store, "one"), Some(&settings)).unwrap();
    assert_eq!(store.settings(&f).unwrap(), settings);
    deploy(&store, "f", "two");
    assert_eq!(store.settings(&f).unwrap().secrets["KEY"].reveal(), "hush");
    store.set_settings(&f, &Settings::default()).unwrap();
    assert_eq!(store.settings(&f).unwrap(), Settings::default());
    assert_eq!(store.current(&f).unwrap().version, 2);
}

#[test]
fn a_secret_is_shown_by_nothing_but_reveal() {
    let (_folder, store) = store_with_tenant();
    let f = function("f");
    let secrets = BTreeMap::from([("KEY".to_owned(), Secret::new("hush".to_owned()))]);
    let settings = Settings { secrets, ..Settings::default() };
    store.deploy(&f, &deployment(&store, "one"), Some(&settings)).unwrap();
    let listed = store.functions(None).unwrap();
    assert_eq!(listed[0].secrets, ["KEY"]);
    for shown in [
        format!("{listed:?}"),
        format!("{:?}", store.settings(&f).unwrap()),
        format!("{:?}", store.versions(&f).unwrap()),
    ] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn settings_are_checked() {
    let (_folder, store) = store_with_tenant();
    let with = |name: &str, bytes: usize| Settings {
        env: BTreeMap::from([(name.to_owned(), "x".repeat(bytes))]),
        ..Settings::default()
    };
    let deployed = deployment(&store, "one");
    for settings in [with("", 1), with("A=B", 1), with("A\0", 1), with("A", MAX_SETTINGS_BYTES)] {
        store.deploy(&function("f"), &deployed, Some(&settings)).unwrap_err();
        assert!(store.functions(None).unwrap().is_empty());
    }
    let most = with("A", MAX_SETTINGS_BYTES - 1);
    store.deploy(&function("f"), &deployed, Some(&most)).unwrap();
}

#[test]
fn code_is_replaced_as_one_and_nothing_else() {
    let (_folder, store) = store_with_tenant();
    let f = function("f");
    deploy(&store, "f", "one");
    let before = store.current(&f).unwrap();
    let engine = Hash([7; 32]);
    let artefact = put(&store, BlobKind::Artefact, "compiled anew");
    let absent = Code { artefact, plan: Hash([9; 32]), engine };
    let error = store.replace_code(&f, 1, &absent).unwrap_err();
    assert!(matches!(error, FunctionError::MissingBlob { .. }), "{error}");
    assert_eq!(store.current(&f).unwrap(), before, "half of it would not run");
    let code = Code { plan: put(&store, BlobKind::Plan, "found anew"), ..absent };
    store.replace_code(&f, 1, &code).unwrap();
    let mut expected = before;
    expected.deployment.artefact = artefact;
    expected.deployment.plan = code.plan;
    expected.deployment.engine = engine;
    assert_eq!(store.current(&f).unwrap(), expected);
    assert_eq!(store.current(&f).unwrap().deployment.code(), code);
    let error = store.replace_code(&f, 7, &code).unwrap_err();
    assert!(matches!(error, FunctionError::UnknownVersion { .. }), "{error}");
}
