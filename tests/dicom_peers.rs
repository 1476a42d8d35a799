//! The unit among the programs of other makers: dcmtk (`echoscu`, `storescu`, `dcmsend`, `dsrdump`), Orthanc as the
//! archive, and `dciodvfy` of dicom3tools. `.ci/run` installs them; where they are absent each test says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_peer;
mod real_films;
mod running_unit;
mod skipping;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dicom_peer::{Peer, configuration, free_port, instance, recorded};
use running_unit::{Site, Unit};
use rustix::process::Signal;
use serde_json::{Value, json};
use skipping::skip;

/// Whether these programs are installed; where not, the line that says so has been printed.
fn installed(programs: &[&str], test: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&paths).chain(["/usr/sbin".into()]).collect();
    let absent: Vec<&&str> =
        programs.iter().filter(|program| !folders.iter().any(|folder| folder.join(program).is_file())).collect();
    if !absent.is_empty() {
        skip(test, &format!("not installed: {absent:?}"));
    }
    absent.is_empty()
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn start(site: &Site, port: u16) -> Unit {
    let unit = site.start();
    site.wait_until(|| Peer::connect(port).is_ok_and(|mut peer| peer.echo() == Some(0)));
    unit
}

#[test]
fn dcmtk_is_echoed_and_stores_real_films_in_their_own_transfer_syntaxes() {
    let test = "dcmtk_is_echoed_and_stores_real_films_in_their_own_transfer_syntaxes";
    if !installed(&["echoscu", "dcmsend", "storescu"], test) {
        return;
    }
    let port = free_port();
    let site = Site::new(&configuration(port, "", ""));
    let unit = start(&site, port);
    let number = port.to_string();
    let to_unit = ["-aet", "PEER", "-aec", "CHESTLIGHT", "127.0.0.1", &number];
    let echo = run("echoscu", &to_unit);
    assert!(echo.status.success(), "{}", said(&echo));
    let stranger = run("echoscu", &["-aet", "STRANGER", "-aec", "CHESTLIGHT", "127.0.0.1", &number]);
    assert!(!stranger.status.success() && said(&stranger).contains("Calling AE Title Not Recognized"));

    let mut sent = 0;
    if let Some(folder) = real_films::folder("dicom", test) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let film = entry.path().display().to_string();
            let send = run("dcmsend", &[&["--decompress-never"], &to_unit[..], &[&film]].concat());
            assert!(send.status.success(), "{film}: {}", said(&send));
            sent += 1;
        }
    }
    let made = site.path("made.dcm");
    instance(1).write_to(&made);
    let store = run("storescu", &[&to_unit[..], &[made.to_str().unwrap()]].concat());
    assert!(store.status.success(), "{}", said(&store));
    site.wait_until(|| site.rows().len() == sent + 1);
    site.wait_until_settled();
    for row in site.rows() {
        println!("{}: {} {:?}", row.seq, row.verdict, row.reason);
        assert!(
            row.study_uid.is_some() && !matches!(row.reason.as_deref(), Some("damaged" | "unsupported")),
            "{row:?}"
        );
    }
    unit.stop();
}

/// Files that storescu was told Success for, by what it prints.
fn acknowledged(output: &str) -> BTreeSet<String> {
    let mut sending = None;
    let mut acknowledged = BTreeSet::new();
    for line in output.lines() {
        if let Some((_, file)) = line.split_once("Sending file: ") {
            sending = Some(file.trim().to_owned());
        } else if line.contains("Received Store Response (Success)") {
            acknowledged.extend(sending.take());
        }
    }
    acknowledged
}

