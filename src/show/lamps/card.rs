//! A card for the wall beside the lamps: every signal as it blinks, from the table that the lamps go by.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Pattern, SLOT, Signal};
use crate::config::LampColour;
use crate::verdict::NOTICE;

/// Time that is drawn, slots: six seconds.
const SLOTS: u32 = 30;
/// Width of a slot, and height of a row.
const SLOT_WIDTH: u32 = 12;
const ROW: u32 = 46;
/// Where the times are drawn from.
const LEFT: u32 = 330;
const TOP: u32 = 64;
const DARK: &str = "#d9dde2";

/// The card as SVG for a unit with these lamps.
pub fn card(lamps: &[LampColour]) -> String {
    let rows = u32::try_from(Signal::ALL.len()).unwrap_or_default();
    let (width, height) = (LEFT + SLOTS * SLOT_WIDTH + 24, TOP + rows * ROW + 40);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"15\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"30\" font-size=\"20\" font-weight=\"bold\">What the lamps say</text>\n"
    );
    for second in 0..=6 {
        let x = LEFT + second * SLOT_WIDTH * 5;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">{second} s</text>",
            TOP - 8
        );
    }
    for (signal, y) in Signal::ALL.into_iter().zip((TOP..).step_by(ROW as usize)) {
        row(&mut svg, signal, lamps, y);
    }
    let _ = writeln!(svg, "<text x=\"20\" y=\"{}\" font-size=\"12\">chestlight: {NOTICE}</text>\n</svg>", height - 14);
    svg
}

fn row(svg: &mut String, signal: Signal, lamps: &[LampColour], y: u32) {
    let pattern = signal.pattern();
    let tells = signal.colour().and_then(|colour| super::instead_of(colour, lamps));
    let (which, fill) = match tells {
        Some(colour) if lamps.len() > 1 => (colour.name(), fill(colour)),
        None if lamps.len() > 1 => ("all lamps", "#3b4048"),
        _ => ("the lamp", "#3b4048"),
    };
    let middle = y + ROW / 2;
    let _ = writeln!(
        svg,
        "<circle cx=\"32\" cy=\"{middle}\" r=\"11\" fill=\"{}\" stroke=\"#3b4048\">{}</circle>\n\
         <text x=\"54\" y=\"{}\" font-weight=\"bold\">{}</text>\n<text x=\"54\" y=\"{}\" font-size=\"12\">{which}: {}</text>",
        if pattern.is_lit(Duration::ZERO) { fill } else { DARK },
        animation(pattern, fill),
        middle - 3,
        signal.words(),
        middle + 14,
        pattern.words(),
    );
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"18\" fill=\"{DARK}\"/>",
        middle - 9,
        SLOTS * SLOT_WIDTH
    );
    for slot in (0..SLOTS).filter(|slot| pattern.is_lit(SLOT * *slot)) {
        let x = LEFT + slot * SLOT_WIDTH;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"{SLOT_WIDTH}\" height=\"18\" fill=\"{fill}\"/>",
            middle - 9
        );
    }
}

/// Makes the lamp at the left blink where the viewer can.
fn animation(pattern: Pattern, fill: &str) -> String {
    let slots: Vec<&str> = pattern.0.bytes().map(|slot| if slot == b'#' { fill } else { DARK }).collect();
    if slots.iter().all(|colour| Some(colour) == slots.first()) {
        return String::new();
    }
    format!(
        "<animate attributeName=\"fill\" calcMode=\"discrete\" dur=\"{}s\" repeatCount=\"indefinite\" values=\"{}\"/>",
        pattern.period().as_secs_f32(),
        slots.join(";")
    )
}

/// A colour that stays apart from the others for colour-blind readers.
fn fill(colour: LampColour) -> &'static str {
    match colour {
        LampColour::Green => "#26aa86",
        LampColour::Yellow => "#f0a000",
        LampColour::Red => "#c03a2b",
    }
}

impl Pattern {
    /// The pattern in words.
    pub fn words(self) -> String {
        let lit: Vec<usize> = self.0.split('.').map(str::len).filter(|slots| *slots > 0).collect();
        let dark: Vec<usize> = self.0.split('#').map(str::len).filter(|slots| *slots > 0).collect();
        let seconds = |slots: usize| SLOT.as_secs_f32() * slots as f32;
        match (&lit[..], &dark[..]) {
            (_, []) => "lit, stands still".into(),
            ([], _) => "dark".into(),
            ([on], [off]) if on == off => format!("{:.1} s lit, {:.1} s dark", seconds(*on), seconds(*off)),
            ([on], [off]) if on > off => "lit, goes out for a moment".into(),
            ([_], _) => "one flash, a long pause".into(),
            (flashes, _) => {
                let kinds = flashes.iter().map(|slots| if *slots > 1 { "long" } else { "short" });
                format!("{}, pause", kinds.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_in_the_documents_is_what_the_lamps_do() {
        let drawn = card(&LampColour::ALL);
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/lamps.svg");
        if !std::fs::read_to_string(kept).is_ok_and(|kept| kept == drawn) {
            let new = std::env::temp_dir().join("lamps.svg");
            std::fs::write(&new, drawn).unwrap();
            panic!("look at {} and copy it to {kept}", new.display());
        }
    }

    #[test]
    fn no_two_patterns_have_the_same_words() {
        let words = Signal::ALL.map(|signal| signal.pattern().words());
        insta::assert_snapshot!(words.join("\n"), @r"
        one flash, a long pause
        0.6 s lit, 0.6 s dark
        lit, goes out for a moment
        short, short, pause
        short, short, short, pause
        long, short, short, pause
        long, long, pause
        1.4 s lit, 1.4 s dark
        0.2 s lit, 0.2 s dark
        lit, stands still
        dark
        ");
        for (index, one) in words.iter().enumerate() {
            assert!(!words[..index].contains(one), "{one}");
        }
    }

    #[test]
    fn with_one_lamp_no_colour_is_named() {
        let drawn = card(&[LampColour::Red]);
        assert!(drawn.contains("the lamp: one flash") && LampColour::ALL.iter().all(|it| !drawn.contains(it.name())));
    }
}
