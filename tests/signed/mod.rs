//! Signed bundles of a network of 285 bytes: the averages of its three input channels, scaled and shifted.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use chestlight::digest::hex;
use chestlight::model::{Bundle, Golden, Manifest, ModelFiles, shipped};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::reading;
use chestlight::verdict::Probabilities;
use minisign::KeyPair;
use sha2::{Digest, Sha256};

const NETWORK: &[u8] = include_bytes!("../fixtures/tiny.onnx");

/// The files of a model named `name` that answers its one golden phantom.
pub fn model(name: &str) -> ModelFiles {
    let shipped = Manifest::parse(&shipped().manifest).unwrap();
    let nothing = Probabilities { normal: 0.0, bacterial: 0.0, covid19: 0.0 };
    let golden =
        Golden { seed: 1, opacity: Opacity::None, probabilities: nothing, tolerance: 0.05, distance: None, map: None };
    let mut manifest = Manifest {
        name: name.into(),
        digest: hex(&Sha256::digest(NETWORK)),
        golden: vec![golden],
        gate: None,
        reference: None,
        ..shipped
    };
    (manifest.input.width, manifest.input.height) = (32, 32);
    let files = |manifest: &Manifest| ModelFiles { manifest: toml::to_string(manifest).unwrap(), onnx: NETWORK.into() };
    let phantom = Phantom::new(1, Opacity::None).render().unwrap();
    let judged = reading::judge(&files(&manifest).load().unwrap(), &phantom).unwrap();
    manifest.golden[0].probabilities = judged.probabilities;
    files(&manifest)
}

/// The same model with a golden result that it does not give.
pub fn forgetful(name: &str) -> ModelFiles {
    let ModelFiles { manifest, onnx } = model(name);
    let mut manifest = Manifest::parse(&manifest).unwrap();
    manifest.golden[0].probabilities.normal = 0.0;
    manifest.golden[0].tolerance = 0.01;
    ModelFiles { manifest: toml::to_string(&manifest).unwrap(), onnx }
}

/// Whoever makes models, and signs them.
pub struct Signer(KeyPair);

impl Signer {
    pub fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().unwrap())
    }

    /// The text of the public key's file.
    pub fn public_key(&self) -> String {
        self.0.pk.to_box().unwrap().into_string()
    }

    pub fn sign(&self, bytes: &[u8]) -> String {
        minisign::sign(None, &self.0.sk, bytes, Some("made by a test"), None).unwrap().into_string()
    }

    /// Puts `NAME-VERSION.clm` with its signature into a folder.
    pub fn put(&self, folder: &Path, files: ModelFiles, version: u64) -> PathBuf {
        let name = Manifest::parse(&files.manifest).unwrap().name;
        let bytes = Bundle { version, files, card: format!("# Model card: {name}\n") }.to_bytes().unwrap();
        let path = folder.join(format!("{name}-{version}.clm"));
        fs::write(&path, &bytes).unwrap();
        fs::write(folder.join(format!("{name}-{version}.clm.minisig")), self.sign(&bytes)).unwrap();
        path
    }
}
