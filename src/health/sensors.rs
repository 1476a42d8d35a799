//! What the board's own sensors say, from the tree of files that the kernel keeps under `/sys`.
//!
//! A sensor that is absent or answers nonsense is passed over: boards differ, and no film waits for a thermometer.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::{DiscVitals, SharedVitals, space};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// Longest text of a sensor that is read, bytes.
const LONGEST: u64 = 64;
/// Temperatures outside of this are a sensor's way to say that it has none, degrees Celsius.
const POSSIBLE: std::ops::RangeInclusive<f32> = -40.0..=150.0;
/// The bits of `get_throttled` that speak of now: weak supply, capped, slowed, hot (Raspberry Pi firmware). Those above
/// speak of ever since the start.
const NOW: u32 = 0xf;

/// What the sensors say at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sensed {
    /// The hottest thermal zone, degrees Celsius.
    pub celsius: Option<f32>,
    /// Whether anything runs slower than it could, because it is hot or its supply is weak.
    pub throttled: Option<bool>,
    /// Charge of the fullest battery, percent: the unit runs as long as one lasts.
    pub battery_percent: Option<u8>,
}

/// Asks every sensor below `sys`, which is `/sys` on a board.
pub fn sense(sys: &Path) -> Sensed {
    let celsius = folders(&sys.join("class/thermal"), "thermal_zone")
        .filter_map(|zone| number::<f32>(&zone.join("temp")))
        .map(|millidegrees| millidegrees / 1000.0)
        .filter(|celsius| POSSIBLE.contains(celsius))
        .reduce(f32::max);
    let battery_percent = folders(&sys.join("class/power_supply"), "")
        .filter(|supply| text(&supply.join("type")).as_deref() == Some("Battery"))
        // A mouse's battery is not the unit's.
        .filter(|supply| text(&supply.join("scope")).as_deref() != Some("Device"))
        .filter_map(|battery| number::<u8>(&battery.join("capacity")))
        .filter(|percent| *percent <= 100)
        .max();
    Sensed { celsius, throttled: throttled(sys), battery_percent }
}

/// Any of three ways to say it, as boards have them; absent where there is none.
fn throttled(sys: &Path) -> Option<bool> {
    let firmware = folders(&sys.join("devices/platform/soc"), "")
        .filter(|device| device.file_name().is_some_and(|name| name.to_string_lossy().contains("firmware")))
        .filter_map(|firmware| text(&firmware.join("get_throttled")))
        .filter_map(|bits| u32::from_str_radix(bits.trim_start_matches("0x"), 16).ok())
        .map(|bits| bits & NOW != 0);
    let supply = folders(&sys.join("class/hwmon"), "hwmon")
        .filter_map(|sensor| number::<u8>(&sensor.join("in0_lcrit_alarm")))
        .map(|alarm| alarm != 0);
    // Fans are cooling devices too, and a fan that turns slows nothing.
    let cooling = folders(&sys.join("class/thermal"), "cooling_device")
        .filter(|device| text(&device.join("type")).is_some_and(|kind| kind.contains("freq") || kind == "Processor"))
        .filter_map(|device| number::<i64>(&device.join("cur_state")))
        .map(|state| state > 0);
    firmware.chain(supply).chain(cooling).reduce(|any, one| any || one)
}

/// The folders, or links to folders, directly below `place` whose names begin so.
fn folders<'a>(place: &Path, begin: &'a str) -> impl Iterator<Item = PathBuf> + use<'a> {
    let entries = fs::read_dir(place).ok().into_iter().flatten().flatten();
    entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(begin)).map(|entry| entry.path())
}

fn text(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

fn number<N: std::str::FromStr>(file: &Path) -> Option<N> {
    text(file)?.parse().ok()
}

/// A thread that keeps the sensors' part of the vitals, until it is dropped.
#[derive(Debug)]
pub struct Sensors {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl Sensors {
    /// Looks at once and then every few seconds at the disc of `state` and the sensors below `sys`. `min_free` is asked
    /// for the bytes that must stay free; `changed` is called when there is another warning than before.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(
        sys: PathBuf,
        state: PathBuf,
        vitals: SharedVitals,
        min_free: impl Fn() -> u64 + Send + 'static,
        changed: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let look = move || {
            let mut warned = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let Sensed { celsius, throttled, battery_percent } = sense(&sys);
                let disc = space(&state).ok().map(|(free_bytes, total_bytes)| DiscVitals {
                    free_bytes,
                    total_bytes,
                    min_free_bytes: min_free(),
                });
                vitals.update(|vitals| {
                    vitals.feel(celsius);
                    vitals.throttled = throttled;
                    vitals.battery_percent = battery_percent;
                    vitals.disc = disc;
                });
                // What there is to do and not how many degrees it is: a reading that wavers is no news.
                let now = vitals.read().board_warnings().into_iter().map(|warning| warning.advice).collect();
                if now != warned {
                    warned = now;
                    changed();
                }
                thread::park_timeout(PERIOD);
            }
        };
        let thread = thread::Builder::new().name("sensors".into()).spawn(look)?.thread().clone();
        Ok(Self { stop, thread })
    }
}

