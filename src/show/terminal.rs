//! Lines for a technician.

use std::io::{self, Write};

use anstream::StripStream;
use anstyle::{AnsiColor, Style};

use super::{Indicator, NOTICE, Status};
use crate::journal::Row;
use crate::verdict::{Probabilities, Verdict};

/// Writes a line for each status.
#[derive(Debug)]
pub struct Terminal<W> {
    out: W,
    names: bool,
}

impl<W: Write> Terminal<W> {
    /// Lines to `out`, with colours: whoever wants none gives a writer that takes them out, as `anstream` has.
    ///
    /// With `names` the lines name films by their file names, as the technician needs; without, by the first
    /// digits of their digests, for lines that end in a log.
    pub fn new(out: W, names: bool) -> Self {
        Self { out, names }
    }

    fn film<'a>(&self, name: &'a str, digest: &'a str) -> &'a str {
        if self.names { name } else { digest }
    }

    fn reading(&mut self, row: &Row, again: &str) -> io::Result<()> {
        let (style, words) = match row.verdict() {
            Some(verdict) => (style(verdict), verdict.words()),
            None => (Style::new(), row.verdict.as_str()),
        };
        let film = self.film(&row.file_name, row.short_digest()).to_owned();
        write!(self.out, "{style}{words:20}{style:#} reading {} of {film}{again}: ", row.seq)?;
        match row.probabilities() {
            Some(Probabilities { normal, bacterial, covid19 }) => writeln!(
                self.out,
                "normal {:.1}%, bacterial {:.1}%, COVID-19 {:.1}%",
                normal * 100.0,
                bacterial * 100.0,
                covid19 * 100.0
            ),
            None => writeln!(self.out, "{}", row.message),
        }
    }
}

impl<W: Write> Indicator for Terminal<W> {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        match status {
            Status::Ready => writeln!(self.out, "{:20} put films into the inbox ({NOTICE})", "ready")?,
            Status::Warning { wrong, advice } => {
                let style = AnsiColor::Yellow.on_default().bold();
                writeln!(self.out, "{style}{:20}{style:#} {wrong}; {advice} ({NOTICE})", "ready, but CHECK")?;
            }
            Status::Reading { name, digest } => {
                let film = self.film(name, digest).to_owned();
                writeln!(self.out, "{:20} {film}", "reading ...")?;
            }
            Status::Recorded(row) => self.reading(row, "")?,
            Status::AlreadyRecorded(row) => self.reading(row, ", which was put in again")?,
            Status::Fault { wrong, advice } => {
                let style = AnsiColor::Red.on_default().bold();
                writeln!(self.out, "{style}{:20}{style:#} {wrong}; {advice}", "FAULT")?;
            }
            Status::Stopped => writeln!(self.out, "{:20} films in the inbox are read at the next start", "stopped")?,
        }
        self.out.flush()
    }
}

/// What a terminal says of a status, without colours and without the names of files.
pub(super) fn line(status: &Status) -> io::Result<String> {
    let mut terminal = Terminal::new(StripStream::new(Vec::new()), false);
    terminal.show(status)?;
    Ok(String::from_utf8_lossy(&terminal.out.into_inner()).trim_end().to_owned())
}

/// Colours that stay apart for colour-blind users; the words carry the meaning.
pub fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Normal => AnsiColor::Cyan.on_default(),
        Verdict::BacterialPneumonia | Verdict::Covid19Pneumonia => AnsiColor::Yellow.on_default().bold(),
        Verdict::Refer => AnsiColor::Magenta.on_default().bold(),
        Verdict::Refused(_) => AnsiColor::Blue.on_default(),
        Verdict::Fault(_) => AnsiColor::Red.on_default().bold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Milliseconds, Reading};
    use crate::refusal::Refusal;
    use crate::show::recorded;

    /// Two recorded readings: one of a sure film, one of a damaged one.
    fn rows() -> [Row; 2] {
        let sure = Reading {
            verdict: Verdict::Covid19Pneumonia,
            message: "COVID-19 pneumonia, 91% sure".into(),
            probabilities: Some(Probabilities { normal: 0.02, bacterial: 0.07, covid19: 0.91 }),
            distance: None,
            map: None,
            ms: Milliseconds::default(),
            origin: None,
        };
        let damaged = Reading::refused(Refusal::Damaged, "the data break off");
        recorded::rows([("aaaaaaaa11", "ward 3__a.png", sure), ("bbbbbbbb22", "b.png", damaged)])
    }

    fn shown(names: bool) -> String {
        let [sure, damaged] = rows();
        let mut terminal = Terminal::new(Vec::new(), names);
        for status in [
            Status::Ready,
            Status::Reading { name: sure.file_name.clone(), digest: sure.short_digest().to_owned() },
            Status::Recorded(sure.clone()),
            Status::Recorded(damaged),
            Status::AlreadyRecorded(sure),
            Status::Fault { wrong: "the inbox is gone".into(), advice: "connect it again" },
            Status::Stopped,
        ] {
            terminal.show(&status).unwrap();
        }
        String::from_utf8(terminal.out).unwrap()
    }

    #[test]
    fn each_status_is_a_clear_line() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&shown(true)), @"
        ready                put films into the inbox (research use, not a diagnosis)
        reading ...          ward 3__a.png
        COVID-19 pneumonia   reading 1 of ward 3__a.png: normal 2.0%, bacterial 7.0%, COVID-19 91.0%
        repeat the film      reading 2 of b.png: the data break off; copy the file again; if it stays damaged, repeat the film
        COVID-19 pneumonia   reading 1 of ward 3__a.png, which was put in again: normal 2.0%, bacterial 7.0%, COVID-19 91.0%
        FAULT                the inbox is gone; connect it again
        stopped              films in the inbox are read at the next start
        ");
    }

    #[test]
    fn lines_that_end_in_a_log_name_no_file() {
        let lines = shown(false);
        assert!(!lines.contains(".png"), "{lines}");
        assert!(lines.contains("reading 2 of bbbbbbbb"), "{lines}");
    }

    #[test]
    fn a_verdict_is_coloured() {
        assert!(shown(true).contains("\x1b[1m\x1b[33mCOVID-19"), "{:?}", shown(true));
    }
}
