//! What lamps tell: which of them is lit at which moment. Pure, but for the thread that makes them blink.
//!
//! Each signal has a pattern of its own, so that one lamp tells all of them, and so that who cannot tell colours apart
//! can read several. Whatever a working unit shows moves: a lamp that stands still, lit or dark, tells that nothing runs
//! any more, which no program needs to be alive for.

mod board;
mod card;
mod thread;

use std::time::Duration;

pub use card::card;
pub use thread::BlinkingLamps;

use super::{LedError, Status, open_leds};
use crate::config::{LampColour, Lamps};
use crate::verdict::Verdict;

/// How long a piece of a pattern is. Two of them make 2.5 flashes a second at most: from three on, flashes can bring on
/// seizures (WCAG 2.3.1).
pub const SLOT: Duration = Duration::from_millis(200);

/// How long each lamp is lit in the lamp test.
const TEST: Duration = Duration::from_millis(400);

/// What lamps tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The unit waits for films.
    Ready,
    /// It waits, and somebody should look at what the last films had in common.
    Warning,
    /// It reads a film.
    Reading,
    /// The film is normal.
    Normal,
    /// The film has bacterial pneumonia.
    BacterialPneumonia,
    /// The film has COVID-19 pneumonia.
    Covid19Pneumonia,
    /// The unit is not sure: a doctor must look.
    Refer,
    /// The film cannot be used: take it again.
    Repeat,
    /// The unit does not work as it should, and says so.
    Fault,
    /// The unit was told to stop, or has not begun.
    Stopped,
    /// The unit has died, and what came after it says so.
    Dead,
}

/// Lit and dark pieces of [`SLOT`] each, from left to right and over again: `#` is lit, `.` is dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(&'static str);

impl Signal {
    /// All of them, in the order in which a technician meets them.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Reading,
        Self::Normal,
        Self::BacterialPneumonia,
        Self::Covid19Pneumonia,
        Self::Refer,
        Self::Repeat,
        Self::Warning,
        Self::Fault,
        Self::Dead,
        Self::Stopped,
    ];

    /// What a status is on lamps.
    pub fn of(status: &Status) -> Self {
        match status {
            Status::Ready => Self::Ready,
            Status::Warning { .. } => Self::Warning,
            Status::Reading { .. } => Self::Reading,
            Status::Recorded(row) | Status::AlreadyRecorded(row) => match row.verdict() {
                Some(Verdict::Normal) => Self::Normal,
                Some(Verdict::BacterialPneumonia) => Self::BacterialPneumonia,
                Some(Verdict::Covid19Pneumonia) => Self::Covid19Pneumonia,
                // One that only a newer chestlight knows is for somebody who can read it.
                Some(Verdict::Refer) | None => Self::Refer,
                Some(Verdict::Refused(_)) => Self::Repeat,
                Some(Verdict::Fault(_)) => Self::Fault,
            },
            Status::Fault { .. } => Self::Fault,
            Status::Stopped => Self::Stopped,
        }
    }

    /// Which lamp tells it, where there is more than one; none, when all of them do the same.
    pub fn colour(self) -> Option<LampColour> {
        match self {
            Self::Ready | Self::Reading | Self::Normal => Some(LampColour::Green),
            Self::Refer | Self::Repeat | Self::Warning => Some(LampColour::Yellow),
            Self::BacterialPneumonia | Self::Covid19Pneumonia | Self::Fault => Some(LampColour::Red),
            Self::Dead | Self::Stopped => None,
        }
    }

    /// How its lamp blinks.
    pub fn pattern(self) -> Pattern {
        Pattern(match self {
            Self::Ready => "#..............",
            Self::Reading => "###...",
            Self::Normal => "#############..",
            Self::BacterialPneumonia => "#.#.......",
            Self::Covid19Pneumonia => "#.#.#.......",
            Self::Refer => "#####..#.#........",
            Self::Repeat => "#####..#####........",
            Self::Warning => "#######.......",
            Self::Fault => "#.",
            Self::Dead => "#",
            Self::Stopped => ".",
        })
    }

    /// What it means.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Reading => "reading a film",
            Self::Normal => Verdict::Normal.words(),
            Self::BacterialPneumonia => Verdict::BacterialPneumonia.words(),
            Self::Covid19Pneumonia => Verdict::Covid19Pneumonia.words(),
            Self::Refer => Verdict::Refer.words(),
            Self::Repeat => "repeat the film",
            Self::Warning => "ready, but check",
            Self::Fault => "fault",
            Self::Dead => "fault: the program has ended",
            Self::Stopped => "switched off, or fault",
        }
    }

    /// Which of the lamps that a unit has are lit, `at` after the signal began.
    pub fn lit(self, at: Duration, lamps: &[LampColour]) -> Vec<bool> {
        let lit = self.pattern().is_lit(at);
        let tells = self.colour().map(|colour| instead_of(colour, lamps));
        lamps.iter().map(|lamp| lit && tells.is_none_or(|tells| tells == Some(*lamp))).collect()
    }
}

