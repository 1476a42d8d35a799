//! What the DICOM listener promises, against peers that behave and peers that do not. No other program is needed;
//! `tests/dicom_peers.rs` has those of other makers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_peer;
mod running_unit;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use chestlight::dimse::Command;
use dicom_dictionary_std::uids;
use dicom_peer::{CLASS, PATIENT, Peer, configuration, free_port, instance, recorded, wait_until_listening};
use image::ImageFormat;
use running_unit::{Site, Unit, film};
use rustix::process::Signal;

fn unit(dicom: &str, more: &str) -> (Site, Unit, u16) {
    let port = free_port();
    let site = Site::new(&configuration(port, dicom, more));
    let mut unit = site.start();
    unit.wait_until_ready();
    wait_until_listening(&site);
    (site, unit, port)
}

#[test]
fn a_film_that_a_peer_stores_is_read_once_under_its_own_name_and_no_log_names_the_patient() {
    let (site, mut unit, port) = unit("", "");
    let mut peer = Peer::connect(port).unwrap();
    assert_eq!(peer.classes(), [uids::VERIFICATION, CLASS], "neither MR images nor promises are for this unit");
    assert_eq!(peer.echo(), Some(0));
    let (first, second) = (instance(1), instance(2));
    assert_eq!(peer.store(&first), Some(0));
    unit.wait_for("reading 1 of");
    assert_eq!(peer.store(&second), Some(0));
    unit.wait_for("reading 2 of");
    // A peer that heard no answer sends again.
    assert_eq!(peer.store(&first), Some(0));
    unit.wait_for("put in again");
    peer.release();
    site.wait_until_settled();
    let shown = unit.stop().join("\n");

    let rows = site.rows();
    assert_eq!(rows.len(), 2);
    for (row, sent) in rows.iter().zip([&first, &second]) {
        assert_eq!(row.file_name, "c-store.dcm");
        assert!(row.sop_uid.as_ref() == Some(&sent.uid) && row.study_uid.as_ref() == Some(&sent.study), "{row:?}");
        assert_eq!(row.patient_hash.as_ref().map(String::len), Some(64));
        assert!(!format!("{row:?}").contains("SECRET"), "the journal does not name the patient: {row:?}");
    }
    assert_eq!(rows[0].patient_hash, rows[1].patient_hash, "the same patient");
    let log = site.log();
    for secret in [PATIENT, "SECRET"] {
        assert!(!log.contains(secret) && !shown.contains(secret), "{log}\n{shown}");
    }
    // The file is the object, to the byte.
    let films = site.films_in("state/archive").into_values().chain(site.films_in("state/refused").into_values());
    let mut stored: Vec<Vec<u8>> = films.map(|film| std::fs::read(film).unwrap()).collect();
    stored.sort_by_key(|bytes| !bytes.ends_with(&first.data_set()));
    assert!(stored[0].ends_with(&first.data_set()) && stored[1].ends_with(&second.data_set()));
    assert_eq!(&stored[0][128..132], b"DICM");
}

#[test]
fn what_cannot_be_stored_is_answered_with_its_reason_and_leaves_nothing() {
    let (site, unit, port) = unit("", "[limits]\nmax_file_mib = 1\n");
    let good = instance(1);
    let data = good.data_set();
    let mut large = data.clone();
    large.resize(1 << 21, 0);
    let mut peer = Peer::connect(port).unwrap();
    for (name, class, uid, data, status) in [
        ("a path as its identifier", CLASS, "../../../../tmp/x", &data[..], 0x0117),
        ("no identifier", CLASS, "", &data, 0x0117),
        ("another class than was agreed on", uids::MR_IMAGE_STORAGE, &good.uid, &data, 0x0122),
        ("another object than the command says", CLASS, "1.2.3", &data, 0xA900),
        ("no data set", CLASS, &good.uid, b"\0\0\0\0\0\0\0\0 nonsense", 0xC000),
        ("more bytes than are taken", CLASS, &good.uid, &large, 0xC001),
    ] {
        assert_eq!(peer.store_as(class, uid, data), Some(status), "{name}");
    }
    let find = with_field(0x0020, &Command::echo_request(3));
    assert_eq!(peer.ask(uids::VERIFICATION, &find, None), Some(0x0211), "neither C-STORE nor C-ECHO");
    assert_eq!(peer.echo(), Some(0), "the association goes on after each of them");
    peer.release();
    assert_eq!(site.films_in("state/spool").len() + site.rows().len(), 0);
    assert_eq!(std::fs::read_dir(site.path("state/spool")).unwrap().count(), 0, "no unfinished copy is left");
    unit.stop();
}

