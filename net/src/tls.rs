//! Keys and certificates: made at the first start, found again at the next.
//!
//! A folder holds a certificate authority of the monitor's own and a server certificate that it
//! signed. Clients trust the authority and nothing else, and check the server as [`SERVER_NAME`],
//! whatever address they reach it by.

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rcgen::{KeyPair, KeyUsagePurpose};
use ring::{digest, hmac};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// Name in the server's certificate, which clients check.
pub const SERVER_NAME: &str = "monitor.faaslet.internal";
/// Certificate of the authority; all that a client needs to trust the monitor.
pub const TRUST_FILE: &str = "trust.pem";
/// Key of the authority.
pub const TRUST_KEY_FILE: &str = "trust-key.pem";
/// Certificate of the server.
pub const SERVER_FILE: &str = "server.pem";
/// Key of the server.
pub const SERVER_KEY_FILE: &str = "server-key.pem";
/// Application protocol in the TLS handshake.
pub const ALPN: &[u8] = b"faaslet/1";

const FILES: [&str; 4] = [TRUST_FILE, TRUST_KEY_FILE, SERVER_FILE, SERVER_KEY_FILE];
const VALID_DAYS: i64 = 3650;
/// Certificates are valid from before they were made, for hosts whose clocks differ.
const VALID_BEFORE_DAYS: i64 = 2;
const MAX_PEM_BYTES: u64 = 256 << 10;

/// Why keys or certificates could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds some of the files but not all.
    #[error(
        "{dir} lacks {missing}: restore it from a backup, or remove the folder to have new keys \
         made (clients must then take the new {TRUST_FILE})",
        dir = dir.display()
    )]
    Incomplete {
        /// The folder.
        dir: PathBuf,
        /// The first file that is missing.
        missing: &'static str,
    },
    /// A file does not hold what it should.
    #[error("{path} is not what it should be: {reason}", path = path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificates and keys do not work together.
    #[error("keys and certificates do not fit: {0}")]
    Fit(String),
}

/// What a server shows and signs with.
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) crypto: Arc<QuicServerConfig>,
    /// The same after a restart, so that clients of the last run notice at once.
    pub(crate) reset_key: Arc<hmac::Key>,
    /// As `reset_key`: by it a server knows its own connection ids.
    pub(crate) connection_id_key: u64,
}

/// What a client trusts.
#[derive(Clone)]
pub struct ClientTls {
    pub(crate) crypto: Arc<QuicClientConfig>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Makes the files in `dir` unless they are there. `dir` appears whole or not at all.
pub fn generate(dir: &Path) -> Result<(), TlsError> {
    match FILES.iter().filter(|name| dir.join(name).exists()).count() {
        0 => {}
        found if found == FILES.len() => return Ok(()),
        _ => {
            let missing = FILES.into_iter().find(|name| !dir.join(name).exists());
            return Err(TlsError::Incomplete {
                dir: dir.to_owned(),
                missing: missing.unwrap_or_default(),
            });
        }
    }
    write_folder(dir, &certificates()?)
}

/// Writes `files` into `dir`, which must not be there; it appears whole or not at all.
pub(crate) fn write_folder(dir: &Path, files: &[(&str, String)]) -> Result<(), TlsError> {
    let fresh = dir.with_extension("new");
    at(&fresh, if fresh.exists() { fs::remove_dir_all(&fresh) } else { Ok(()) })?;
    at(&fresh, fs::DirBuilder::new().recursive(true).mode(0o700).create(&fresh))?;
    for (name, pem) in files {
        write_private(&fresh.join(name), pem)?;
    }
    at(&fresh, File::open(&fresh).and_then(|folder| folder.sync_all()))?;
    at(dir, fs::rename(&fresh, dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            at(parent, File::open(parent).and_then(|folder| folder.sync_all()))
        }
        _ => Ok(()),
    }
}

/// What the server in `dir` shows and signs with.
pub fn server_config(dir: &Path) -> Result<ServerTls, TlsError> {
    let certificate = read_certificate(&dir.join(SERVER_FILE))?;
    let key_path = dir.join(SERVER_KEY_FILE);
    let key = PrivateKeyDer::from_pem_slice(&read_file(&key_path)?)
        .map_err(|error| TlsError::Content { path: key_path, reason: error.to_string() })?;
    let reset_key = reset_key(&key);
    let connection_id_key = hmac::sign(&reset_key, b"connection ids");
    let connection_id_key = connection_id_key.as_ref().first_chunk().copied().unwrap_or_default();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Fit(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|error| TlsError::Fit(error.to_string()))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A call may change something: no data before the handshake is done, so nothing is replayed.
    config.max_early_data_size = 0;
    let crypto = QuicServerConfig::try_from(Arc::new(config))
        .map_err(|error| TlsError::Fit(error.to_string()))?;
    Ok(ServerTls {
        crypto: Arc::new(crypto),
        reset_key: Arc::new(reset_key),
        connection_id_key: u64::from_le_bytes(connection_id_key),
    })
}

/// Trust in the monitor whose trust file is `path`; a folder stands for the [`TRUST_FILE`] in it.
pub fn client_config(path: &Path) -> Result<ClientTls, TlsError> {
    let path = if path.is_dir() { path.join(TRUST_FILE) } else { path.to_owned() };
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(read_certificate(&path)?)
        .map_err(|error| TlsError::Content { path, reason: error.to_string() })?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Fit(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = false;
    let crypto = QuicClientConfig::try_from(Arc::new(config))
        .map_err(|error| TlsError::Fit(error.to_string()))?;
    Ok(ClientTls { crypto: Arc::new(crypto) })
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    // The cheapest first, where the processor has instructions for it; QUIC needs it anyway.
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

pub(crate) fn reset_key(key: &PrivateKeyDer<'_>) -> hmac::Key {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"faaslet stateless reset key 1");
    context.update(key.secret_der());
    hmac::Key::new(hmac::HMAC_SHA256, context.finish().as_ref())
}

fn certificates() -> Result<[(&'static str, String); 4], rcgen::Error> {
    let mut authority = params(Vec::new(), "faaslet authority")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let trust = authority.self_signed(&authority_key)?;

    let mut server = params(vec![SERVER_NAME.to_owned(), "localhost".to_owned()], "faaslet")?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let signed = server.signed_by(&server_key, &Issuer::new(authority, &authority_key))?;
    Ok([
        (TRUST_FILE, trust.pem()),
        (TRUST_KEY_FILE, authority_key.serialize_pem()),
        (SERVER_FILE, signed.pem()),
        (SERVER_KEY_FILE, server_key.serialize_pem()),
    ])
}

pub(crate) fn params(
    names: Vec<String>,
    common_name: &str,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(VALID_BEFORE_DAYS);
    params.not_after = now + Duration::days(VALID_DAYS);
    Ok(params)
}

fn write_private(path: &Path, pem: &str) -> Result<(), TlsError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    };
    at(path, write())
}

pub(crate) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(&read_file(path)?)
        .map_err(|error| TlsError::Content { path: path.to_owned(), reason: error.to_string() })
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = at(path, fs::metadata(path))?.len();
    if bytes > MAX_PEM_BYTES {
        let reason = format!("expected at most {MAX_PEM_BYTES} bytes, found {bytes}");
        return Err(TlsError::Content { path: path.to_owned(), reason });
    }
    at(path, fs::read(path))
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, TlsError> {
    result.map_err(|source| TlsError::File { path: path.to_owned(), source })
}