/// The lamp that tells what one of this colour should, where some are missing.
fn instead_of(colour: LampColour, lamps: &[LampColour]) -> Option<LampColour> {
    use LampColour::{Green, Red, Yellow};
    let order = match colour {
        Green => [Green, Yellow, Red],
        Yellow => [Yellow, Red, Green],
        Red => [Red, Yellow, Green],
    };
    order.into_iter().find(|colour| lamps.contains(colour))
}

impl Pattern {
    /// Time until it begins again.
    pub fn period(self) -> Duration {
        SLOT.saturating_mul(u32::try_from(self.0.len()).unwrap_or(u32::MAX))
    }

    /// Whether its lamp is lit, `at` after it began.
    pub fn is_lit(self, at: Duration) -> bool {
        self.slots_from(at).next().unwrap_or_default()
    }

    /// When, after `at`, its lamp changes; absent where it stands still.
    pub fn next_change(self, at: Duration) -> Option<Duration> {
        let now = self.is_lit(at);
        let slots = self.slots_from(at).take(self.0.len()).position(|lit| lit != now)?;
        let begun = at.as_millis().checked_div(SLOT.as_millis())?.saturating_add(slots as u128);
        Some(SLOT.saturating_mul(u32::try_from(begun).ok()?))
    }

    /// Each slot, from the one at `at` on, for ever.
    fn slots_from(self, at: Duration) -> impl Iterator<Item = bool> {
        let begun = at.as_millis().checked_div(SLOT.as_millis()).unwrap_or_default();
        let within = begun.checked_rem(self.0.len() as u128).unwrap_or_default() as usize;
        self.0.bytes().cycle().skip(within).map(|slot| slot == b'#')
    }
}

/// Says that the unit has died, for whoever comes after it: all lamps are lit, and stand still.
///
/// Some chips darken a line that nobody holds. A lamp that is dark stands still as well.
///
/// # Errors
/// [`LedError`].
pub fn last_word(lamps: &Lamps) -> Result<(), LedError> {
    let colours = lamps.lines.colours();
    open_leds(&lamps.lines)?.set(&Signal::Dead.lit(Duration::ZERO, &colours))
}