/// A request with another command field.
fn with_field(field: u16, request: &Command) -> Command {
    let mut bytes = request.encode();
    let at = bytes.windows(8).position(|it| it == [0, 0, 0, 1, 2, 0, 0, 0]).unwrap() + 8;
    bytes[at..at + 2].copy_from_slice(&field.to_le_bytes());
    Command::parse(&bytes).unwrap()
}

/// A unit keeps one copy and gives none back: who trusted its word could delete the only film.
#[test]
fn storage_commitment_is_offered_in_no_way_and_the_film_is_stored_all_the_same() {
    let (site, mut unit, port) = unit("", "");
    let mut peer = Peer::connect(port).unwrap();
    assert!(!peer.classes().contains(&uids::STORAGE_COMMITMENT_PUSH_MODEL));
    let film = instance(1);
    let n_action = with_field(0x0130, &Command::store_request(3, CLASS, &film.uid));
    assert_eq!(peer.ask(CLASS, &n_action, Some(&film.data_set())), Some(0x0211), "in the context of films");
    assert_eq!(peer.store(&film), Some(0));
    peer.release();
    unit.wait_for("reading 1 of");
    unit.stop();
    assert_eq!(site.rows().len(), 1);
}

#[test]
fn a_disc_that_is_nearly_full_takes_nothing_and_says_so() {
    let port = free_port();
    let site = Site::new(&configuration(port, "", ""));
    let text = std::fs::read_to_string(site.path("chestlight.toml")).unwrap();
    site.configure(&text.replace("min_free_mib = 1\n", "min_free_mib = 1048576\n"));
    let unit = site.start();
    wait_until_listening(&site);
    let mut peer = Peer::connect(port).unwrap();
    assert_eq!(peer.store(&instance(1)), Some(0xA700));
    peer.release();
    unit.stop();
    assert!(site.rows().is_empty());
}

#[test]
fn who_may_not_speak_is_turned_away() {
    let (_site, unit, port) = unit("", "");
    for (calling, called, told) in [
        ("STRANGER", "CHESTLIGHT", "calling AE title not recognized"),
        ("PEER", "ANY-SCP", "called AE title not recognized"),
    ] {
        let error = Peer::connect_as(port, calling, called).err().unwrap();
        assert!(error.to_string().contains(told), "{error}");
    }
    unit.stop();

    let port = free_port();
    let site = Site::new(&configuration(port, "", "").replace("127.0.0.1", "192.0.2.1"));
    let unit = site.start();
    wait_until_listening(&site);
    assert!(Peer::connect(port).is_err(), "this address is not on the list");
    site.wait_until(|| site.log().contains("which `dicom.peers` does not name"));
    unit.stop();
}

