//! A unit that reads film after film: does it keep memory, descriptors or threads?
//!
//! A run of the tests reads a few. `CHESTLIGHT_SOAK_READINGS=20000 CHESTLIGHT_SOAK_OUT=DIR` reads that many and leaves
//! `soak.csv` and `soak.svg` in the folder (docs/performance.md).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use image::ImageFormat;
use running_unit::{Site, film};

/// Readings where nobody asks for more.
const FEW: u64 = 20;
/// Windows that the readings are cut into, each a point on the curves.
const WINDOWS: u64 = 10;
const MOST_WINDOWS: u64 = 100;

/// The unit after a window of readings.
struct Sample {
    readings: u64,
    /// Resident memory, KiB.
    rss: u64,
    descriptors: u64,
    threads: u64,
    /// From the film in the inbox to the verdict on the terminal, milliseconds: half, 95 and 99 of 100, all.
    latency: [f64; 4],
}

const COLUMNS: [&str; 8] = ["readings", "rss_kib", "descriptors", "threads", "p50_ms", "p95_ms", "p99_ms", "most_ms"];

impl Sample {
    fn take(id: u32, readings: u64, mut latencies: Vec<f64>) -> Self {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
        };
        latencies.sort_by(f64::total_cmp);
        let at = |part: f64| latencies[(part * (latencies.len() - 1) as f64).round() as usize];
        Self {
            readings,
            rss: number("VmRSS"),
            descriptors: fs::read_dir(format!("/proc/{id}/fd")).unwrap().count() as u64,
            threads: number("Threads"),
            latency: [0.5, 0.95, 0.99, 1.0].map(at),
        }
    }

    fn values(&self) -> [f64; 8] {
        let [p50, p95, p99, most] = self.latency;
        let counts = [self.readings, self.rss, self.descriptors, self.threads].map(|count| count as f64);
        let [readings, rss, descriptors, threads] = counts;
        [readings, rss, descriptors, threads, p50, p95, p99, most]
    }
}

#[test]
fn memory_descriptors_and_threads_stay_level_over_many_readings() {
    let readings = env::var("CHESTLIGHT_SOAK_READINGS").map_or(FEW, |number| number.parse().unwrap());
    let windows = if readings > FEW { MOST_WINDOWS } else { WINDOWS };
    let site = Site::new("");
    let mut unit = site.start();
    unit.wait_until_ready();
    let mut samples: Vec<Sample> = Vec::new();
    let mut latencies = Vec::new();
    for reading in 1..=readings {
        let bytes = film(reading, ImageFormat::Png);
        let begun = Instant::now();
        site.put_in(&format!("{reading}.png"), &bytes);
        unit.wait_for(&format!("reading {reading} of"));
        latencies.push(begun.elapsed().as_secs_f64() * 1e3);
        unit.shown.clear();
        if reading % (readings / windows).max(1) == 0 {
            samples.push(Sample::take(unit.id(), reading, std::mem::take(&mut latencies)));
            // As a clinic moves films to another disc: the run needs no more room than a window's films.
            for file in
                ["state/archive", "state/refused"].iter().flat_map(|folder| fs::read_dir(site.path(folder)).unwrap())
            {
                let file = file.unwrap();
                // What begins with a dot the unit is about to rename.
                if !file.file_name().to_string_lossy().starts_with('.') {
                    fs::remove_file(file.path()).unwrap();
                }
            }
        }
    }
    if let Ok(out) = env::var("CHESTLIGHT_SOAK_OUT") {
        let out = Path::new(&out);
        fs::create_dir_all(out).unwrap();
        fs::write(out.join("soak.csv"), csv(&samples)).unwrap();
        fs::write(out.join("soak.svg"), svg(&samples)).unwrap();
    }
    assert!(site.command(&["log", "verify"]).status().unwrap().success());
    unit.stop();

    // What a start builds up is there by the first quarter.
    let settled = &samples[samples.len() / 4..];
    let (first, last) = (&settled[0], settled.last().unwrap());
    let table = csv(&samples);
    // One may be open at the moment of looking, and closed in the next.
    assert!(last.descriptors <= first.descriptors + 1, "descriptors grow:\n{table}");
    assert!(last.threads <= first.threads, "threads grow:\n{table}");
    let grown = last.rss.saturating_sub(first.rss);
    assert!(grown < 16 * 1024, "memory grows by {grown} KiB:\n{table}");
}

fn csv(samples: &[Sample]) -> String {
    let mut lines = COLUMNS.join(",") + "\n";
    for sample in samples {
        let values = sample.values().map(|value| format!("{:.1}", value).trim_end_matches(".0").to_owned());
        lines += &(values.join(",") + "\n");
    }
    lines
}

/// Four small charts, one under the other, each from 0 to a little above its most.
fn svg(samples: &[Sample]) -> String {
    const CHARTS: [(&str, &[usize], f64); 4] = [
        ("resident memory, MiB", &[1], 1.0 / 1024.0),
        ("open descriptors", &[2], 1.0),
        ("threads", &[3], 1.0),
        ("latency, ms: half (dark), 95 and 99 of 100 readings", &[4, 5, 6], 1.0),
    ];
    const COLOURS: [&str; 3] = ["#1b4965", "#d98e04", "#b0413e"];
    let (width, height, left, plot) = (760.0, 130.0, 60.0, 80.0);
    let end = samples.last().map_or(1.0, |sample| sample.values()[0]);
    let all = height * CHARTS.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {all}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{all}\" fill=\"#fff\"/>\n"
    );
    for (chart, (title, columns, scale)) in CHARTS.into_iter().enumerate() {
        let top = chart as f64 * height + 30.0;
        let values = |column: usize| samples.iter().map(move |sample| sample.values()[column] * scale);
        let most = columns.iter().flat_map(|column| values(*column)).fold(0.0, f64::max) * 1.15;
        let bottom = top + plot;
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\">{title}</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most:.0}</text>\n\
             <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\n\
             <path d=\"M{left} {top}V{bottom}H{}\" fill=\"none\" stroke=\"#888\"/>",
            top - 8.0,
            left - 6.0,
            top + 10.0,
            left - 6.0,
            width - 20.0
        );
        for (column, colour) in columns.iter().zip(COLOURS) {
            let points = samples.iter().zip(values(*column)).map(|(sample, value)| {
                let x = left + sample.values()[0] / end * (width - left - 20.0);
                format!("{x:.1},{:.1}", bottom - value / most * plot)
            });
            let points = points.collect::<Vec<_>>().join(" ");
            let _ =
                writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
        }
    }
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">0 to {end} readings</text>\n</svg>", all - 8.0);
    svg
}
