//! DICOM under TLS: both sides prove who they are, and nobody who cannot is spoken to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod certificates;
mod dicom_peer;
mod running_unit;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use certificates::{Authority, Files};
use chestlight::tls;
use dicom_peer::{Peer, configuration, free_port, instance, wait_until_listening};
use image::ImageFormat;
use running_unit::{Site, Unit, film};
use rustls::{ClientConfig, RootCertStore};

/// A unit with a certificate of `authority` that wants the same of its peers.
fn unit(authority: &Authority, dicom: &str) -> (Site, Unit, u16) {
    let port = free_port();
    let site = Site::new("");
    let files = authority.sign(&site.path("."), "unit", authority);
    configure(&site, &configuration(port, dicom, &files.section()));
    let mut unit = site.start();
    unit.wait_until_ready();
    wait_until_listening(&site);
    (site, unit, port)
}

fn configure(site: &Site, more: &str) {
    site.configure(&format!("inbox = 'inbox'\nstate = 'state'\nrescan_seconds = 1\nmin_free_mib = 1\n{more}"));
}

/// A peer that trusts everyone of the authority and shows nothing of its own.
fn without_certificate(files: &Files) -> Arc<ClientConfig> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.peer_ca).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn who_shows_a_certificate_of_the_site_is_served_and_nobody_else_is() {
    let (authority, stranger) = (Authority::new("site"), Authority::new("stranger"));
    let (site, mut unit, port) = unit(&authority, "");
    let folder = site.path(".");
    let own = authority.sign(&folder, "xray", &authority);

    let mut peer = Peer::connect_by_tls(port, tls::client(&own.tls()).unwrap()).unwrap();
    assert_eq!(peer.echo(), Some(0));
    assert_eq!(peer.store(&instance(1)), Some(0));
    peer.release();
    unit.wait_for("reading 1 of");

    for (name, config, told) in [
        ("no certificate", without_certificate(&own), "peer sent no certificates"),
        (
            "a certificate of somebody else",
            tls::client(&stranger.sign(&folder, "stranger", &authority).tls()).unwrap(),
            "UnknownIssuer",
        ),
        (
            "a certificate that has expired",
            tls::client(&authority.sign_expired(&folder, "old", &authority).tls()).unwrap(),
            "expired",
        ),
        (
            "an authority that is not the unit's",
            tls::client(&authority.sign(&folder, "other", &stranger).tls()).unwrap(),
            "UnknownCA",
        ),
    ] {
        // By TLS 1.3 the peer hears of it at its first message.
        let served = Peer::connect_by_tls(port, config).ok().and_then(|mut peer| peer.echo());
        assert_eq!(served, None, "{name}");
        site.wait_until(|| site.log().contains(told));
    }
    assert!(Peer::connect(port).is_err(), "DICOM without TLS");
    assert!(site.log().contains("the peer did not prove who it is"));
    unit.stop();
    assert_eq!(site.rows().len(), 1);
}

#[test]
fn handshakes_that_never_end_hold_their_places_for_a_bounded_time_and_no_film_waits_for_them() {
    const PLACES: usize = 3;
    let authority = Authority::new("site");
    let (site, mut unit, port) = unit(&authority, "max_associations = 3\nread_seconds = 1\nidle_seconds = 1\n");
    let connect = || {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    };
    let ended = |mut socket: TcpStream| {
        let mut said = Vec::new();
        // A reset is an end too.
        let _ = socket.read_to_end(&mut said);
        said
    };
    // Half-open, and a greeting byte by byte, of a length that never comes.
    let silent = [(); PLACES - 1].map(|()| connect());
    let mut drip = connect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let greeting = [0x16, 3, 1, 0x3F, 0xFF, 1].into_iter().chain(std::iter::repeat(0));
            for byte in greeting {
                if drip.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        site.put_in("meanwhile.png", &film(1, ImageFormat::Png));
        unit.wait_for("reading 1 of");
        for socket in silent {
            assert_eq!(ended(socket), b"", "nothing is said without TLS");
        }
    });
    // A crowd: whoever finds no place is closed, and the inbox is read all the same.
    let crowd: Vec<TcpStream> = (0..300).map(|_| connect()).collect();
    site.put_in("crowd.png", &film(2, ImageFormat::Png));
    unit.wait_for("reading 2 of");
    crowd.into_iter().for_each(|socket| assert_eq!(ended(socket), b""));
    // And whoever behaves is served.
    let own = authority.sign(&site.path("."), "xray", &authority);
    let mut peer = Peer::connect_by_tls(port, tls::client(&own.tls()).unwrap()).unwrap();
    assert_eq!(peer.store(&instance(1)), Some(0));
    peer.release();
    unit.wait_for("reading 3 of");
    let status = fs::read_to_string(format!("/proc/{}/status", unit.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    println!("peak memory of a unit with {PLACES} places and 300 connections under TLS: {peak}");
    let kib: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 256 << 10, "{peak}");
    unit.stop();
}

