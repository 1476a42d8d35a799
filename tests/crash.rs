//! A crash at any instant loses nothing, shows nothing that is not recorded, and reads nothing twice.
//!
//! The process is aborted at every point of `fault::POINTS`. What the kernel has been given survives that; the
//! syncs that make it survive a power cut as well are argued in `docs/storage.md` and cannot be tested here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chestlight::fault::POINTS;
use image::ImageFormat;
use running_unit::{Site, digest, film, readings};

#[test]
fn a_crash_at_any_point_loses_nothing_shows_nothing_unrecorded_and_reads_nothing_twice() {
    let good = film(1, ImageFormat::Png);
    // Of a good film and a bad one, both pass every point but those of the reason.
    let passings = |point: &str| if point.starts_with("spool.reason") { 1 } else { 2 };
    let crashes: Vec<(&str, u32)> =
        POINTS.iter().flat_map(|point| (1..=passings(point)).map(|nth| (*point, nth))).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((point, nth)) = crashes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    crash_and_restart(point, *nth, &good);
                }
            });
        }
    });
}

fn crash_and_restart(point: &str, nth: u32, good: &[u8]) {
    let site = Site::new("");
    let films: [(&str, &[u8]); 2] = [("a.png", good), ("b.png", b"this is no film")];
    let mut unit = site.start_with(&[("CHESTLIGHT_ABORT_AT", &format!("{point}:{nth}"))]);
    unit.wait_until_ready();
    for (name, bytes) in films {
        site.put_in(name, bytes);
    }
    let end = unit.wait_for_end();
    assert_eq!(end.signal(), Some(6), "{point}:{nth} was not reached: {end:?}");
    let recorded = site.rows();
    let seen = unit.readings_shown();
    for (seq, film) in &seen {
        let row = recorded.iter().find(|row| row.seq == *seq);
        let row = row.unwrap_or_else(|| panic!("{point}:{nth}: reading {seq} was shown and is not recorded"));
        assert_eq!(row.short_digest(), film, "{point}:{nth}");
    }
    for (name, bytes) in films {
        let digest = digest(bytes);
        let places = ["inbox", "state/spool", "state/archive", "state/refused"];
        let copies = places.iter().filter(|place| site.films_in(place).contains_key(&digest)).count();
        // Between the copy and the unlink a film is in two places, and taking it in again makes it one.
        let between = ["spool.renamed", "spool.synced"].contains(&point);
        assert!(copies == 1 || copies == 2 && between, "{point}:{nth}: {name} is in {copies} places");
    }

    let mut unit = site.start();
    unit.wait_until_ready();
    site.wait_until_settled();
    let shown = unit.stop();
    let rows = site.assert_at_rest(&films);
    assert_eq!(&rows[..recorded.len()], &recorded[..], "{point}:{nth}: what was recorded has not changed");
    for row in &rows {
        let of_row = (row.seq, row.short_digest().to_owned());
        assert!(
            seen.contains(&of_row) || readings(&shown).contains(&of_row),
            "{point}:{nth}: {of_row:?} was not shown"
        );
        let read_again = shown.iter().any(|line| line.starts_with("reading ...") && line.ends_with(row.short_digest()));
        assert!(!(read_again && recorded.contains(row)), "{point}:{nth}: reading {} was read twice", row.seq);
    }
}

#[test]
fn films_whose_move_a_power_cut_has_undone_are_shown_and_settled_again_and_not_read_again() {
    let site = Site::new("");
    let good = film(1, ImageFormat::Png);
    let films: [(&str, &[u8]); 2] = [("a.png", &good), ("b.png", b"this is no film")];
    films.iter().for_each(|(name, bytes)| site.put_in(name, bytes));
    let mut unit = site.start();
    unit.wait_for("reading 2 of");
    unit.wait_until_ready();
    unit.stop();
    let rows = site.assert_at_rest(&films);
    for row in &rows {
        let folder = if row.is_unread() { "state/refused" } else { "state/archive" };
        let settled = &site.films_in(folder)[&row.input_digest];
        fs::rename(settled, site.path("state/spool").join(format!("{}.{}", row.input_digest, row.file_name))).unwrap();
    }
    let mut unit = site.start();
    unit.wait_until_ready();
    let shown = unit.stop();
    assert_eq!(site.assert_at_rest(&films), rows);
    assert_eq!(readings(&shown).len(), 2, "{shown:#?}");
    assert!(!shown.iter().any(|line| line.starts_with("reading ...")), "{shown:#?}");
}

#[test]
fn a_film_on_which_the_reader_dies_twice_is_refused_and_the_next_one_is_read() {
    let site = Site::new("");
    let (deadly, good) = (film(1, ImageFormat::Png), film(2, ImageFormat::Png));
    site.put_in("a.png", &deadly);
    for _ in 0..2 {
        let mut unit = site.start_with(&[("CHESTLIGHT_ABORT_AT", "reading.read")]);
        assert_eq!(unit.wait_for_end().signal(), Some(6));
    }
    let mut unit = site.start();
    unit.wait_until_ready();
    site.put_in("b.png", &good);
    unit.wait_for("reading 2 of");
    unit.stop();
    let rows = site.assert_at_rest(&[("a.png", &deadly), ("b.png", &good)]);
    assert_eq!(rows[0].reason.as_deref(), Some("crashed_reader"));
    assert!(!rows[1].is_unread());
}