#[test]
fn of_500_objects_over_8_associations_every_acknowledged_one_is_recorded_once_through_5_kills() {
    const OBJECTS: u64 = 500;
    const ASSOCIATIONS: usize = 8;
    const KILLS: usize = 5;
    if !installed(
        &["storescu"],
        "of_500_objects_over_8_associations_every_acknowledged_one_is_recorded_once_through_5_kills",
    ) {
        return;
    }
    let port = free_port();
    let site = Site::new(&configuration(port, "", ""));
    fs::create_dir(site.path("outgoing")).unwrap();
    let mut uids = BTreeSet::new();
    let files: Vec<String> = (0..OBJECTS)
        .map(|seed| {
            let (instance, path) = (instance(seed), site.path(&format!("outgoing/{seed:03}.dcm")));
            instance.write_to(&path);
            uids.insert(instance.uid);
            path.display().to_string()
        })
        .collect();
    let done = Mutex::new(BTreeSet::<String>::new());
    let interrupted = AtomicUsize::new(0);
    let mut unit = start(&site, port);
    thread::scope(|scope| {
        for share in files.chunks(files.len().div_ceil(ASSOCIATIONS)) {
            let (done, interrupted) = (&done, &interrupted);
            scope.spawn(move || {
                let mut left: Vec<&String> = share.iter().collect();
                while !left.is_empty() {
                    let mut command = Command::new("storescu");
                    command.args(["-v", "-aet", "PEER", "-aec", "CHESTLIGHT", "127.0.0.1", &port.to_string()]);
                    let output = command.args(&left).stdin(Stdio::null()).output().unwrap();
                    let acknowledged = acknowledged(&said(&output));
                    left.retain(|file| !acknowledged.contains(*file));
                    done.lock().unwrap().extend(acknowledged);
                    if !left.is_empty() {
                        interrupted.fetch_add(1, Ordering::Relaxed);
                        // The unit is being started again.
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            });
        }
        for kill in 1..=KILLS {
            // By what is in the journal and not by what storescu prints at its end: the kill comes amid its objects.
            site.wait_until(|| site.rows().len() >= kill * 8);
            unit.signal(Signal::KILL);
            unit.wait_for_end();
            unit = start(&site, port);
        }
    });
    site.wait_until_settled();
    unit.stop();
    println!("{KILLS} kills broke off {} associations", interrupted.into_inner());
    assert_eq!(done.into_inner().unwrap().len(), files.len(), "each was answered with Success in the end");
    let recorded = recorded(&site);
    assert_eq!(recorded.len(), files.len(), "none is recorded twice");
    assert_eq!(BTreeSet::from_iter(recorded), uids, "and each is recorded");
    assert!(site.command(&["log", "verify"]).output().unwrap().status.success());
}

/// A program that runs as long as the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With certificates by the commands of docs/dicom-network.md.
#[test]
fn dcmtk_is_served_by_tls_if_it_shows_a_certificate_and_takes_results_by_tls() {
    let programs = ["echoscu", "storescu", "storescp", "openssl"];
    if !installed(&programs, "dcmtk_is_served_by_tls_if_it_shows_a_certificate_and_takes_results_by_tls") {
        return;
    }
    let (port, archive) = (free_port(), free_port());
    let pacs = format!("[dicom.pacs]\nae_title = 'PACS'\nhost = 'localhost'\nport = {archive}\n");
    let tls = "[dicom.tls]\ncertificate = 'unit.pem'\nkey = 'unit.key'\npeer_ca = 'site-ca.pem'\n";
    let site = Site::new(&configuration(port, "", &format!("{pacs}{tls}")));
    let here = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).current_dir(site.path(".")).stdin(Stdio::null()).output().unwrap()
    };
    let docs = include_str!("../docs/dicom-network.md");
    let commands =
        docs.split("```").find_map(|block| block.strip_prefix("sh\n").filter(|it| it.starts_with("openssl")));
    let commands = commands.unwrap().replace("DNS:unit,IP:192.168.10.5", "DNS:localhost");
    let (own_authority, own_certificate) = commands.split_at(commands.find("openssl req -newkey").unwrap());
    let made = here("sh", &["-ec", own_authority]);
    assert!(made.status.success(), "{}", said(&made));
    for name in ["unit", "xray", "archive"] {
        let made = here("sh", &["-ec", &own_certificate.replace("unit", name)]);
        assert!(made.status.success(), "{}", said(&made));
    }
    fs::create_dir(site.path("received")).unwrap();
    let certificate = |name: &str| ["+tls".into(), format!("{name}.key"), format!("{name}.pem")];
    let storescp = Command::new("storescp")
        .args(certificate("archive"))
        .args(["+cf", "site-ca.pem", "-rc", "-aet", "PACS", "-od", "received", &archive.to_string()])
        .current_dir(site.path("."))
        .stdin(Stdio::null())
        .spawn();
    let _storescp = Running(storescp.unwrap());

    let unit = site.start();
    site.wait_until(|| site.log().contains("DICOM is received at"));
    let number = port.to_string();
    let to_unit = ["-aet", "PEER", "-aec", "CHESTLIGHT", "localhost", &number];
    let own = certificate("xray");
    let own = [&own[0], &own[1], &own[2], "+cf", "site-ca.pem"];
    for (name, tls, served) in [
        ("with a certificate", &own[..], true),
        ("without one", &["+tla", "+cf", "site-ca.pem"], false),
        ("without TLS", &[], false),
    ] {
        let echo = here("echoscu", &[tls, &to_unit].concat());
        assert_eq!(echo.status.success(), served, "{name}: {}", said(&echo));
    }
    instance(1).write_to(&site.path("made.dcm"));
    let store = here("storescu", &[&own[..], &to_unit, &["made.dcm"]].concat());
    assert!(store.status.success(), "{}", said(&store));
    let received = || fs::read_dir(site.path("received")).unwrap().count();
    site.wait_until(|| received() == 2);
    unit.stop();
}