#[test]
fn files_that_cannot_be_used_are_a_fault_that_says_what_to_do_until_they_can_and_the_inbox_is_read() {
    let authority = Authority::new("site");
    let site = Site::new("");
    let port = free_port();
    let files = authority.sign(&site.path("."), "unit", &authority);
    let other = authority.sign(&site.path("."), "other", &authority);
    configure(&site, &configuration(port, "", &files.section()));
    let check = || {
        let output = site.command(&["check"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let key = fs::read(&files.key).unwrap();
    fs::create_dir(site.path("state")).unwrap();
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("peers must show a certificate of"), "{said}");

    let write = |path: &std::path::Path, bytes: &[u8]| fs::write(path, bytes).unwrap();
    let mode = |mode| fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
    let whole = fs::read(&files.certificate).unwrap();
    let broken: [(&dyn Fn(), &str); 5] = [
        (&|| mode(0o640), "may be read by others than its owner; run: chmod 600"),
        (&|| write(&files.key, &fs::read(&other.key).unwrap()), "unit.pem of [dicom.tls] cannot be used: keys may not"),
        (&|| write(&files.key, b"no key"), "has no private key without a password in PEM form"),
        (&|| write(&files.certificate, b""), "unit.pem of [dicom.tls] has no certificate in PEM form"),
        (&|| fs::remove_file(&files.peer_ca).unwrap(), "unit.ca.pem of [dicom.tls] cannot be read: No such file"),
    ];
    let ca = fs::read(&files.peer_ca).unwrap();
    let mend = || {
        mode(0o600);
        write(&files.key, &key);
        write(&files.certificate, &whole);
        write(&files.peer_ca, &ca);
    };
    for (break_it, told) in broken {
        break_it();
        let (code, said) = check();
        assert!(code == Some(1) && said.contains(told), "{told}: {said}");
        mend();
    }

    mode(0o640);
    let mut unit = site.start();
    unit.wait_for("run: chmod 600");
    site.put_in("film.png", &film(1, ImageFormat::Png));
    unit.wait_for("reading 1 of");
    assert!(Peer::connect(port).is_err(), "it does not listen without TLS instead");
    mend();
    wait_until_listening(&site);
    let peer = Peer::connect_by_tls(port, tls::client(&other.tls()).unwrap()).unwrap();
    peer.release();
    unit.stop();
}

/// Two units: one takes the results of the other, as an archive does.
#[test]
fn results_go_by_tls_to_an_archive_that_proves_itself_and_to_no_other() {
    let (authority, stranger) = (Authority::new("site"), Authority::new("stranger"));
    let port = free_port();
    let archive = Site::new("");
    let files = authority.sign(&archive.path("."), "archive", &authority);
    configure(&archive, &configuration(port, "", &files.section()));
    let at_archive = archive.start();
    wait_until_listening(&archive);

    let site = Site::new("");
    let folder = site.path(".");
    let own_port = free_port();
    let with = |files: &Files| {
        let pacs = format!("[dicom.pacs]\nae_title = 'CHESTLIGHT'\nhost = 'localhost'\nport = {port}\n");
        let text = configuration(own_port, "", &format!("{pacs}calling_ae_title = 'PEER'\n{}", files.section()));
        configure(&site, &text);
    };
    fs::create_dir(site.path("state")).unwrap();
    for (name, files, told) in [
        ("an archive of somebody else", authority.sign(&folder, "a", &stranger), "UnknownIssuer"),
        ("an archive that does not know this unit", stranger.sign(&folder, "b", &authority), "UnknownCA"),
        ("a certificate that has expired", authority.sign_expired(&folder, "c", &authority), "CertificateExpired"),
    ] {
        with(&files);
        let check = site.command(&["check"]).output().unwrap();
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.code() == Some(1) && said.contains(told), "{name}: {said}");
    }
    with(&authority.sign(&folder, "unit", &authority));
    let check = site.command(&["check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));

    let unit = site.start();
    wait_until_listening(&site);
    let own = authority.sign(&folder, "xray", &authority);
    let mut peer = Peer::connect_by_tls(own_port, tls::client(&own.tls()).unwrap()).unwrap();
    let sent = instance(1);
    assert_eq!(peer.store(&sent), Some(0));
    peer.release();
    archive.wait_until(|| archive.rows().len() == 1);
    unit.stop();
    at_archive.stop();
    assert_eq!(archive.rows()[0].study_uid.as_ref(), Some(&sent.study), "the capture has come");
}
