//! A USB stick labelled CHESTLIGHT: films come from it, results go onto it, and it may offer a model.
//!
//! It may be pulled at any moment. So nothing on it is ever changed or removed but what is being added, no film counts
//! as taken before it is durably in the spool, and results count only with their list of checksums, which is written
//! last: FAT cannot rename a folder in one step.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;
use walkdir::WalkDir;

use crate::clock::Moment;
use crate::digest::hex;
use crate::intake::folder::is_passed_over;
use crate::journal::{self, Journal, JournalError, Names};
use crate::model::TrustedKeys;
use crate::model::slots::{Signed, read_signed};
use crate::spool::{harmless_name, open_file, private};

/// The folder on the stick that films are taken from.
pub const INBOX: &str = "inbox";
/// The folder on the stick that results are put into.
pub const RESULTS: &str = "chestlight-results";
/// The folder on the stick, and in the state folder, with signed models.
pub const MODELS: &str = "models";
/// The list of checksums, as `sha256sum -c` reads it.
const SUMS: &str = "SHA256SUMS";
/// The last line of the list is of this file: a list that ends so is whole.
const LAST: &str = "readings.jsonl";
/// Files of a stick that are looked at.
const MOST_FILES: usize = 10_000;
/// Bundles that are looked at.
const MOST_BUNDLES: usize = 64;
const CHUNK: usize = 256 << 10;

/// The stick could not be served to the end. No message names a film.
#[derive(Debug, Error)]
pub enum StickError {
    /// The stick does not give or take something; often it was pulled.
    #[error("{doing}: {source}")]
    Stick {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The unit's own journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn on_stick(doing: &'static str) -> impl Fn(io::Error) -> StickError {
    move |source| StickError::Stick { doing, source }
}

/// Which file system is mounted at a folder: its device; `None` where there is none of its own.
pub fn mounted(folder: &Path) -> Option<u64> {
    let device = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_dir).map(|found| found.dev());
    let own = device(folder)?;
    (Some(own) != device(folder.parent()?)).then_some(own)
}

/// A file in the inbox of a stick that the unit does not know yet.
#[derive(Debug)]
pub struct Candidate {
    path: PathBuf,
    /// Its harmless name.
    pub name: String,
    /// SHA-256 of its bytes, as they were read the first time.
    pub digest: String,
}

impl Candidate {
    /// Its bytes once more, to be copied.
    ///
    /// # Errors
    /// What the stick says.
    pub fn open(&self) -> io::Result<File> {
        open_file(&self.path)
    }
}

/// The films in the inbox of a stick that the journal does not have, in the order of their names; the originals stay. No
/// links, no names that begin with a dot, no index of a DICOM medium, as in the unit's own inbox.
///
/// # Errors
/// [`StickError::Stick`] when the inbox cannot be listed; a file that cannot be read comes as an error of its own.
pub fn films<'a>(
    stick: &Path,
    journal: &'a Journal,
) -> impl Iterator<Item = Result<Option<Candidate>, StickError>> + use<'a> {
    let inbox = stick.join(INBOX);
    let files = WalkDir::new(&inbox)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !is_passed_over(entry.file_name()))
        .filter(|entry| entry.as_ref().map_or(true, |entry| entry.file_type().is_file()))
        .take(if inbox.is_dir() { MOST_FILES } else { 0 });
    files.map(move |entry| {
        let entry = entry.map_err(|error| on_stick("listing the stick")(error.into()))?;
        let reading = on_stick("reading a film of the stick");
        let digest = digest_of(&mut open_file(entry.path()).map_err(&reading)?).map_err(&reading)?;
        if journal.find(&digest)?.is_some() {
            return Ok(None);
        }
        let name = harmless_name(entry.path().strip_prefix(&inbox).unwrap_or(entry.path()));
        Ok(Some(Candidate { path: entry.into_path(), name, digest }))
    })
}

fn digest_of(file: &mut File) -> io::Result<String> {
    let mut summed = Summed { out: io::sink(), digest: Sha256::new() };
    io::copy(file, &mut summed)?;
    Ok(hex(&summed.digest.finalize()))
}

/// What goes onto a stick, and how it is called there.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// The unit's journal.
    pub journal: &'a Journal,
    /// The archive, with the heat maps.
    pub archive: &'a Path,
    /// Stands for the unit among others on the same stick; letters and digits.
    pub unit: &'a str,
    /// The time, for the name of the folder.
    pub now: &'a Moment,
    /// Whether file names and DICOM identifiers are told.
    pub names: Names,
    /// Whether heat maps, which show the films, go along.
    pub overlays: bool,
}