/// The peer's end of a connection on which it does what it likes.
fn raw(port: u16) -> TcpStream {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// Waits until the unit ends the connection; what it said before.
fn ended(mut socket: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = socket.read_to_end(&mut said);
    said
}

#[test]
fn peers_that_misbehave_cost_the_unit_one_place_for_a_bounded_time_and_no_film_waits_for_them() {
    const PLACES: usize = 4;
    let (site, mut unit, port) = unit("max_associations = 4\nread_seconds = 1\nidle_seconds = 1\n", "");

    // PDUs that are too long, or none.
    let abort = 7;
    for (name, bytes) in [
        ("an oversize PDU", [1, 0, 0x7F, 0xFF, 0xFF, 0xFF]),
        ("no PDU", *b"GET / "),
        ("data before the association", [4, 0, 0, 0, 0, 0]),
    ] {
        let mut socket = raw(port);
        socket.write_all(&bytes).unwrap();
        assert_eq!(ended(socket).first(), Some(&abort), "{name} is answered with A-ABORT");
    }

    // Half-open, and byte by byte: all places are taken, and all come free again.
    let silent = [(); PLACES - 1].map(|()| raw(port));
    let mut drip = raw(port);
    thread::scope(|scope| {
        scope.spawn(|| {
            while drip.write_all(&[1]).is_ok() {
                thread::sleep(Duration::from_millis(50))
            }
        });
        let meanwhile = film(1, ImageFormat::Png);
        site.put_in("meanwhile.png", &meanwhile);
        unit.wait_for("reading 1 of");
        for socket in silent {
            ended(socket);
        }
    });

    // A thousand connections: most are told to come again, and the inbox is read all the same.
    let crowd: Vec<TcpStream> = (0..1_000).map(|_| raw(port)).collect();
    site.put_in("crowd.png", &film(2, ImageFormat::Png));
    unit.wait_for("reading 2 of");
    let mut told_to_come_again = 0;
    for socket in crowd {
        let rejected = ended(socket);
        told_to_come_again += usize::from(rejected.starts_with(&[3, 0, 0, 0, 0, 4, 0, 2, 3, 2]));
    }
    assert!(told_to_come_again >= 900, "{told_to_come_again}");

    // And whoever behaves is served.
    let mut peer = Peer::connect(port).unwrap();
    assert_eq!(peer.store(&instance(1)), Some(0));
    peer.release();
    unit.wait_for("reading 3 of");

    let status = std::fs::read_to_string(format!("/proc/{}/status", unit.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    println!("peak memory of a unit with {PLACES} places and 1,000 connections: {peak}");
    let kib: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 256 << 10, "{peak}");
    unit.stop();
    assert_eq!(site.rows().len(), 3);
}

#[test]
fn every_object_that_was_answered_with_success_is_recorded_once_however_often_the_unit_is_killed() {
    const PEERS: u64 = 4;
    const EACH: u64 = 8;
    const KILLS: u32 = 3;
    let port = free_port();
    let site = Site::new(&configuration(port, "", ""));
    let acknowledged = Mutex::new(BTreeMap::<String, u32>::new());
    let start = || {
        let unit = site.start();
        site.wait_until(|| Peer::connect(port).is_ok_and(|mut peer| peer.echo() == Some(0)));
        unit
    };
    let mut unit = start();
    thread::scope(|scope| {
        let (acknowledged, instances) = (&acknowledged, |peer| (peer * EACH..(peer + 1) * EACH).map(instance));
        let peers: Vec<_> = (0..PEERS)
            .map(|peer| {
                scope.spawn(move || {
                    for instance in instances(peer) {
                        // Sends until it is told Success, as a modality's queue does.
                        while !Peer::connect(port).is_ok_and(|mut peer| peer.store(&instance) == Some(0)) {
                            thread::sleep(Duration::from_millis(20));
                        }
                        *acknowledged.lock().unwrap().entry(instance.uid).or_default() += 1;
                    }
                })
            })
            .collect();
        for kill in 1..=KILLS {
            let so_far = PEERS * EACH * u64::from(kill) / u64::from(KILLS + 1);
            site.wait_until(|| acknowledged.lock().unwrap().len() as u64 >= so_far);
            unit.signal(Signal::KILL);
            unit.wait_for_end();
            unit = start();
        }
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    });
    site.wait_until_settled();
    unit.stop();
    let mut recorded = recorded(&site);
    recorded.sort();
    let wanted: Vec<String> = acknowledged.into_inner().unwrap().into_keys().collect();
    assert_eq!(recorded, wanted, "each once, and nothing else");
    let verify = site.command(&["log", "verify"]).output().unwrap();
    assert!(verify.status.success());
}
