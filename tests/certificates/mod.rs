//! Certificates of a site, made for one test.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// Who signs for a site.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, its key, and the authority that the other side must be of, as files.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub peer_ca: PathBuf,
}

fn params(name: &str) -> CertificateParams {
    // By address and by name, as a site would have it.
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Signs for `name` and writes the files into a folder; the other side must be of `of`.
    pub fn sign(&self, folder: &Path, name: &str, of: &Self) -> Files {
        self.sign_params(folder, name, of, params(name))
    }

    /// A certificate that is not valid any more.
    pub fn sign_expired(&self, folder: &Path, name: &str, of: &Self) -> Files {
        let mut params = params(name);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.sign_params(folder, name, of, params)
    }

    fn sign_params(&self, folder: &Path, name: &str, of: &Self, params: CertificateParams) -> Files {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let path = |ending| folder.join(format!("{name}.{ending}"));
        let files = Files { certificate: path("pem"), key: path("key"), peer_ca: path("ca.pem") };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&files.peer_ca, of.0.pem()).unwrap();
        files
    }
}

impl Files {
    /// The section of a configuration.
    pub fn section(&self) -> String {
        let Self { certificate, key, peer_ca } = self;
        format!("[dicom.tls]\ncertificate = {certificate:?}\nkey = {key:?}\npeer_ca = {peer_ca:?}\n")
    }

    /// As the library takes them.
    pub fn tls(&self) -> chestlight::config::Tls {
        let Self { certificate, key, peer_ca } = self;
        chestlight::config::Tls { certificate: certificate.clone(), key: key.clone(), peer_ca: peer_ca.clone() }
    }
}
