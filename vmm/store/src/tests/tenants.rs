//! Tenants, tokens, grants.

use std::fs;

use super::{deploy, function, name, store, store_with_tenant};
use crate::{
    FunctionError, Grant, MAX_GRANTS, MAX_TOKENS_PER_OWNER, Name, Role, Settings, Store,
    TenantError, TenantLimits,
};

#[test]
fn names_are_checked() {
    for good in ["a", "A1", "a-b_c.d", "0", &"x".repeat(63)] {
        assert_eq!(Name::new(good).unwrap().as_str(), good);
    }
    for bad in ["", "-a", ".a", "..", "a/b", "a b", "ä", "a\0", "a\n", &"x".repeat(64)] {
        Name::new(bad).unwrap_err();
        serde_json::from_str::<Name>(&serde_json::to_string(bad).unwrap()).unwrap_err();
    }
}

#[test]
fn a_tenant_is_added_once_changed_and_removed() {
    let (_folder, store) = store_with_tenant();
    let acme = name("acme");
    let error = store.add_tenant(&acme, TenantLimits::default()).unwrap_err();
    assert!(matches!(error, TenantError::Exists(_)), "{error}");
    let limits = TenantLimits { cpu_percent: Some(50), ..TenantLimits::default() };
    store.set_tenant_limits(&acme, limits.clone()).unwrap();
    assert_eq!(store.tenant(&acme).unwrap().limits, limits);
    store.remove_tenant(&acme).unwrap();
    for error in [
        store.tenant(&acme).unwrap_err(),
        store.remove_tenant(&acme).unwrap_err(),
        store.set_tenant_limits(&acme, limits).unwrap_err(),
        store.add_token(&Role::Tenant(acme)).unwrap_err(),
    ] {
        assert!(matches!(error, TenantError::Unknown(_)), "{error}");
    }
    assert!(store.tenants().unwrap().is_empty());
}

#[test]
fn removing_a_tenant_takes_all_that_is_its_own_and_nothing_else() {
    let (_folder, store) = store_with_tenant();
    let other = name("acme2");
    store.add_tenant(&other, TenantLimits::default()).unwrap();
    let kept = store.add_token(&Role::Tenant(other.clone())).unwrap();
    let admin = store.add_token(&Role::Admin).unwrap();
    let gone = store.add_token(&Role::Tenant(name("acme"))).unwrap();
    deploy(&store, "f", "one");
    let theirs = crate::FunctionName::new("acme2", "f").unwrap();
    store.deploy(&theirs, &super::deployment(&store, "two"), None).unwrap();
    store.set_settings(&function("f"), &Settings::default()).unwrap();
    store.remove_tenant(&name("acme")).unwrap();
    assert_eq!(store.authenticate(gone.reveal()).unwrap(), None);
    assert_eq!(store.authenticate(kept.reveal()).unwrap(), Some(Role::Tenant(other)));
    assert_eq!(store.authenticate(admin.reveal()).unwrap(), Some(Role::Admin));
    let error = store.versions(&function("f")).unwrap_err();
    assert!(matches!(error, FunctionError::Unknown(_)), "{error}");
    assert_eq!(store.functions(None).unwrap().len(), 1);
    store.current(&theirs).unwrap();
}

#[test]
fn a_token_opens_until_it_is_removed_and_nothing_near_it_does() {
    let (_folder, store) = store_with_tenant();
    let role = Role::Tenant(name("acme"));
    let token = store.add_token(&role).unwrap();
    let text = token.reveal().to_owned();
    assert!(text.starts_with("flt_"));
    assert_eq!(store.authenticate(&text).unwrap(), Some(role));
    let mut near = vec![String::new(), text.to_uppercase(), format!("{text}0"), "flt_".into()];
    for position in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[position] = if bytes[position] == b'0' { b'1' } else { b'0' };
        near.push(String::from_utf8(bytes).unwrap());
        near.push(text[..position].to_owned());
    }
    for text in near {
        assert_eq!(store.authenticate(&text).unwrap(), None, "{text}");
    }
    store.remove_token(&token.id()).unwrap();
    assert_eq!(store.authenticate(&text).unwrap(), None);
    let error = store.remove_token(&token.id()).unwrap_err();
    assert!(matches!(error, TenantError::UnknownToken(_)), "{error}");
}

