//! A display that scenes are drawn on, by a thread of its own.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;

use super::attended::{Attended, Mailbox};
use super::scene::{Likeness, Scene};
use super::text::Typesetter;
use super::told::Told;
use super::{Indicator, Status};
use crate::config::SceneSettings;
use crate::explain::Picture;
use crate::health::{SharedVitals, Vitals};
use crate::retry::Retry;

/// How often the clock and the vitals are looked at, and whether the display is still there.
const TICK: Duration = Duration::from_secs(5);

/// Something that scenes are drawn on.
pub trait Display {
    /// Whether it is so small that pages take turns on it.
    const HAS_PAGES: bool;

    /// Shows a scene.
    ///
    /// # Errors
    /// It could not be shown; the display is opened anew.
    fn draw(&mut self, scene: &Scene<'_>, words: &mut Typesetter) -> io::Result<()>;

    /// Whether what was drawn is still to be seen.
    ///
    /// # Errors
    /// It is not; the display is opened anew.
    fn check(&mut self) -> io::Result<()>;
}

/// Says on a display that the unit has ended by itself, in place of whatever it showed last: nobody must take that for
/// what a unit at work shows.
///
/// # Errors
/// The display's.
pub fn last_word(display: &mut impl Display, settings: SceneSettings) -> io::Result<()> {
    let now = Instant::now();
    let mut told = Told::new(now);
    told.tell(
        &Status::Fault { wrong: "the unit has ended".into(), advice: "if it does not start by itself, restart it" },
        now,
    );
    let vitals = Vitals { clock_trusted: true, ..Vitals::default() };
    let scene = Scene { told: &told, vitals: &vitals, settings, clock: ZonedDateTime::now(), now, on: Duration::ZERO };
    display.draw(&scene, &mut Typesetter::default())
}

/// An indicator that draws scenes on a display. The display may come and go: it is opened again until it works, and
/// then shows what is to be seen at that time.
pub struct Drawn(Attended<Told>);

impl Drawn {
    /// Starts the thread `name`. It calls `open` at once, and again with growing delays after each failure.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start<D: Display>(
        name: &str,
        settings: SceneSettings,
        vitals: SharedVitals,
        open: impl FnMut() -> io::Result<D> + Send + 'static,
    ) -> io::Result<Self> {
        let artist = Artist { settings, vitals, words: Typesetter::default() };
        let attended = Attended::start(name, Told::new(Instant::now()), move |mailbox| artist.run(mailbox, open))?;
        Ok(Self(attended))
    }
}

impl Indicator for Drawn {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        self.0.tell(|told| told.tell(status, Instant::now()));
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.0.check()
    }

    fn shows_pictures(&self) -> bool {
        true
    }

    fn picture(&mut self, seq: i64, picture: &Arc<Picture>) {
        self.0.tell(|told| told.picture(seq, Arc::clone(picture)));
    }
}

/// The thread's own.
struct Artist {
    settings: SceneSettings,
    vitals: SharedVitals,
    words: Typesetter,
}

impl Artist {
    fn run<D: Display>(mut self, mailbox: &Mailbox<Told>, mut open: impl FnMut() -> io::Result<D>) {
        let began = Instant::now();
        let mut display: Option<D> = None;
        let mut drawn: Option<Likeness> = None;
        let mut retry = Retry::default();
        loop {
            let (told, seen) = mailbox.read(Told::clone);
            let now = Instant::now();
            if display.is_some() || retry.is_due(now) {
                let vitals = self.vitals.read();
                let scene = Scene {
                    told: &told,
                    vitals: &vitals,
                    settings: self.settings,
                    clock: ZonedDateTime::now(),
                    now,
                    on: now.saturating_duration_since(began),
                };
                let shown = self.show(&scene, &mut display, &mut drawn, &mut open);
                match &shown {
                    Ok(()) => retry.succeeded(),
                    Err(_) => {
                        (display, drawn) = (None, None);
                        retry.failed(now);
                    }
                }
                mailbox.report(shown.err().map(|error| error.to_string()));
            }
            if seen.ended {
                return;
            }
            // For news, for the clock, or until a display that failed is to be tried again.
            let tick = Instant::now() + TICK;
            mailbox.wait(seen, Some(retry.at().map_or(tick, |at| at.min(tick))));
        }
    }

