//! `chestlight-trainer prepare`: from published folders and tables to one index.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chestlight::show::NOTICE;
use chestlight_trainer::prepare::{Columns, Sources, counts, gather, rows, to_csv};
use serde_json::json;

use super::{bar, write};

/// Makes one index of films from published folders and tables, with patients and repeated films joined
///
/// Exits with 1 when a film could not be read or a table was wrong somewhere; the index of all others is written.
#[derive(clap::Args)]
pub struct Args {
    /// Kermany et al. as published: train, test and val with NORMAL and PNEUMONIA; may be repeated
    #[arg(long, value_name = "FOLDER")]
    kermany: Vec<PathBuf>,
    /// Cohen et al. as published: metadata.csv and images; frontal radiographs are taken; may be repeated
    #[arg(long, value_name = "FOLDER")]
    cohen: Vec<PathBuf>,
    /// Any table with the columns file, label and group_id (the patient), and source, licence, view, age and sex
    /// where it has them; may be repeated
    #[arg(long, value_name = "CSV")]
    csv: Vec<PathBuf>,
    /// What the columns of these tables are called, such as file=path,group_id=patient
    #[arg(long, value_name = "NAME=COLUMN,...", requires = "csv")]
    columns: Option<Columns>,
    /// The index to write, in a folder above all films
    #[arg(long, value_name = "CSV")]
    out: PathBuf,
    /// Overwrite an index that is there
    #[arg(long)]
    force: bool,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.exists() && !args.force {
        bail!("{} exists; name another file, or overwrite it with --force", args.out.display());
    }
    let sources = Sources {
        kermany: args.kermany.clone(),
        cohen: args.cohen.clone(),
        tables: args.csv.clone(),
        columns: args.columns.clone().unwrap_or_default(),
    };
    let (found, mut left_out) = gather(&sources)?;
    if found.is_empty() {
        bail!("no film was found; name a source with --kermany, --cohen or --csv");
    }
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = folder.canonicalize().with_context(|| format!("cannot open {}", folder.display()))?;
    let reading = bar("reading films", found.len());
    let (rows, unread) = rows(&found, &root, &|| reading.inc(1));
    reading.finish_and_clear();
    left_out.extend(unread);
    let unfinished = args.out.with_extension("csv.tmp");
    write(&unfinished, &to_csv(&rows)?)?;
    fs::rename(&unfinished, &args.out).with_context(|| format!("cannot write {}", args.out.display()))?;

    let counts = counts(&rows);
    let wrong = left_out.iter().filter(|film| film.wrong).count();
    if args.json {
        let missing: Vec<_> = counts
            .missing()
            .into_iter()
            .map(|(set, label, films)| json!({ "set": set, "label": label, "films": films }))
            .collect();
        println!(
            "{}",
            json!({
                "schema": 1,
                "notice": NOTICE,
                "index": args.out,
                "films": rows.len(),
                "counts": counts,
                "missing": missing,
                "left_out": left_out,
            })
        );
    } else {
        let (looked_at, others): (Vec<_>, Vec<_>) = left_out.iter().partition(|film| film.wrong);
        looked_at.iter().for_each(|film| eprintln!("{}: {}", film.what, film.why));
        if !others.is_empty() {
            eprintln!("{} films are not frontal radiographs and are left out", others.len());
        }
        print!("{}: {} films\n{counts}", args.out.display(), rows.len());
        println!("{NOTICE}");
    }
    if wrong > 0 {
        bail!("{wrong} films are not in {}; they are told above", args.out.display());
    }
    Ok(())
}