#[test]
fn tokens_of_one_owner_are_bounded() {
    let (_folder, store) = store();
    for _ in 0..MAX_TOKENS_PER_OWNER {
        store.add_token(&Role::Admin).unwrap();
    }
    let error = store.add_token(&Role::Admin).unwrap_err();
    assert!(matches!(error, TenantError::TooManyTokens { .. }), "{error}");
    assert_eq!(store.tokens().unwrap().len(), MAX_TOKENS_PER_OWNER);
}

/// Neither the text of a token nor its random bytes lie in any file.
#[test]
fn no_token_is_on_disk() {
    let (folder, store) = store_with_tenant();
    let token = store.add_token(&Role::Tenant(name("acme"))).unwrap();
    let digits = token.reveal().strip_prefix("flt_").unwrap().to_owned();
    let random = blake3::Hash::from_hex(&digits).unwrap();
    drop(store);
    let database = fs::read(folder.path().join("faaslet.redb")).unwrap();
    let holds = |needle: &[u8]| database.windows(needle.len()).any(|window| window == needle);
    assert!(holds(token.id().as_bytes()));
    assert!(!holds(digits.as_bytes()) && !holds(random.as_bytes()));
    assert!(!format!("{token:?}").contains(&digits));
}

#[test]
fn a_tenants_secret_stays_and_differs_from_others() {
    let (folder, store) = store_with_tenant();
    store.add_tenant(&name("other"), TenantLimits::default()).unwrap();
    let secret = store.tenant_secret(&name("acme")).unwrap();
    assert_ne!(secret, store.tenant_secret(&name("other")).unwrap());
    assert_eq!(format!("{secret:?}"), "TenantSecret(..)");
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.tenant_secret(&name("acme")).unwrap(), secret);
}

#[test]
fn grants_are_read_as_they_are_written() {
    for text in ["/srv/data::data", "/a::/b:ro", "/a b::c"] {
        assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
    }
    for text in ["", "::", "/a", "a::b", "/a::", "/a::b:rw", "/a::b::c", "/a::\0"] {
        text.parse::<Grant>().unwrap_err();
    }
}

#[test]
fn a_folder_in_one_that_can_be_written_is_not_granted_to_anybody() {
    let (_folder, store) = store_with_tenant();
    store.add_tenant(&name("other"), TenantLimits::default()).unwrap();
    let grant = |tenant: &str, text: &str| store.grant(&name(tenant), text.parse().unwrap());
    grant("acme", "/srv/a::data").unwrap();
    for (tenant, text) in
        [("acme", "/srv/a/sub::sub:ro"), ("other", "/srv/a/b/c::x"), ("other", "/srv::all")]
    {
        let error = grant(tenant, text).unwrap_err();
        assert!(matches!(error, TenantError::Nested { .. }), "{text}: {error}");
        assert!(error.to_string().contains("/srv/a of the tenant acme"), "{error}");
    }
    assert!(store.tenant(&name("other")).unwrap().grants.is_empty(), "a refusal changes nothing");
    // The same folder, one beside it, and one within which nobody writes.
    for (tenant, text) in [
        ("other", "/srv/a::data"),
        ("acme", "/srv/ab::ab"),
        ("acme", "/ro::ro:ro"),
        ("other", "/ro/sub::sub:ro"),
    ] {
        grant(tenant, text).unwrap();
    }
    let error = grant("acme", "/ro::ro").unwrap_err();
    assert!(
        matches!(error, TenantError::Nested { .. }),
        "what was read-only gets writable: {error}"
    );
}

#[test]
fn grants_replace_are_revoked_and_bounded() {
    let (_folder, store) = store_with_tenant();
    let acme = name("acme");
    let grant = |text: &str| store.grant(&acme, text.parse().unwrap());
    grant("/a::data").unwrap();
    grant("/b::data:ro").unwrap();
    let grants = store.tenant(&acme).unwrap().grants;
    assert_eq!(grants.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/b::data:ro"]);
    store.revoke(&acme, "data").unwrap();
    let error = store.revoke(&acme, "data").unwrap_err();
    assert!(matches!(error, TenantError::NotGranted { .. }), "{error}");
    for n in 0..MAX_GRANTS {
        grant(&format!("/a::{n}")).unwrap();
    }
    let error = grant("/a::more").unwrap_err();
    assert!(matches!(error, TenantError::TooManyGrants(_)), "{error}");
    grant("/z::0").unwrap();
}
