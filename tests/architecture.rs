//! The invariants of `docs/architecture.md` that can be read off the sources.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source below a folder or file, without its tests, which stand last or in a `tests.rs`.
fn sources(place: &str) -> Vec<(PathBuf, String)> {
    let place = root().join(place);
    let files: Vec<(PathBuf, String)> = walkdir::WalkDir::new(&place)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
        .filter(|entry| entry.file_name() != "tests.rs")
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            (entry.into_path(), code)
        })
        .collect();
    assert!(!files.is_empty(), "there are no sources at {}", place.display());
    files
}

fn assert_without(places: &[&str], words: &[&str], why: &str) {
    for (path, code) in places.iter().flat_map(|place| sources(place)) {
        for word in words {
            assert!(!code.contains(word), "{} has `{word}`: {why}", path.display());
        }
    }
}

#[test]
fn invariant_3_the_middle_is_pure() {
    let middle = [
        "src/radiograph.rs",
        "src/refusal.rs",
        "src/decode",
        "src/drift.rs",
        "src/explain.rs",
        "src/gate.rs",
        "src/gate",
        "src/preprocess.rs",
        "src/model/engine.rs",
        "src/model/manifest.rs",
        "src/model/outputs.rs",
        "src/verdict.rs",
        "src/phantom.rs",
        // What a camera sees becomes a film before it walks down the road, and that is pure as well.
        "src/intake/camera/format.rs",
        "src/intake/camera/frame.rs",
        "src/intake/camera/mjpg.rs",
        "src/intake/camera/still.rs",
        "src/intake/camera/view.rs",
    ];
    let rim =
        ["std::fs", "std::net", "std::time", "std::env", "std::process", "std::thread", "rustix", "jiff", "rusqlite"];
    assert_without(&middle, &rim, "the middle of the road is pure");
}

#[test]
fn invariant_4_the_trainer_has_no_preprocessing_of_its_own() {
    assert_without(
        &["trainer/src"],
        &["fast_image_resize", "imageops::resize", "image::open", "image::load", "ImageReader", "Decoder"],
        "it calls the library's",
    );
}

#[test]
fn invariant_6_threads_and_not_a_runtime() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for runtime in ["tokio", "async-std", "smol"] {
        assert!(!manifest.contains(runtime), "{runtime}");
    }
    assert_without(&["src"], &["async fn", ".await"], "the daemon is threads and bounded channels");
    let road = ["src/daemon.rs", "src/daemon", "src/intake", "src/show", "src/cmd/run.rs"];
    assert_without(&road, &["mpsc::channel", " channel()", "thread::spawn"], "channels are bounded and threads named");
    let daemon: String = sources("src/daemon.rs").into_iter().map(|(_, code)| code).collect();
    assert_eq!(daemon.matches("enum Event {").count(), 1, "one closed enum of events");
}

/// Rooms with a socket of the machine itself: its name is a file, and no network reaches it.
const LOCAL: [&str; 2] = ["src/control.rs", "src/journald.rs"];

#[test]
fn invariant_8_only_the_named_rooms_open_sockets_and_only_when_the_configuration_asks_for_it() {
    let network = ["TcpListener", "TcpStream", "UdpSocket", "dicom_ul", "ToSocketAddrs"];
    let local = ["UnixListener", "UnixStream", "UnixDatagram"];
    let words = [&network[..], &local].concat();
    let [control, journald] = LOCAL;
    let rooms = ["src/intake/dicom_scp", "src/outbox/send.rs", control, journald].map(|room| root().join(room));
    assert_without(&LOCAL, &network, "it is local");
    for (path, code) in sources("src").into_iter().filter(|(path, _)| !rooms.iter().any(|room| path.starts_with(room)))
    {
        for word in &words {
            assert!(!code.contains(word), "{} has `{word}`, which only {rooms:?} may", path.display());
        }
    }
    // The two are begun in these places alone, and there they need a section that no configuration has by itself.
    for (call, places) in [
        ("Listener::start(", &["src/daemon/reception.rs"][..]),
        ("Outbox::start(", &["src/daemon.rs"]),
        ("outbox::echo(", &["src/cmd/check.rs"]),
    ] {
        for (path, code) in sources("src").into_iter().filter(|(_, code)| code.contains(call)) {
            let place = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            assert!(places.contains(&place.as_str()), "{place} calls {call}");
            assert!(code.contains("config.dicom"), "{place} asks the configuration");
        }
    }
    let least = chestlight::config::Config::parse("inbox = '/a'\nstate = '/b'", Path::new("/")).unwrap();
    assert_eq!(least.dicom, None, "off by default");
}

#[test]
fn rooms_have_typed_errors_and_anyhow_stays_in_the_commands() {
    let rooms: Vec<(PathBuf, String)> = sources("src")
        .into_iter()
        .filter(|(path, _)| !path.starts_with(root().join("src/cmd")) && !path.ends_with("src/main.rs"))
        .collect();
    for (path, code) in rooms {
        assert!(!code.contains("anyhow"), "{} uses anyhow", path.display());
    }
}
