//! `chestlight model`: which model the unit reads with, and how a new one gets there (docs/models.md).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, anyhow};
use chestlight::choose;
use chestlight::config::Config;
use chestlight::digest::hex;
use chestlight::model::slots::{Downgrade, Record, Signed, Slot, SlotError, Slots, read_signed};
use chestlight::model::{EngineOptions, Manifest, Model, ModelFiles, Signer, TrustedKeys, shipped};
use chestlight::show::NOTICE;
use clap::Subcommand;
use sha2::{Digest, Sha256};

use super::{Failure, Outcome, usage};

/// Most bundles that are looked at in a folder.
const MOST_BUNDLES: usize = 64;

/// List, install, activate, roll back, verify and show models
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 done, 1 a model was refused, 2 usage or configuration, 3 internal fault")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Configuration of the unit
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Print a line for the model inside the program and each installed one
    List,
    /// Verify and test a signed bundle and put it into the slot that does not read
    Install {
        /// A bundle with its signature beside it, or a folder, such as a USB stick, of which the newest is taken
        #[arg(value_name = "FILE|FOLDER")]
        from: PathBuf,
        #[command(flatten)]
        downgrade: AllowDowngrade,
    },
    /// Test an installed model once more and make it the one that reads
    Activate {
        /// The slot; the one that does not read, if not given
        slot: Option<SlotName>,
        #[command(flatten)]
        downgrade: AllowDowngrade,
    },
    /// Go back to the model that read before, and from there to the one inside the program
    Rollback,
    /// Verify and test a bundle without installing it
    Verify {
        /// The bundle, its signature beside it
        bundle: PathBuf,
    },
    /// Print manifest, card, digest and signature of a model
    Show {
        /// The model; the one that reads, if not given
        which: Option<Which>,
    },
}

#[derive(clap::Args, Clone, Copy)]
struct AllowDowngrade {
    /// Take an older version than this unit has read with; root only
    #[arg(long)]
    allow_downgrade: bool,
}

