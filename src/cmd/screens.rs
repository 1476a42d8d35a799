//! `chestlight screens`: every state of a screen as a picture, for people who choose one and for the tests.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use chestlight::config::{FilmTag, SceneSettings};
use chestlight::digest;
use chestlight::explain::{HeatMap, Picture};
use chestlight::health::{DiscVitals, FaultVitals, PartVitals, Vitals};
use chestlight::journal::{Entry, Journal, Row};
use chestlight::language::Language;
use chestlight::model::{ClassMap, Manifest, shipped};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::reading::{Milliseconds, Reading};
use chestlight::refusal::Refusal;
use chestlight::show::scene::Scene;
use chestlight::show::text::Typesetter;
use chestlight::show::told::Told;
use chestlight::show::{NOTICE, Status};
use chestlight::verdict::{Class, Fault, Probabilities, Verdict};
use embedded_graphics::draw_target::DrawTargetExt as _;
use embedded_graphics::geometry::Size;
use jiff::civil::date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::{Failure, Outcome, usage};

/// Draw every state of a screen as PNG files, with synthetic films
///
/// What the pictures say of the films means nothing; they show what a unit's screen looks like.
#[derive(clap::Args)]
pub struct Arguments {
    /// Size of the screen, pixels; 128x64 is drawn as on a small OLED, enlarged
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "800x480", value_parser = size)]
    size: Size,
    /// Language: en, fr, es, sw or hi
    #[arg(long, default_value = "en", value_parser = language)]
    language: Language,
    /// Folder for the pictures; made when it does not exist
    #[arg(value_name = "OUT_DIR")]
    out: PathBuf,
}

const OLED: Size = Size::new(128, 64);
/// Each of the OLED's pixels as so many of the picture's.
const ENLARGED: u32 = 4;

fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    match sides {
        Some((128, 64)) => Ok(OLED),
        Some((width @ 240..=4096, height @ 240..=4096)) => Ok(Size::new(width, height)),
        _ => Err("a size is 128x64, or 240x240 to 4096x4096".into()),
    }
}

fn language(code: &str) -> Result<Language, String> {
    Language::from_code(code).ok_or_else(|| {
        let codes = Language::ALL.map(Language::code).join(", ");
        format!("{code:?} is none of {codes}")
    })
}

/// Draws all of them.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let Arguments { size, language, out } = arguments;
    let folder = || format!("the folder {} cannot be written", out.display());
    fs::create_dir_all(out).with_context(folder).map_err(usage)?;
    let mut words = Typesetter::default();
    let states = states()?;
    for State { name, told, vitals, film, on, now, dim_after } in &states {
        let scene = Scene {
            told,
            vitals,
            settings: SceneSettings { language: *language, film: *film, dim_after: *dim_after },
            clock: date(2026, 11, 25).at(14, 32, 0, 0).to_zoned_datetime(TimeZone::UTC).context("no time")?,
            now: *now,
            on: *on,
        };
        let picture = if *size == OLED { oled(&scene, &mut words) } else { colour(&scene, *size, &mut words) };
        let file = out.join(format!("{name}.png"));
        fs::write(&file, picture.png().context("a picture cannot be encoded")?).with_context(folder).map_err(usage)?;
    }
    println!("{} screens are in {} ({NOTICE})", states.len(), out.display());
    Ok(Outcome::Well)
}

fn colour(scene: &Scene<'_>, size: Size, words: &mut Typesetter) -> Picture {
    let mut picture = Picture::new(size.width, size.height);
    let Ok(()) = scene.draw(words, &mut picture);
    picture
}

fn oled(scene: &Scene<'_>, words: &mut Typesetter) -> Picture {
    let mut picture = Picture::new(OLED.width, OLED.height);
    let Ok(()) = scene.draw_mono(words, &mut picture.color_converted());
    let enlarged =
        |pixels: &[u8]| -> Vec<u8> { pixels.chunks(3).flat_map(|pixel| pixel.repeat(ENLARGED as usize)).collect() };
    let rows = picture.rgb.chunks(OLED.width as usize * 3);
    let rgb = rows.flat_map(|pixels| enlarged(pixels).repeat(ENLARGED as usize)).collect();
    Picture { width: OLED.width * ENLARGED, height: OLED.height * ENLARGED, rgb }
}

/// A state of a unit with what a screen was told of it.
struct State {
    name: String,
    told: Told,
    vitals: Vitals,
    film: FilmTag,
    on: Duration,
    now: Instant,
    dim_after: Option<Duration>,
}

impl State {
    fn new(name: &str, told: &Told, vitals: Vitals, now: Instant) -> Self {
        let (name, told) = (name.to_owned(), told.clone());
        Self { name, told, vitals, film: FilmTag::Number, on: Duration::ZERO, now, dim_after: None }
    }
}