#[test]
fn an_exported_film_is_sound_and_names_nobody_to_dcmtk_and_dicom3tools() {
    if !installed(&["dcmdump", "dciodvfy"], "an_exported_film_is_sound_and_names_nobody_to_dcmtk_and_dicom3tools") {
        return;
    }
    let port = free_port();
    let site = Site::new(&configuration(port, "", ""));
    let mut unit = start(&site, port);
    let film = instance(1);
    assert_eq!(Peer::connect(port).unwrap().store(&film), Some(0));
    unit.wait_for("reading 1 of");
    unit.stop();
    let out = site.path("out");
    let export = site.command(&["export", "--deidentify", "--out", out.to_str().unwrap()]).output().unwrap();
    assert_eq!(export.status.code(), Some(0), "{}", said(&export));
    let copy = fs::read_dir(out).unwrap().next().unwrap().unwrap().path().display().to_string();
    let dump = said(&run("dcmdump", &[&copy]));
    println!("{dump}");
    for word in ["SECRET", "19800101", "20261125", &film.uid, &film.study, "phantoms", "REFERRER"] {
        assert!(!dump.contains(word), "{word}");
    }
    for word in ["(0012,0062) CS [YES]", "[113100]", "(0008,0020) DA (no value available)"] {
        assert!(dump.contains(word), "{word}");
    }
    let verified = said(&run("dciodvfy", &[&copy]));
    println!("{verified}");
    assert!(!verified.contains("Error"), "{verified}");
}

/// An Orthanc that runs as long as the test.
struct Orthanc {
    _running: Running,
    http: u16,
}