impl Drop for Sensors {
    fn drop(&mut self) {
        // Not waited for: a sensor behind a bus may hang.
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        sys
    }

    #[test]
    fn sensors_are_read_as_each_board_shows_them() {
        let zone = "class/thermal/thermal_zone0/temp";
        let firmware = "devices/platform/soc/soc:firmware/get_throttled";
        let none = Sensed::default();
        for (board, files, expected) in [
            ("no sensor at all", &[][..], none),
            ("one zone", &[(zone, "48312\n")], Sensed { celsius: Some(48.312), ..none }),
            (
                "the hottest of those that answer",
                &[
                    (zone, "48312\n"),
                    ("class/thermal/thermal_zone1/temp", "51000\n"),
                    ("class/thermal/thermal_zone2/temp", "-256000\n"),
                    ("class/thermal/thermal_zone3/temp", "nonsense"),
                ],
                Sensed { celsius: Some(51.0), ..none },
            ),
            ("Raspberry Pi at ease", &[(firmware, "0\n")], Sensed { throttled: Some(false), ..none }),
            ("a weak supply now", &[(firmware, "50005\n")], Sensed { throttled: Some(true), ..none }),
            ("a weak supply once", &[(firmware, "50000\n")], Sensed { throttled: Some(false), ..none }),
            (
                "the voltage sensor of a newer Raspberry Pi kernel",
                &[("class/hwmon/hwmon1/name", "rpi_volt\n"), ("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")],
                Sensed { throttled: Some(true), ..none },
            ),
            (
                "Jetson: the fan turns and nothing is slowed",
                &[
                    ("class/thermal/cooling_device0/type", "pwm-fan\n"),
                    ("class/thermal/cooling_device0/cur_state", "2\n"),
                    ("class/thermal/cooling_device1/type", "cpufreq-cpu0\n"),
                    ("class/thermal/cooling_device1/cur_state", "0\n"),
                ],
                Sensed { throttled: Some(false), ..none },
            ),
            (
                "Jetson: the GPU is slowed",
                &[
                    ("class/thermal/cooling_device1/type", "cpufreq-cpu0\n"),
                    ("class/thermal/cooling_device1/cur_state", "0\n"),
                    ("class/thermal/cooling_device2/type", "devfreq-17000000.gpu\n"),
                    ("class/thermal/cooling_device2/cur_state", "3\n"),
                ],
                Sensed { throttled: Some(true), ..none },
            ),
            (
                "batteries, one of them a mouse's, and the mains",
                &[
                    ("class/power_supply/BAT0/type", "Battery\n"),
                    ("class/power_supply/BAT0/capacity", "12\n"),
                    ("class/power_supply/mouse/type", "Battery\n"),
                    ("class/power_supply/mouse/scope", "Device\n"),
                    ("class/power_supply/mouse/capacity", "90\n"),
                    ("class/power_supply/AC/type", "Mains\n"),
                ],
                Sensed { battery_percent: Some(12), ..none },
            ),
            (
                "a charge that cannot be",
                &[("class/power_supply/B/type", "Battery"), ("class/power_supply/B/capacity", "250")],
                none,
            ),
        ] {
            assert_eq!(sense(tree(files).path()), expected, "{board}");
        }
    }

    #[test]
    fn a_board_that_gets_hot_is_told_once() {
        let sys = tree(&[("class/thermal/thermal_zone0/temp", "50000")]);
        let vitals = SharedVitals::default();
        let (sender, changes) = sync_channel(8);
        let state = tempfile::tempdir().unwrap();
        let changed = move || sender.send(()).unwrap();
        let sensors = Sensors::start(sys.path().into(), state.path().into(), vitals.clone(), || 0, changed).unwrap();
        fs::write(sys.path().join("class/thermal/thermal_zone0/temp"), "91000").unwrap();
        sensors.thread.unpark();
        changes.recv_timeout(Duration::from_secs(60)).unwrap();
        let told = vitals.read();
        assert_eq!(told.celsius, Some(91.0));
        assert!(told.disc.unwrap().total_bytes > 0);
        assert!(told.board_warnings()[0].wrong.contains("91"), "{:?}", told.board_warnings());
        drop(sensors);
        assert!(changes.recv().is_err(), "its thread ends");
    }
}