impl AllowDowngrade {
    fn by_this_user(self) -> Result<Downgrade, Failure> {
        match (self.allow_downgrade, rustix::process::geteuid().is_root()) {
            (false, _) => Ok(Downgrade::Refused),
            (true, true) => Ok(Downgrade::Allowed),
            (true, false) => Err(usage(anyhow!("only root may use --allow-downgrade"))),
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SlotName {
    A,
    B,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    A,
    B,
    /// The model inside the program
    Shipped,
}

impl From<SlotName> for Slot {
    fn from(name: SlotName) -> Self {
        match name {
            SlotName::A => Self::A,
            SlotName::B => Self::B,
        }
    }
}

/// What a command works on.
struct Unit {
    config: Config,
    slots: Slots,
    keys: TrustedKeys,
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let config = arguments.config.as_ref().ok_or_else(|| usage(anyhow!("--config is needed")))?;
    let config = Config::read(config).map_err(usage)?;
    let keys = choose::trusted_keys(&config).map_err(usage)?;
    let unit = Unit { slots: Slots::new(&config.state), keys, config };
    anstream::eprintln!("chestlight: {NOTICE}");
    match &arguments.command {
        Command::List => unit.list(),
        Command::Install { from, downgrade } => unit.install(from, downgrade.by_this_user()?),
        Command::Activate { slot, downgrade } => unit.activate(slot.map(Slot::from), downgrade.by_this_user()?),
        Command::Rollback => unit.roll_back(),
        Command::Verify { bundle } => unit.verify(bundle),
        Command::Show { which } => unit.show(*which),
    }
}

/// What is wrong with a bundle is no fault of the unit, and no usage that could be mended.
fn refused(error: impl Into<Error>) -> Failure {
    Failure { outcome: Outcome::Refused, error: error.into() }
}

fn of_slots(error: SlotError) -> Failure {
    match error {
        SlotError::Step { .. } | SlotError::Busy => Error::new(error).into(),
        SlotError::NoState(_) | SlotError::Read { .. } | SlotError::Empty(_) | SlotError::NothingBefore => usage(error),
        SlotError::Record { .. }
        | SlotError::Signature { .. }
        | SlotError::Bundle { .. }
        | SlotError::Downgrade { .. } => refused(error),
    }
}

impl Unit {
    fn install(&self, from: &Path, downgrade: Downgrade) -> Result<Outcome, Failure> {
        let (signed, files) = self.newest(from)?;
        choose::tested(&signed, &self.config).map_err(refused)?;
        let slot = self.slots.change().and_then(|change| change.install(&signed, &files, downgrade));
        let slot = slot.map_err(of_slots)?.name();
        say(&format!(
            "slot {slot} holds {}; it reads after: chestlight model activate {slot}",
            described(&signed).map_err(refused)?
        ))
    }

    /// The bundle of a file, or the newest of a folder that can be trusted.
    fn newest(&self, from: &Path) -> Result<(Signed, [Vec<u8>; 2]), Failure> {
        if !from.is_dir() {
            return read_signed(from, &self.keys).map_err(of_slots);
        }
        let mut newest: Option<(Signed, [Vec<u8>; 2])> = None;
        for path in bundles_in(from).map_err(usage)? {
            match read_signed(&path, &self.keys) {
                Ok(found) => {
                    let is_newer = |best: &(Signed, _)| found.0.bundle.version > best.0.bundle.version;
                    if newest.as_ref().is_none_or(is_newer) {
                        newest = Some(found);
                    }
                }
                Err(error) => anstream::eprintln!("chestlight: passed over: {error}"),
            }
        }
        newest.ok_or_else(|| refused(anyhow!("{} has no bundle that this unit trusts", from.display())))
    }

    fn activate(&self, slot: Option<Slot>, downgrade: Downgrade) -> Result<Outcome, Failure> {
        let change = self.slots.change().map_err(of_slots)?;
        let slot = match slot {
            Some(slot) => slot,
            None => self.spare()?,
        };
        let signed = self.slots.read(slot, &self.keys).map_err(of_slots)?;
        let signed = signed.ok_or(SlotError::Empty(slot)).map_err(of_slots)?;
        choose::tested(&signed, &self.config).map_err(refused)?;
        change.activate(slot, &signed, downgrade).map_err(of_slots)?;
        say(&format!(
            "slot {} reads: {}; a running unit takes it up on SIGHUP",
            slot.name(),
            described(&signed).map_err(refused)?
        ))
    }

    /// The slot that does not read and holds something.
    fn spare(&self) -> Result<Slot, Failure> {
        let active = self.slots.record().map_err(of_slots)?.active;
        let mut spare = Slot::ALL.into_iter().filter(|slot| Some(*slot) != active);
        let holds = |slot: &Slot| self.slots.holds(*slot);
        spare.find(holds).ok_or_else(|| usage(anyhow!("there is no installed model to activate; install one first")))
    }

    fn roll_back(&self) -> Result<Outcome, Failure> {
        let change = self.slots.change().map_err(of_slots)?;
        let reads = match change.roll_back().map_err(of_slots)? {
            Some(slot) => format!("slot {} reads again", slot.name()),
            None => "the model inside the program reads again".to_owned(),
        };
        say(&format!("{reads}; a running unit takes it up on SIGHUP"))
    }

    fn verify(&self, bundle: &Path) -> Result<Outcome, Failure> {
        let (signed, _) = read_signed(bundle, &self.keys).map_err(of_slots)?;
        choose::tested(&signed, &self.config).map_err(refused)?;
        let Signer { key, comment } = &signed.signer;
        let described = described(&signed).map_err(refused)?;
        say(&format!("{described}; signed with {key} ({comment}); it answers its golden phantoms"))
    }

    fn list(&self) -> Result<Outcome, Failure> {
        let record = self.slots.record().map_err(of_slots)?;
        let mut out = anstream::stdout().lock();
        let mut outcome = Outcome::Well;
        let mut print = || -> anyhow::Result<()> {
            writeln!(out, "{:8} {:>10}  {:24} {:12}  {:20}", "SLOT", "VERSION", "MODEL", "NETWORK", "SIGNED WITH")?;
            let inside = Manifest::parse(&shipped().manifest)?;
            let reads = |slot: Option<Slot>| match slot == record.active {
                true if self.config.model.is_none() => "reads",
                true => "would read, if the configuration did not name a model",
                false if slot.is_some() && slot == record.previous => "read before",
                false => "",
            };
            print_line(&mut out, ("shipped", ""), &inside, "", reads(None))?;
            for slot in Slot::ALL {
                match self.slots.read(slot, &self.keys) {
                    Ok(None) => writeln!(out, "{:8} {:>10}  empty", slot.name(), "-")?,
                    Ok(Some(Signed { bundle, signer })) => {
                        let manifest = Manifest::parse(&bundle.files.manifest)?;
                        let version = bundle.version.to_string();
                        print_line(&mut out, (slot.name(), &version), &manifest, &signer.key, reads(Some(slot)))?;
                    }
                    Err(error) => {
                        outcome = Outcome::Refused;
                        writeln!(out, "{:8} {:>10}  CANNOT BE USED: {error}", slot.name(), "-")?;
                    }
                }
            }
            let Record { highest, .. } = record;
            writeln!(out, "versions under {highest} are refused; {} keys are trusted", self.keys.len())?;
            Ok(())
        };
        print().context("the models cannot be listed")?;
        Ok(outcome)
    }

    fn show(&self, which: Option<Which>) -> Result<Outcome, Failure> {
        let slot = match which {
            Some(Which::A) => Some(Slot::A),
            Some(Which::B) => Some(Slot::B),
            Some(Which::Shipped) => None,
            None => self.slots.record().map_err(of_slots)?.active,
        };
        let signed = match slot {
            None => None,
            Some(slot) => {
                let signed = self.slots.read(slot, &self.keys).map_err(of_slots)?;
                Some(signed.ok_or(SlotError::Empty(slot)).map_err(of_slots)?)
            }
        };
        let options = choose::engine_options(&self.config);
        match &signed {
            None => print_whole("inside the program", None, &shipped(), SHIPPED_CARD, &options),
            Some(Signed { bundle, signer }) => {
                let place = format!("slot {}, version {}", slot.map_or("-", Slot::name), bundle.version);
                print_whole(&place, Some(signer), &bundle.files, &bundle.card, &options)
            }
        }
        .context("the model cannot be shown")?;
        Ok(Outcome::Well)
    }
}

const SHIPPED_CARD: &str = include_str!("../../models/chestlight-lite0.md");

fn described(signed: &Signed) -> anyhow::Result<String> {
    let manifest = Manifest::parse(&signed.bundle.files.manifest)?;
    Ok(format!("{} version {}", manifest.name, signed.bundle.version))
}

fn say(line: &str) -> Result<Outcome, Failure> {
    anstream::println!("{line}");
    Ok(Outcome::Well)
}

/// The bundles of a folder, sorted.
fn bundles_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| entry.map(|it| it.path())).collect() };
    let mut bundles = read().with_context(|| format!("{} cannot be read", folder.display()))?;
    bundles.retain(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("clm")));
    bundles.sort();
    if bundles.len() > MOST_BUNDLES {
        return Err(anyhow!("{} has more than {MOST_BUNDLES} bundles; name one of them", folder.display()));
    }
    Ok(bundles)
}