impl Orthanc {
    fn start(site: &Site, dicom: u16, unit: u16) -> Self {
        let http = free_port();
        let storage = site.path("orthanc");
        fs::create_dir(&storage).unwrap();
        let config = json!({
            "Name": "archive", "DicomAet": "ORTHANC", "DicomPort": dicom, "HttpPort": http,
            "StorageDirectory": storage, "IndexDirectory": storage, "Plugins": [],
            "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
            "DicomModalities": { "unit": ["CHESTLIGHT", "127.0.0.1", unit] },
        });
        fs::write(site.path("orthanc.json"), config.to_string()).unwrap();
        let log = File::create(site.path("orthanc.log")).unwrap();
        let program = if Path::new("/usr/sbin/Orthanc").exists() { "/usr/sbin/Orthanc" } else { "Orthanc" };
        let child = Command::new(program)
            .args(["--verbose", site.path("orthanc.json").to_str().unwrap()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let orthanc = Self { _running: Running(child), http };
        site.wait_until(|| orthanc.ask("GET", "/system", b"").is_some());
        orthanc
    }

    /// The body of an answer with status 200.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).ok()?;
        write!(socket, "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len()).ok()?;
        socket.write_all(body).ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
        let is_good = answer.starts_with(b"HTTP/1.") && answer.get(9..12) == Some(b"200");
        is_good.then(|| answer.split_off(end + 4))
    }

    fn json(&self, method: &str, path: &str, body: &[u8]) -> Value {
        serde_json::from_slice(&self.ask(method, path, body).unwrap_or_default()).unwrap_or_default()
    }

    /// The series of a study: modality and the archive's number of its first image.
    fn series(&self, study: &str) -> Vec<(String, String)> {
        let query = json!({ "Level": "Series", "Expand": true, "Query": { "StudyInstanceUID": study } }).to_string();
        let found = self.json("POST", "/tools/find", query.as_bytes());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let series = found.as_array().cloned().unwrap_or_default();
        series.iter().map(|it| (text(&it["MainDicomTags"]["Modality"]), text(&it["Instances"][0]))).collect()
    }
}

#[test]
fn an_archive_gets_report_and_capture_into_the_study_of_each_film_also_after_it_was_away_and_the_unit_was_killed() {
    let programs = ["Orthanc", "dsrdump", "dciodvfy"];
    if !installed(
        &programs,
        "an_archive_gets_report_and_capture_into_the_study_of_each_film_also_after_it_was_away_and_the_unit_was_killed",
    ) {
        return;
    }
    let (port, archive) = (free_port(), free_port());
    let pacs = format!("[dicom.pacs]\nae_title = 'ORTHANC'\nhost = '127.0.0.1'\nport = {archive}\n");
    let site = Site::new(&configuration(port, "", &pacs).replace("['PEER']", "['PEER', 'ORTHANC']"));
    let mut unit = start(&site, port);
    // The archive is away, and the unit is killed with a result in its outbox.
    let first = instance(1);
    assert_eq!(Peer::connect(port).unwrap().store(&first), Some(0));
    unit.wait_for("reading 1 of");
    site.wait_until(|| site.log().contains("results wait behind reading 0"));
    unit.signal(Signal::KILL);
    unit.wait_for_end();
    let unit = start(&site, port);
    let orthanc = Orthanc::start(&site, archive, port);
    site.wait_until(|| orthanc.series(&first.study).len() == 2);

    // The archive sends a film to the unit and gets its results back.
    let second = instance(2);
    second.write_to(&site.path("second.dcm"));
    let uploaded = orthanc.json("POST", "/instances", &fs::read(site.path("second.dcm")).unwrap());
    let id = uploaded["ID"].as_str().unwrap();
    assert!(orthanc.ask("POST", "/modalities/unit/store", id.as_bytes()).is_some(), "the unit took it");
    site.wait_until(|| orthanc.series(&second.study).len() == 3);

    let mut series = orthanc.series(&second.study);
    series.sort();
    let modalities: Vec<&str> = series.iter().map(|(modality, _)| modality.as_str()).collect();
    assert_eq!(modalities, ["CR", "OT", "SR"]);
    for (modality, id) in &series[1..] {
        let file = site.path(&format!("{modality}.dcm"));
        fs::write(&file, orthanc.ask("GET", &format!("/instances/{id}/file"), b"").unwrap()).unwrap();
        let verified = said(&run("dciodvfy", &[file.to_str().unwrap()]));
        println!("dciodvfy {modality}:\n{verified}");
        assert!(!verified.contains("Error"), "{modality}: {verified}");
        let tags = orthanc.json("GET", &format!("/instances/{id}/simplified-tags"), b"");
        assert_eq!(tags["PatientName"], "SECRETNAME^TEST", "the patient of the film");
        assert_eq!(tags["PatientID"], "SECRET-ID-77");
        assert_eq!(tags["AccessionNumber"], "A7");
    }
    let report = run("dsrdump", &["+Pl", "+Pu", site.path("SR.dcm").to_str().unwrap()]);
    let report = said(&report);
    println!("{report}");
    let row = site.rows().into_iter().find(|row| row.seq == 2).unwrap();
    for words in ["not a diagnosis", "chestlight", &row.model_digest, row.verdict().unwrap().words(), &second.uid] {
        assert!(report.contains(words), "`{words}` is not in the report:\n{report}");
    }
    assert!(!site.log().contains("SECRET"), "the log names nobody");
    unit.stop();
}
