//! What a screen shows, at any size, in colour or in black and white. Pure: the same scene is the same picture.
//!
//! A scene is first put into words (`view`), then laid out for a screen that has colours or for a small one that has
//! none. Every verdict has its colour, its icon and its words: whoever cannot tell the colours apart reads the others.

mod burn_in;
mod colour;
mod icon;
mod mono;
mod paint;
mod view;

use std::time::{Duration, Instant};

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::pixelcolor::{BinaryColor, Rgb888};
use jiff::ZonedDateTime;

use super::text::Typesetter;
use super::told::Told;
use crate::config::SceneSettings;
use crate::health::Vitals;
use burn_in::Care;
use view::View;

/// Everything that decides what a screen shows.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// What it was told.
    pub told: &'a Told,
    /// How the unit is.
    pub vitals: &'a Vitals,
    /// What the site wants.
    pub settings: SceneSettings,
    /// The time on the wall.
    pub clock: ZonedDateTime,
    /// Now.
    pub now: Instant,
    /// How long the screen has been on.
    pub on: Duration,
}

/// What two equal scenes have in common: while it is the same, nothing needs to be drawn again.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    view: View,
    care: Care,
    /// Of a screen on which pages take turns.
    page: Option<u64>,
}

impl Scene<'_> {
    /// Draws it on a screen with colours.
    ///
    /// # Errors
    /// The target's.
    pub fn draw<D: DrawTarget<Color = Rgb888>>(&self, words: &mut Typesetter, target: &mut D) -> Result<(), D::Error> {
        colour::draw(&View::of(self), self.care(), words, target)
    }

    /// Draws it on a small screen without colours. What has no room is shown in turn.
    ///
    /// # Errors
    /// The target's.
    pub fn draw_mono<D: DrawTarget<Color = BinaryColor>>(
        &self,
        words: &mut Typesetter,
        target: &mut D,
    ) -> Result<(), D::Error> {
        mono::draw(&View::of(self), self.care(), self.page(), words, target)
    }

    /// Whether the screen should be dark: nothing has happened for long, and nothing is wrong.
    pub fn is_dim(&self) -> bool {
        self.care().dim
    }

    /// To compare with that of the scene that was drawn last; on a screen on which pages take turns, or not.
    pub fn likeness(&self, pages: bool) -> Likeness {
        Likeness { view: View::of(self), care: self.care(), page: pages.then(|| self.page()) }
    }

    fn care(&self) -> Care {
        let quiet = self.told.quiet(self.now);
        let restful = !View::is_urgent(self.told.subject(self.now));
        Care::at(self.on, self.settings.dim_after.filter(|_| restful).is_some_and(|after| quiet >= after))
    }

    /// Which of the pages that take turns on a small screen is to be seen.
    fn page(&self) -> u64 {
        self.on.as_secs() / mono::PAGE.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FilmTag;
    use crate::health::DiscVitals;
    use crate::language::Language;
    use crate::show::Status;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    #[test]
    fn a_scene_changes_with_what_is_told_the_minute_and_the_figures_and_not_with_every_second() {
        let (start, vitals) = (Instant::now(), Vitals::default());
        let settings = SceneSettings { language: Language::English, film: FilmTag::Number, dim_after: None };
        let mut told = Told::new(start);
        told.tell(&Status::Ready, start);
        let scene = |told: &Told, vitals: &Vitals, second: i64, pages| {
            let later = Duration::from_secs(second.unsigned_abs());
            let clock = Timestamp::from_second(second).unwrap().to_zoned_datetime(TimeZone::UTC);
            Scene { told, vitals, settings, clock, now: start + later, on: later }.likeness(pages)
        };
        let first = scene(&told, &vitals, 0, false);
        for second in [1, 7, 59] {
            assert_eq!(scene(&told, &vitals, second, false), first, "{second}");
        }
        assert_ne!(scene(&told, &vitals, 60, false), first, "the clock");
        assert_ne!(scene(&told, &vitals, 7, true), scene(&told, &vitals, 0, true), "the next page");
        let disc = |free_bytes| Some(DiscVitals { free_bytes, total_bytes: 9_000_000_000, min_free_bytes: 1 });
        let fuller = |free| scene(&told, &Vitals { disc: disc(free), ..Vitals::default() }, 0, false);
        assert_eq!(fuller(5_200_000_000), fuller(5_100_000_000));
        assert_ne!(fuller(5_200_000_000), fuller(4_900_000_000));
        told.tell(&Status::Stopped, start);
        assert_ne!(scene(&told, &vitals, 0, false), first);
    }
}