    fn show<D: Display>(
        &mut self,
        scene: &Scene<'_>,
        display: &mut Option<D>,
        drawn: &mut Option<Likeness>,
        open: &mut impl FnMut() -> io::Result<D>,
    ) -> io::Result<()> {
        let display = match display {
            Some(display) => {
                display.check()?;
                display
            }
            None => display.insert(open()?),
        };
        let likeness = scene.likeness(D::HAS_PAGES);
        if drawn.as_ref() != Some(&likeness) {
            display.draw(scene, &mut self.words)?;
            *drawn = Some(likeness);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::super::told::Subject;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A display that can be pulled, and tells what it shows.
    struct Loose {
        plugged: Arc<Mutex<bool>>,
        shows: Sender<String>,
    }

    impl Loose {
        fn plugged(&self) -> io::Result<()> {
            if *self.plugged.lock().unwrap() { Ok(()) } else { Err(io::Error::other("pulled")) }
        }
    }

    impl Display for Loose {
        const HAS_PAGES: bool = false;

        fn draw(&mut self, scene: &Scene<'_>, _: &mut Typesetter) -> io::Result<()> {
            self.plugged()?;
            let subject = match scene.told.subject(scene.now) {
                Subject::Starting => "starting",
                Subject::Resting => "ready",
                Subject::Busy { name, .. } => name,
                Subject::Fault { wrong, .. } => wrong,
                Subject::Reading(_) => "a reading",
                Subject::Stopped => "stopped",
            };
            self.shows.send(subject.to_owned()).map_err(io::Error::other)
        }

        fn check(&mut self) -> io::Result<()> {
            self.plugged()
        }
    }

    fn start() -> (Drawn, Arc<Mutex<bool>>, Receiver<String>) {
        let plugged = Arc::new(Mutex::new(true));
        let (shows, shown) = channel();
        let settings =
            SceneSettings { language: crate::language::Language::English, film: Default::default(), dim_after: None };
        let socket = Arc::clone(&plugged);
        let open = move || {
            let display = Loose { plugged: Arc::clone(&socket), shows: shows.clone() };
            display.plugged().map(|()| display)
        };
        (Drawn::start("loose", settings, SharedVitals::default(), open).unwrap(), plugged, shown)
    }

    fn reading(name: &str) -> Status {
        Status::Reading { name: name.into(), digest: String::new() }
    }

    #[test]
    fn a_display_shows_what_it_is_told_and_at_last_that_the_unit_has_ended() {
        let (mut display, _, shown) = start();
        assert_eq!(shown.recv_timeout(PATIENCE).unwrap(), "starting");
        display.show(&reading("a")).unwrap();
        assert_eq!(shown.recv_timeout(PATIENCE).unwrap(), "a");
        display.show(&Status::Stopped).unwrap();
        drop(display);
        assert_eq!(shown.iter().last().as_deref(), Some("stopped"));
    }

    #[test]
    fn a_display_that_is_pulled_is_told_and_shows_the_latest_when_it_is_back() {
        let (mut display, plugged, shown) = start();
        assert_eq!(shown.recv_timeout(PATIENCE).unwrap(), "starting");
        *plugged.lock().unwrap() = false;
        for name in ["a", "b", "c"] {
            display.show(&reading(name)).unwrap();
        }
        let wrong = loop {
            match display.check() {
                Err(error) => break error.to_string(),
                Ok(()) => thread::yield_now(),
            }
        };
        assert_eq!(wrong, "pulled");
        *plugged.lock().unwrap() = true;
        // Nothing of what came before, and the loop was held up by nothing.
        assert_eq!(shown.recv_timeout(PATIENCE).unwrap(), "c");
        while display.check().is_err() {
            thread::yield_now();
        }
    }
}