fn print_line(
    out: &mut impl Write,
    (place, version): (&str, &str),
    manifest: &Manifest,
    key: &str,
    reads: &str,
) -> io::Result<()> {
    let digest = manifest.digest.get(..12).unwrap_or_default();
    let [version, key] = [version, key].map(|text| if text.is_empty() { "-" } else { text });
    let line = format!("{place:8} {version:>10}  {:24} {digest:12}  {key:20}  {reads}", manifest.name);
    writeln!(out, "{}", line.trim_end())
}

fn print_whole(
    place: &str,
    signer: Option<&Signer>,
    files: &ModelFiles,
    card: &str,
    options: &EngineOptions,
) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let Model { manifest, engine } = files.load_with(options)?;
    writeln!(out, "model      {} ({place})", manifest.name)?;
    writeln!(out, "network    {} bytes, SHA-256 {}", files.onnx.len(), hex(&Sha256::digest(&files.onnx)))?;
    match signer {
        Some(Signer { key, comment }) => writeln!(out, "signature  holds, with the key {key}: {comment}")?,
        None => writeln!(out, "signature  none; it is part of the program")?,
    }
    writeln!(out, "engine     {}", engine.layers().to_string().replace('\n', "\n           "))?;
    writeln!(out, "\n--- manifest\n\n{}\n\n--- card\n\n{}", files.manifest.trim_end(), card.trim_end())?;
    Ok(())
}