/// The lamp test, `at` after it began: each lamp by itself, then all together; and when that changes. `None` when it is
/// over.
pub fn lamp_test(at: Duration, lamps: usize) -> Option<(Vec<bool>, Duration)> {
    let step = usize::try_from(at.as_millis().checked_div(TEST.as_millis())?).ok()?;
    let lit = (step <= lamps).then(|| (0..lamps).map(|lamp| step == lamps || lamp == step).collect())?;
    Some((lit, TEST.saturating_mul(u32::try_from(step).ok()?.saturating_add(1))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::journal::Row;
    use crate::reading::Reading;
    use crate::refusal::Refusal;
    use crate::show::recorded;
    use crate::verdict::Fault;

    /// A recorded reading with this verdict.
    pub(super) fn row(verdict: Verdict) -> Row {
        let [row] = recorded::rows([("", "", Reading { verdict, ..Reading::refused(Refusal::Damaged, "") })]);
        row
    }

    const LAMPS: [LampColour; 3] = LampColour::ALL;

    /// One lamp's seconds, a character a slot.
    fn timeline(signal: Signal, lamps: &[LampColour], lamp: usize, slots: u32) -> String {
        (0..slots).map(|slot| if signal.lit(SLOT * slot, lamps)[lamp] { '#' } else { '.' }).collect()
    }

    #[test]
    fn three_lamps_tell_each_signal_so() {
        let mut told = String::new();
        for signal in Signal::ALL {
            for (index, lamp) in LAMPS.iter().enumerate() {
                told += &format!("{:30}{:8}{}\n", signal.words(), lamp.name(), timeline(signal, &LAMPS, index, 30));
            }
        }
        insta::assert_snapshot!(told, @r"
        ready                         green   #..............#..............
        ready                         yellow  ..............................
        ready                         red     ..............................
        reading a film                green   ###...###...###...###...###...
        reading a film                yellow  ..............................
        reading a film                red     ..............................
        normal                        green   #############..#############..
        normal                        yellow  ..............................
        normal                        red     ..............................
        bacterial pneumonia           green   ..............................
        bacterial pneumonia           yellow  ..............................
        bacterial pneumonia           red     #.#.......#.#.......#.#.......
        COVID-19 pneumonia            green   ..............................
        COVID-19 pneumonia            yellow  ..............................
        COVID-19 pneumonia            red     #.#.#.......#.#.#.......#.#.#.
        refer to a doctor             green   ..............................
        refer to a doctor             yellow  #####..#.#........#####..#.#..
        refer to a doctor             red     ..............................
        repeat the film               green   ..............................
        repeat the film               yellow  #####..#####........#####..###
        repeat the film               red     ..............................
        ready, but check              green   ..............................
        ready, but check              yellow  #######.......#######.......##
        ready, but check              red     ..............................
        fault                         green   ..............................
        fault                         yellow  ..............................
        fault                         red     #.#.#.#.#.#.#.#.#.#.#.#.#.#.#.
        fault: the program has ended  green   ##############################
        fault: the program has ended  yellow  ##############################
        fault: the program has ended  red     ##############################
        switched off, or fault        green   ..............................
        switched off, or fault        yellow  ..............................
        switched off, or fault        red     ..............................
        ");
    }

    #[test]
    fn every_status_has_a_signal_and_every_kind_of_verdict_its_own() {
        let verdicts = [
            (Verdict::Normal, Signal::Normal),
            (Verdict::BacterialPneumonia, Signal::BacterialPneumonia),
            (Verdict::Covid19Pneumonia, Signal::Covid19Pneumonia),
            (Verdict::Refer, Signal::Refer),
            (Verdict::Refused(Refusal::Damaged), Signal::Repeat),
            (Verdict::Fault(Fault::Panic), Signal::Fault),
        ];
        let rows = verdicts.map(|(verdict, signal)| (Status::Recorded(row(verdict)), signal));
        let wrong = String::new;
        let others = [
            (Status::Ready, Signal::Ready),
            (Status::Warning { wrong: wrong(), advice: "" }, Signal::Warning),
            (Status::Reading { name: wrong(), digest: wrong() }, Signal::Reading),
            (Status::Fault { wrong: wrong(), advice: "" }, Signal::Fault),
            (Status::Stopped, Signal::Stopped),
        ];
        for (status, signal) in rows.into_iter().chain(others) {
            assert_eq!(Signal::of(&status), signal, "{status:?}");
        }
    }

    #[test]
    fn one_lamp_tells_all_signals_apart_whenever_somebody_begins_to_look() {
        // Six seconds of one lamp, from each slot of the pattern on.
        let looks = |signal: Signal| -> Vec<String> {
            let all = timeline(signal, &[LampColour::Green], 0, 60);
            (0..30).map(|from| all[from..from + 30].to_owned()).collect()
        };
        for (index, one) in Signal::ALL.into_iter().enumerate() {
            for other in Signal::ALL.into_iter().skip(index + 1) {
                for (a, b) in looks(one).iter().flat_map(|a| looks(other).into_iter().map(move |b| (a.clone(), b))) {
                    let apart = a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count();
                    assert!(apart >= 2, "{one:?} and {other:?}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn what_a_working_unit_shows_moves_and_what_moves_does_not_flicker() {
        for signal in Signal::ALL {
            let all = timeline(signal, &[LampColour::Red], 0, 60);
            let moves = (0..30).all(|from| all[from..from + 16].contains('#') && all[from..from + 16].contains('.'));
            assert_eq!(moves, !matches!(signal, Signal::Dead | Signal::Stopped), "{signal:?}: {all}");
            // Three flashes a second are the limit; five slots are one second.
            for from in 0..30 {
                assert!(all[from..from + 5].matches(".#").count() < 3, "{signal:?}: {all}");
            }
        }
    }

    #[test]
    fn a_lamp_that_is_missing_is_told_for_by_one_that_is_there() {
        use LampColour::{Green, Red, Yellow};
        let at = Duration::ZERO;
        for (lamps, signal, lit) in [
            (&[Green, Red][..], Signal::Refer, [false, true]),
            (&[Green, Yellow], Signal::Fault, [false, true]),
            (&[Yellow, Red], Signal::Ready, [true, false]),
            (&[Yellow, Red], Signal::Dead, [true, true]),
        ] {
            assert_eq!(signal.lit(at, lamps), lit, "{signal:?} on {lamps:?}");
        }
    }

    #[test]
    fn a_change_is_foretold_to_the_slot() {
        for signal in Signal::ALL {
            let pattern = signal.pattern();
            let mut at = Duration::ZERO;
            for _ in 0..20 {
                let Some(next) = pattern.next_change(at) else {
                    assert!(matches!(signal, Signal::Dead | Signal::Stopped));
                    break;
                };
                assert!(next > at);
                assert_eq!(pattern.is_lit(next - Duration::from_millis(1)), pattern.is_lit(at), "{signal:?} {at:?}");
                assert_ne!(pattern.is_lit(next), pattern.is_lit(at), "{signal:?} {at:?}");
                at = next;
            }
        }
    }

    #[test]
    fn the_lamp_test_lights_each_lamp_and_all_and_ends() {
        let mut shown = Vec::new();
        let mut at = Duration::ZERO;
        while let Some((lit, next)) = lamp_test(at, 3) {
            shown.push(lit);
            at = next;
        }
        assert_eq!(shown, [[true, false, false], [false, true, false], [false, false, true], [true, true, true]]);
    }
}
