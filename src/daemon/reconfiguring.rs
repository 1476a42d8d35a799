//! A configuration that was read again, put to use while films are read.

use std::time::Instant;

use thiserror::Error;

use super::{Daemon, last_readings, watched};
use crate::choose::{self, ChooseError};
use crate::config::{Config, ConfigError};

/// Why a configuration that was read again is not used.
#[derive(Debug, Error)]
pub(super) enum ReconfigureError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} needs a restart")]
    NeedsRestart(&'static str),
    #[error("the model cannot be used: {0}")]
    Model(#[from] ChooseError),
}

impl Daemon {
    pub(super) fn reconfigure(&mut self, read: Result<Config, ConfigError>) -> Result<(), ReconfigureError> {
        let config = read?;
        if let Some(change) = needs_restart(&self.config, &config) {
            return Err(ReconfigureError::NeedsRestart(change));
        }
        match choose::again(&config, &self.config, &self.chosen.origin) {
            Ok(None) => self.chosen.instead = None,
            Ok(Some(chosen)) => {
                match last_readings(&self.journal, &chosen.model.manifest) {
                    Ok(drift) => self.drift = drift,
                    Err(error) => log::warn!("the last readings cannot be compared: {error}"),
                }
                // Also when its name is the same: the files may be new. What is not recorded yet would be recorded as
                // this model's.
                self.films.iter_mut().for_each(|in_hand| in_hand.reading = None);
                self.chosen = chosen;
            }
            Err(error) if config.model.is_some() => return Err(error.into()),
            // An installed model that does not work must not keep the rest of the configuration from being used.
            Err(error) => self.chosen.instead = Some(error.to_string()),
        }
        self.tell_model();
        if config.inbox != self.config.inbox {
            self.folder = watched(&config.inbox, &self.sender);
            self.look_at = Instant::now();
        }
        self.look_at = self.look_at.min(Instant::now() + config.rescan);
        self.bounds.set(&config);
        self.config = config;
        Ok(())
    }
}

/// What of a configuration is read at the start alone, and differs in a later one.
fn needs_restart(before: &Config, after: &Config) -> Option<&'static str> {
    let changes = [
        ("another state folder", before.state != after.state),
        ("a change of [dicom]", before.dicom != after.dicom),
        ("a change of [stick]", before.stick != after.stick),
        ("a change of [camera]", before.camera != after.camera),
        ("a change of [lamps]", before.lamps != after.lamps),
        ("a change of [screen]", before.screen != after.screen),
        ("a change of [oled]", before.oled != after.oled),
    ];
    changes.into_iter().find_map(|(change, is_there)| is_there.then_some(change))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_change_that_only_a_restart_brings_about_is_told_and_every_other_is_taken() {
        let read = |text: &str| Config::parse(&format!("inbox = 'a'\n{text}"), Path::new("/")).unwrap();
        let before = read("state = 'b'");
        for (after, told) in [
            ("state = 'b'\nmin_free_mib = 7\n[storage]\nmax_films = 9", None),
            ("state = 'c'", Some("another state folder")),
            ("state = 'b'\n[dicom]\ncalling_ae_titles = ['X']\npeers = ['127.0.0.1']", Some("a change of [dicom]")),
            ("state = 'b'\n[stick]\nfolder = 'm'", Some("a change of [stick]")),
            ("state = 'b'\n[camera]\ndevice = 'x'", Some("a change of [camera]")),
            ("state = 'b'\n[lamps]\nred = { chip = 'a', line = 1 }", Some("a change of [lamps]")),
            ("state = 'b'\n[screen]", Some("a change of [screen]")),
            ("state = 'b'\n[oled]", Some("a change of [oled]")),
        ] {
            assert_eq!(needs_restart(&before, &read(after)), told, "{after}");
        }
    }
}