fn states() -> anyhow::Result<Vec<State>> {
    let now = Instant::now();
    let readings = readings()?;
    let mut before = Told::new(now);
    let mut states = vec![State::new("starting", &before, vitals(), now)];
    before.tell(&Status::Ready, now);
    states.push(State::new("ready", &before, vitals(), now));
    for (name, row) in &readings {
        before.tell(&Status::Recorded(row.clone()), now);
        if let Some((class, _)) = row.probabilities().map(Probabilities::top) {
            before.picture(row.seq, Arc::new(film(class)?));
        }
        states.push(State::new(name, &before, vitals(), now));
    }
    let with = |status: Status| {
        let mut told = before.clone();
        told.tell(&status, now);
        told
    };
    let [(_, normal), (_, bacterial), ..] = &readings;
    let again = with(Status::AlreadyRecorded(bacterial.clone()));
    let named = State { film: FilmTag::FileName, ..State::new("again", &again, vitals(), now) };
    let name = "ward 3/film-0412.dcm".to_owned();
    let reading = with(Status::Reading { name, digest: "7c2a91e4".into() });
    let (wrong, advice) = (
        "the inbox /var/lib/chestlight/inbox cannot be looked at: No such file or directory",
        "connect or make it; the unit looks again by itself",
    );
    let fault = with(Status::Fault { wrong: wrong.into(), advice });
    let faults = vec![FaultVitals { wrong: wrong.into(), advice: advice.into() }];
    let later = now + Duration::from_secs(3_600);
    let drift = Some("22 of the last 60 films were refused, 3 were expected".to_owned());
    states.extend([
        named,
        State::new("reading", &reading, Vitals { waiting: 3, ..vitals() }, now),
        State::new("fault", &fault, Vitals { faults: faults.clone(), ..vitals() }, now),
        State::new("fault-goes-on", &with(Status::Recorded(normal.clone())), Vitals { faults, ..vitals() }, now),
        State::new("check", &before, Vitals { drift, ..vitals() }, later),
        State::new("warnings", &before, alarming(), later),
        State { dim_after: Some(Duration::from_secs(60)), ..State::new("dimmed", &before, vitals(), later) },
        State::new("stopped", &with(Status::Stopped), vitals(), now),
    ]);
    Ok(states)
}

/// A unit without troubles.
fn vitals() -> Vitals {
    Vitals {
        disc: Some(DiscVitals { free_bytes: 41_300_000_000, total_bytes: 62_000_000_000, min_free_bytes: 268_435_456 }),
        celsius: Some(52.0),
        battery_percent: Some(78),
        clock_trusted: true,
        ..Vitals::default()
    }
}

/// A unit with all of them.
fn alarming() -> Vitals {
    let broken = |name: &str| PartVitals { name: name.into(), wrong: Some("it is gone".into()) };
    Vitals {
        disc: Some(DiscVitals { free_bytes: 301_000_000, total_bytes: 62_000_000_000, min_free_bytes: 268_435_456 }),
        celsius: Some(84.0),
        hot: true,
        throttled: Some(true),
        battery_percent: Some(9),
        camera: Some(broken("camera")),
        displays: vec![broken("lamps")],
        ..Vitals::default()
    }
}

/// A recorded reading of every verdict, made up.
fn readings() -> anyhow::Result<[(&'static str, Row); 6]> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut journal = Journal::open(&folder.path().join("journal.db")).context("no journal")?;
    let model = Manifest::parse(&shipped().manifest).context("the shipped model's manifest")?;
    let read = |verdict, [normal, bacterial, covid19]: [f32; 3]| Reading {
        verdict,
        message: String::new(),
        probabilities: Some(Probabilities { normal, bacterial, covid19 }),
        distance: None,
        map: None,
        ms: Milliseconds::default(),
        origin: None,
    };
    let fault =
        Reading { verdict: Verdict::Fault(Fault::Engine), probabilities: None, ..read(Verdict::Refer, [0.0; 3]) };
    let readings = [
        ("normal", read(Verdict::Normal, [0.962, 0.035, 0.003])),
        ("bacterial", read(Verdict::BacterialPneumonia, [0.04, 0.87, 0.09])),
        ("covid19", read(Verdict::Covid19Pneumonia, [0.02, 0.07, 0.91])),
        ("refer", read(Verdict::Refer, [0.34, 0.47, 0.19])),
        ("repeat", Reading::refused(Refusal::CutOff, "")),
        ("film-fault", fault),
    ];
    let mut rows = Vec::new();
    for (place, (name, reading)) in readings.iter().enumerate() {
        let digest = digest::hex(&Sha256::digest(name));
        let entry = Entry {
            input_digest: &digest,
            file_name: &format!("ward 3/film-{:04}.dcm", 406 + place),
            taken_at: SystemTime::UNIX_EPOCH,
            reading,
            patient_hash: None,
            model: &model,
        };
        let mut row = journal.append(&entry).context("the made-up journal")?;
        // The pictures are the same on every day.
        row.recorded_at = format!("2026-11-25T14:{:02}:00Z", 20 + 2 * place);
        rows.push((*name, row));
    }
    rows.try_into().map_err(|_| anyhow!("six rows"))
}

/// A synthetic film under a made-up map.
fn film(class: Class) -> anyhow::Result<Picture> {
    let (opacity, warm) = match class {
        Class::Normal => (Opacity::None, [(2, 3, 2.0), (4, 3, 1.8)]),
        Class::Bacterial => (Opacity::Focal, [(4, 4, 5.0), (4, 3, 3.0)]),
        Class::Covid19 => (Opacity::Diffuse, [(1, 4, 4.2), (5, 4, 4.6)]),
    };
    let mut values = vec![0.0; 3 * 49];
    for (column, row, logits) in warm {
        if let Some(value) = values.get_mut(class as usize * 49 + row * 7 + column) {
            *value = logits;
        }
    }
    let map = ClassMap::new(7, 7, values).context("the made-up map")?;
    let model = Manifest::parse(&shipped().manifest).context("the shipped model's manifest")?;
    let film = Phantom::new(4, opacity).render()?;
    Ok(HeatMap::new(&film, &model.input, &map, class)?.over_film())
}
