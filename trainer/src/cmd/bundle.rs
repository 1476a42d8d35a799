//! `chestlight-trainer keygen`, `bundle` and `sign`: a model on its way to the units that trust its signer.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chestlight::model::{Bundle, ModelFiles, TrustedKeys};
use chestlight::self_test;
use chestlight::show::NOTICE;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

/// Makes a pair of keys: NAME.key signs and stays here, NAME.pub goes to the units
///
/// The keys are minisign's, so `minisign -S` and `minisign -V` can be used in place of `sign` and of a unit's `verify`.
#[derive(clap::Args)]
pub struct KeygenArgs {
    /// The two files to make, without their endings
    #[arg(long, value_name = "NAME")]
    pub out: PathBuf,
    #[command(flatten)]
    pub password: Password,
}

/// Packs a shipped model, its card and its version into one file, and signs nothing yet
#[derive(clap::Args)]
pub struct BundleArgs {
    /// The manifest, its .onnx and its .md beside it
    #[arg(long, value_name = "TOML")]
    pub model: PathBuf,
    /// The model's version, larger than that of every bundle that you ever signed; 2026112501 for the first of a day
    /// does well
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub version: u64,
    /// The bundle to write
    #[arg(long, value_name = "CLM")]
    pub out: PathBuf,
}

/// Signs a bundle: the signature comes beside it, BUNDLE.minisig
#[derive(clap::Args)]
pub struct SignArgs {
    /// The bundle
    pub bundle: PathBuf,
    /// The secret key that `keygen` made
    #[arg(long, value_name = "KEY")]
    pub key: PathBuf,
    /// Told with the signature wherever it is verified, and covered by it
    #[arg(long, value_name = "TEXT", default_value = "signed by chestlight-trainer")]
    pub comment: String,
    #[command(flatten)]
    pub password: Password,
}

/// Where the secret key's password comes from; without either it is asked for on the terminal.
#[derive(clap::Args)]
pub struct Password {
    /// Read the key's password from the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The key has no password; whoever has its file can sign
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

impl Password {
    /// `None` lets minisign ask.
    fn get(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
            _ => bail!("{} begins with an empty line, which is no password", path.display()),
        }
    }
}

/// Runs `keygen`.
pub fn keygen(args: &KeygenArgs) -> anyhow::Result<()> {
    let [secret, public] = ["key", "pub"].map(|ending| args.out.with_extension(ending));
    if let Some(there) = [&secret, &public].into_iter().find(|path| path.exists()) {
        bail!("{} exists; keys are never overwritten", there.display());
    }
    let KeyPair { pk, sk } = match args.password.no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(args.password.get()?),
    }
    .context("no keys could be made")?;
    let make = |path: &Path, mode, text: &str| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(path);
        file.and_then(|mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    make(&secret, 0o600, &sk.to_box(Some("chestlight secret key: whoever has it can sign models"))?.into_string())?;
    make(&public, 0o644, &pk.to_box()?.into_string())?;
    println!("{} signs, keep it secret\n{} goes to the units\n{NOTICE}", secret.display(), public.display());
    Ok(())
}

/// Runs `bundle`.
pub fn bundle(args: &BundleArgs) -> anyhow::Result<()> {
    let files = ModelFiles::read(&args.model)?;
    let card = args.model.with_extension("md");
    let card =
        fs::read_to_string(&card).with_context(|| format!("a bundle has a card: cannot read {}", card.display()))?;
    // Nobody shall sign what no unit would take.
    let model = files.load()?;
    self_test::run(&model)?;
    let bytes = Bundle { version: args.version, files, card }.to_bytes()?;
    super::write(&args.out, &bytes)?;
    let name = &model.manifest.name;
    println!("{}: {name} version {}, {} bytes\n{NOTICE}", args.out.display(), args.version, bytes.len());
    Ok(())
}

/// Runs `sign`.
pub fn sign(args: &SignArgs) -> anyhow::Result<()> {
    let bytes = fs::read(&args.bundle).with_context(|| format!("cannot read {}", args.bundle.display()))?;
    let bundle = Bundle::parse(&bytes).with_context(|| args.bundle.display().to_string())?;
    if args.comment.is_empty() || args.comment.chars().any(char::is_control) {
        bail!("--comment must be one line of text");
    }
    let key = secret_key(args)?;
    let signature = minisign::sign(None, &key, bytes.as_slice(), Some(&args.comment), None)
        .context("the bundle cannot be signed")?
        .into_string();
    // As the units do it.
    let public = PublicKey::from_secret_key(&key)?.to_box()?.into_string();
    TrustedKeys::of(&[("its own key", &public)])
        .context("the signature was made with a key that units cannot read")?
        .verify(&bytes, signature.as_bytes())
        .context("the signature that was made does not hold")?;
    let mut path = args.bundle.as_os_str().to_owned();
    path.push(".minisig");
    super::write(Path::new(&path), signature.as_bytes())?;
    println!("{}: version {} is signed\n{NOTICE}", Path::new(&path).display(), bundle.version);
    Ok(())
}

fn secret_key(args: &SignArgs) -> anyhow::Result<SecretKey> {
    let text = fs::read_to_string(&args.key).with_context(|| format!("cannot read {}", args.key.display()))?;
    let boxed = SecretKeyBox::from(text);
    let key = match args.password.no_password {
        true => SecretKey::from_unencrypted_box(boxed),
        false => SecretKey::from_box(boxed, args.password.get()?),
    };
    key.with_context(|| format!("{} cannot be used", args.key.display()))
}
