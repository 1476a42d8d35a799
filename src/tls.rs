//! Connections that prove who is at both ends: the site's certificates as TLS 1.2 and 1.3, by `rustls` and `ring`.
//!
//! Each side shows a certificate (PS3.15 B.12, the BCP 195 profile with mutual authentication). The files are read when
//! a listener begins and for each connection to the archive, so that a missing one is a fault and not the end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use crate::config::Tls;

/// Longest file, bytes; a chain of certificates has some thousand.
const MAX_FILE: u64 = 1 << 20;

/// A file of `[dicom.tls]` that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The system does not give it.
    #[error("{path} of [dicom.tls] cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the key.
    #[error("the key {0} of [dicom.tls] may be read by others than its owner; run: chmod 600 {0}")]
    Exposed(PathBuf),
    /// It is too long, or not in PEM form, or has something else in it.
    #[error("{path} of [dicom.tls] has no {wanted} in PEM form")]
    Absent {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// It is none that can be used.
    #[error("{path} of [dicom.tls] cannot be used: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What a listener proves itself with, and asks of who connects.
///
/// # Errors
/// [`TlsError`]: the first file that cannot be used.
pub fn server(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(tls)?), provider())
        .build()
        .map_err(|error| unusable(&tls.peer_ca, &error))?;
    let (chain, key) = identity(tls)?;
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_client_cert_verifier(verifier))
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(|error| unusable(&tls.certificate, &error))
}

/// What this unit proves itself with to an archive, and asks of it.
///
/// # Errors
/// [`TlsError`]: the first file that cannot be used.
pub fn client(tls: &Tls) -> Result<Arc<ClientConfig>, TlsError> {
    let authorities = authorities(tls)?;
    let (chain, key) = identity(tls)?;
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(authorities))
        .and_then(|builder| builder.with_client_auth_cert(chain, key))
        .map(Arc::new)
        .map_err(|error| unusable(&tls.certificate, &error))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn authorities(tls: &Tls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.peer_ca)? {
        roots.add(certificate).map_err(|error| unusable(&tls.peer_ca, &error))?;
    }
    Ok(roots)
}

fn identity(tls: &Tls) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let (text, mode) = read(&tls.key)?;
    if mode & 0o077 != 0 {
        return Err(TlsError::Exposed(tls.key.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| TlsError::Absent { path: tls.key.clone(), wanted: "private key without a password" })?;
    Ok((certificates(&tls.certificate)?, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (text, _) = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = certificates.ok().filter(|certificates| !certificates.is_empty());
    found.ok_or_else(|| TlsError::Absent { path: path.to_owned(), wanted: "certificate" })
}

/// The text of a file, and who may read it.
fn read(path: &Path) -> Result<(Vec<u8>, u32), TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(unreadable)?;
    Ok((text, mode))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> TlsError {
    TlsError::Unusable { path: path.to_owned(), why: error.to_string() }
}
