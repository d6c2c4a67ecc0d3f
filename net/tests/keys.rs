//! Keys and certificates on disk.
#![allow(clippy::unwrap_used)]

use faaslet_net::tls::{self, TlsError};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const FILES: [&str; 4] =
    [tls::TRUST_FILE, tls::TRUST_KEY_FILE, tls::SERVER_FILE, tls::SERVER_KEY_FILE];

#[test]
fn keys_are_private_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    tls::generate(&dir).unwrap();
    let before: Vec<_> = FILES.iter().map(|name| fs::read(dir.join(name)).unwrap()).collect();
    for name in FILES {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    tls::generate(&dir).unwrap();
    let after: Vec<_> = FILES.iter().map(|name| fs::read(dir.join(name)).unwrap()).collect();
    assert_eq!(before, after);
    tls::server_config(&dir).unwrap();
    tls::client_config(&dir).unwrap();
    tls::client_config(&dir.join(tls::TRUST_FILE)).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_a_crash_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    fs::create_dir(folder.path().join("tls.new")).unwrap();
    fs::write(folder.path().join("tls.new").join(tls::TRUST_FILE), "half").unwrap();
    tls::generate(&dir).unwrap();
    tls::server_config(&dir).unwrap();
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    tls::generate(&dir).unwrap();
    fs::write(dir.join(tls::SERVER_KEY_FILE), "not a key").unwrap();
    let error = tls::server_config(&dir).unwrap_err();
    assert!(error.to_string().contains(tls::SERVER_KEY_FILE), "{error}");
    fs::remove_file(dir.join(tls::SERVER_KEY_FILE)).unwrap();
    let error = tls::generate(&dir).unwrap_err();
    assert!(matches!(error, TlsError::Incomplete { missing: tls::SERVER_KEY_FILE, .. }), "{error}");
    assert!(matches!(tls::client_config(&dir.join("no")).unwrap_err(), TlsError::File { .. }));
}