/// Writes everything that the journal has, and the heat maps that this stick does not have yet, into a new folder, each
/// file synced and the list of checksums last. `None` where the stick has it all already; else the number of the last row
/// that is certain to be among it.
///
/// # Errors
/// [`StickError`]; the folder then has no list, and counts for nothing.
pub fn export(stick: &Path, export: &Export<'_>) -> Result<Option<i64>, StickError> {
    let last = export.journal.last_result()?;
    let results = stick.join(RESULTS);
    let before = exported(&results, export.unit);
    if last == 0 || before >= last {
        return Ok(None);
    }
    let date = jiff::Timestamp::try_from(export.now.wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let date: String = format!("{date:.0}").chars().filter(char::is_ascii_alphanumeric).collect();
    let folder = results.join(format!("{}-{last:06}-{date}", export.unit));
    let writing = on_stick("writing results onto the stick");
    let mut sums = String::new();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(&writing)?;
    if export.overlays {
        let overlays = folder.join("overlays");
        DirBuilder::new().recursive(true).mode(0o700).create(&overlays).map_err(&writing)?;
        for (name, path) in heat_maps(export.archive, before) {
            let Ok(mut map) = File::open(path) else { continue };
            let sum = write(&overlays.join(&name), |out| io::copy(&mut map, out).map(drop)).map_err(&writing)?;
            sums.push_str(&format!("{sum}  overlays/{name}\n"));
        }
        sync(&overlays).map_err(&writing)?;
    }
    let csv = |out: &mut SummedFile| journal::write_csv(export.journal, out, export.names).map_err(io::Error::other);
    let sum = write(&folder.join("readings.csv"), csv).map_err(&writing)?;
    sums.push_str(&format!("{sum}  readings.csv\n"));
    let jsonl =
        |out: &mut SummedFile| journal::write_jsonl(export.journal, out, export.names).map_err(io::Error::other);
    let sum = write(&folder.join(LAST), jsonl).map_err(&writing)?;
    sums.push_str(&format!("{sum}  {LAST}\n"));
    sync(&folder).and_then(|()| sync(&results)).and_then(|()| sync(stick)).map_err(&writing)?;
    write(&folder.join(SUMS), |out| out.write_all(sums.as_bytes())).map_err(&writing)?;
    sync(&folder).map_err(&writing)?;
    Ok(Some(last))
}

/// The highest row of this unit that a stick has in a folder with a whole list.
fn exported(results: &Path, unit: &str) -> i64 {
    let seq = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let (whose, rest) = name.to_str()?.split_once('-')?;
        let sums = read_bounded(&entry.path().join(SUMS))?;
        let whole = whose == unit && sums.ends_with(&format!("  {LAST}\n"));
        whole.then(|| rest.split_once('-')?.0.parse().ok())?
    };
    fs::read_dir(results).map_or(0, |entries| entries.flatten().filter_map(seq).max().unwrap_or(0))
}

fn read_bounded(path: &Path) -> Option<String> {
    let mut text = String::new();
    open_file(path).ok()?.take(16 << 20).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The heat maps of the readings after `before`, with names that tell nothing but number and digest.
fn heat_maps(archive: &Path, before: i64) -> Vec<(String, PathBuf)> {
    let short = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_str().filter(|name| name.ends_with(".heatmap.png"))?;
        let mut parts = name.splitn(3, '-');
        let (seq, digest) = (parts.next()?, parts.next()?);
        let is_new = seq.parse::<i64>().is_ok_and(|seq| seq > before);
        is_new.then(|| (format!("{seq}-{digest}.png"), entry.path()))
    };
    fs::read_dir(archive).map_or_else(|_| Vec::new(), |entries| entries.flatten().filter_map(short).collect())
}

/// What is being written, with the digest of what went into it.
struct Summed<W> {
    out: W,
    digest: Sha256,
}

type SummedFile = Summed<BufWriter<File>>;

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a file, syncs it, and returns its digest.
fn write(path: &Path, fill: impl FnOnce(&mut SummedFile) -> io::Result<()>) -> io::Result<String> {
    let mut file = Summed { out: BufWriter::with_capacity(CHUNK, private(path)?), digest: Sha256::new() };
    fill(&mut file)?;
    file.flush()?;
    file.out.get_ref().sync_all()?;
    Ok(hex(&file.digest.finalize()))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A signed model that a stick has.
#[derive(Debug)]
pub struct Offer {
    /// What was verified.
    pub signed: Signed,
    /// The bundle and its signature.
    files: [Vec<u8>; 2],
}

/// The newest model on the stick that a trusted key has signed and that is newer than `highest`, the highest version that
/// ever read on this unit.
pub fn offer(stick: &Path, keys: &TrustedKeys, highest: u64) -> Option<Offer> {
    let bundles = fs::read_dir(stick.join(MODELS)).ok()?.flatten().map(|entry| entry.path());
    let bundles = bundles.filter(|path| path.extension().is_some_and(|it| it.eq_ignore_ascii_case("clm")));
    let mut newest: Option<Offer> = None;
    for path in bundles.take(MOST_BUNDLES) {
        match read_signed(&path, keys) {
            Ok((signed, files)) => {
                let floor = newest.as_ref().map_or(highest, |newest| newest.signed.bundle.version);
                if signed.bundle.version > floor {
                    newest = Some(Offer { signed, files });
                }
            }
            // The error's own text has a path in it.
            Err(_) => log::warn!("a model on the stick is not taken: no trusted key has signed it as it is"),
        }
    }
    newest
}

impl Offer {
    /// Puts it into the state folder, so that the stick may go; where.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&self, state: &Path) -> io::Result<PathBuf> {
        let folder = state.join("offered");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join("model.clm");
        let [bundle, signature] = &self.files;
        for (path, bytes) in [(path.clone(), bundle), (folder.join("model.clm.minisig"), signature)] {
            let fresh = path.with_extension("new");
            write(&fresh, |out| out.write_all(bytes))?;
            fs::rename(&fresh, &path)?;
        }
        sync(&folder)?;
        Ok(path)
    }
}
