//! Films leave the disc only as the site says, each with a row first, and a crash in between loses neither.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod running_unit;

use std::os::unix::process::ExitStatusExt;

use chestlight::fault::TIDYING_POINTS;
use chestlight::journal::{Event, Journal, JournalError, Record};
use running_unit::Site;

/// The readings whose films are noted as removed.
fn removed(site: &Site) -> Vec<i64> {
    let journal = Journal::open_read_only(&site.path("state/journal.db")).unwrap();
    let mut removed = Vec::new();
    let keep = |record: &Record| -> Result<(), JournalError> {
        if let Record::Note(note) = record
            && note.event == Event::FilmRemoved.name()
        {
            removed.push(note.reading);
        }
        Ok(())
    };
    journal.for_each_record(None, keep).unwrap();
    removed
}

/// The readings whose films are on the disc.
fn films(site: &Site) -> Vec<i64> {
    let rows = site.rows();
    let there = site.films_in("state/refused");
    rows.iter().filter(|row| there.contains_key(&row.input_digest)).map(|row| row.seq).collect()
}

fn limit(site: &Site, limits: &str) {
    site.configure(&format!(
        "inbox = 'inbox'\nstate = 'state'\nrescan_seconds = 1\nmin_free_mib = 1\n[storage]\n{limits}"
    ));
}

fn read_five(site: &Site) {
    let mut unit = site.start();
    for seq in 1..=5 {
        site.put_in(&format!("{seq}.png"), format!("no film {seq}").as_bytes());
        unit.wait_for(&format!("reading {seq} of"));
    }
    unit.wait_until_ready();
    unit.stop();
}

#[test]
fn the_oldest_films_go_with_a_row_each_when_they_were_exported_and_not_before() {
    let site = Site::new("");
    read_five(&site);
    assert_eq!((films(&site), removed(&site)), (vec![1, 2, 3, 4, 5], vec![]), "nothing goes by itself");
    limit(&site, "max_films = 2");
    let mut unit = site.start();
    unit.wait_until_ready();
    unit.stop();
    assert_eq!((films(&site), removed(&site)), (vec![1, 2, 3, 4, 5], vec![]), "nothing was exported");

    let export = site.command(&["log", "export", "--jsonl", "--mark-exported"]).output().unwrap();
    assert!(export.status.success(), "{export:?}");
    let unit = site.start();
    site.wait_until(|| films(&site) == [4, 5]);
    unit.stop();
    assert_eq!(removed(&site), [1, 2, 3]);
    assert_eq!(site.rows().len(), 5, "rows stay");
    let list = site.command(&["log", "list"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("the film of reading 3 is removed"), "{list}");

    limit(&site, "max_films = 1\nkeep_unexported = false\nkeep_unreviewed = true");
    let said = ["override", "5", "--verdict", "refer", "--reason", "seen"];
    assert!(site.command(&said).output().unwrap().status.success());
    let unit = site.start();
    site.wait_until(|| films(&site) == [4]);
    unit.stop();
    assert_eq!(removed(&site), [1, 2, 3, 5], "reading 4 waits for a person's word");
    assert!(site.command(&["log", "verify"]).output().unwrap().status.success());
}

#[test]
fn a_crash_between_the_row_and_the_removal_leaves_no_film_missing_without_a_row() {
    for point in TIDYING_POINTS {
        let site = Site::new("");
        read_five(&site);
        limit(&site, "max_films = 3\nkeep_unexported = false");
        let mut unit = site.start_with(&[("CHESTLIGHT_ABORT_AT", point)]);
        assert_eq!(unit.wait_for_end().signal(), Some(6), "{point}");
        let unit = site.start();
        site.wait_until(|| films(&site) == [3, 4, 5]);
        unit.stop();
        let mut noted = removed(&site);
        noted.dedup();
        assert_eq!(noted, [1, 2], "{point}");
    }
}
