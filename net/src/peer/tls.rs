//! Keys and certificates of hosts: one authority of the operator's, one certificate for each host.
//!
//! This trust is apart from the one of callers (`crate::tls`): who may call a monitor cannot pass
//! for a host. A host's certificate holds its name as `NAME.peer.faaslet.internal` and is good for
//! both ends of a connection. The authority's key is needed to make certificates, never to run: it
//! need not be on any host.
//!
//! Certificates made elsewhere do as well, if they hold that name, both extended usages (server and
//! client authentication), and their authority's certificate is the trust file.

use crate::tls::{self, ClientTls, ServerTls, TlsError};
use faaslet_proto::peer::HostId;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rcgen::{KeyPair, KeyUsagePurpose};
use ring::hmac;
use rustls::client::{Resumption, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// Certificate of the authority; in its own folder and in each host's.
pub const TRUST_FILE: &str = "peer-trust.pem";
/// Key of the authority; in its own folder alone.
pub const TRUST_KEY_FILE: &str = "peer-trust-key.pem";
/// Certificate of a host.
pub const HOST_FILE: &str = "host.pem";
/// Key of a host.
pub const HOST_KEY_FILE: &str = "host-key.pem";
/// Application protocol in the TLS handshake.
pub const ALPN: &[u8] = b"faaslet-peer/1";

const AUTHORITY_FILES: [&str; 2] = [TRUST_FILE, TRUST_KEY_FILE];
const HOST_FILES: [&str; 3] = [TRUST_FILE, HOST_FILE, HOST_KEY_FILE];
const DOMAIN: &str = "peer.faaslet.internal";

/// What a host shows, signs with and trusts.
#[derive(Clone, Debug)]
pub struct PeerTls {
    pub(super) host: HostId,
    pub(super) server: ServerTls,
    pub(super) client: ClientTls,
}

impl PeerTls {
    /// Whom the certificate is for.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.host
    }
}

/// Makes an authority in `dir` unless there is one. `dir` appears whole or not at all.
pub fn generate_authority(dir: &Path) -> Result<(), TlsError> {
    if is_there(dir, &AUTHORITY_FILES)? {
        return Ok(());
    }
    let key = KeyPair::generate()?;
    let trust = authority_params()?.self_signed(&key)?;
    let files = [(TRUST_FILE, trust.pem()), (TRUST_KEY_FILE, key.serialize_pem())];
    tls::write_folder(dir, &files)
}

/// Makes a key and a certificate for `host` in `dir`, signed by the authority in `authority`,
/// unless there are some. `dir` appears whole or not at all; it is what the host needs.
pub fn generate_host(authority: &Path, host: HostId, dir: &Path) -> Result<(), TlsError> {
    if is_there(dir, &HOST_FILES)? {
        return load(dir, host).map(|_| ());
    }
    let key_path = authority.join(TRUST_KEY_FILE);
    let key_pem = String::from_utf8(tls::read_file(&key_path)?).unwrap_or_default();
    let authority_key = KeyPair::from_pem(&key_pem)
        .map_err(|error| TlsError::Content { path: key_path, reason: error.to_string() })?;
    let trust = tls::read_file(&authority.join(TRUST_FILE))?;
    let mut params = tls::params(vec![name(host)], host.as_str())?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let signed = params.signed_by(&key, &Issuer::new(authority_params()?, &authority_key))?;
    let files = [
        (TRUST_FILE, String::from_utf8_lossy(&trust).into_owned()),
        (HOST_FILE, signed.pem()),
        (HOST_KEY_FILE, key.serialize_pem()),
    ];
    tls::write_folder(dir, &files)?;
    // The authority's certificate and key may be of two authorities.
    load(dir, host).map(|_| ())
}

/// What `host` with the folder `dir` shows, signs with and trusts.
pub fn load(dir: &Path, host: HostId) -> Result<PeerTls, TlsError> {
    let (trust_path, path) = (dir.join(TRUST_FILE), dir.join(HOST_FILE));
    let content = |path: &Path, reason: String| TlsError::Content { path: path.to_owned(), reason };
    let certificate = tls::read_certificate(&path)?;
    if !is_for(&certificate, host) {
        let reason = format!(
            "expected a certificate for host {host}, that is with the name {}, found another; \
             make one for each host",
            name(host)
        );
        return Err(content(&path, reason));
    }
    let key_path = dir.join(HOST_KEY_FILE);
    let key = PrivateKeyDer::from_pem_slice(&tls::read_file(&key_path)?)
        .map_err(|error| content(&key_path, error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots
        .add(tls::read_certificate(&trust_path)?)
        .map_err(|error| content(&trust_path, error.to_string()))?;
    let roots = Arc::new(roots);
    let client = client(roots.clone(), certificate.clone(), key.clone_key())?;
    let server = server(roots, certificate, key)?;
    Ok(PeerTls { host, server, client })
}

/// Name of a host in its certificate.
pub(super) fn name(host: HostId) -> String {
    format!("{host}.{DOMAIN}")
}

/// True if `certificate` is for `host`. Says nothing about who signed it.
pub(super) fn is_for(certificate: &CertificateDer<'_>, host: HostId) -> bool {
    let (Ok(parsed), Ok(name)) =
        (ParsedCertificate::try_from(certificate), ServerName::try_from(name(host)))
    else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = tls::params(Vec::new(), "faaslet peers authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server(
    roots: Arc<RootCertStore>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerTls, TlsError> {
    let reset_key = tls::reset_key(&key);
    let connection_id_key = hmac::sign(&reset_key, b"connection ids");
    let connection_id_key = connection_id_key.as_ref().first_chunk().copied().unwrap_or_default();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, tls::provider()).build().map_err(fit)?;
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(fit)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .map_err(fit)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A request may change something: no data before the handshake is done, so nothing is replayed.
    config.max_early_data_size = 0;
    // Each connection shows its certificates.
    config.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(Arc::new(config)).map_err(fit)?;
    Ok(ServerTls {
        crypto: Arc::new(crypto),
        reset_key: Arc::new(reset_key),
        connection_id_key: u64::from_le_bytes(connection_id_key),
    })
}

fn client(
    roots: Arc<RootCertStore>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientTls, TlsError> {
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(fit)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(fit)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    let crypto = QuicClientConfig::try_from(Arc::new(config)).map_err(fit)?;
    Ok(ClientTls { crypto: Arc::new(crypto) })
}

fn fit(error: impl std::fmt::Display) -> TlsError {
    TlsError::Fit(error.to_string())
}

/// True if all `files` are in `dir`, false if none is; some are an error.
fn is_there(dir: &Path, files: &[&str]) -> Result<bool, TlsError> {
    let missing: Vec<_> = files.iter().filter(|name| !dir.join(name).exists()).collect();
    if missing.is_empty() || missing.len() == files.len() {
        return Ok(missing.is_empty());
    }
    let reason = format!(
        "{} is missing beside the others: restore it from a backup, or remove the folder to have \
         new keys made",
        missing[0]
    );
    Err(TlsError::Content { path: dir.to_owned(), reason })
}
