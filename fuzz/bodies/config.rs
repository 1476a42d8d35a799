//! Any text: a configuration is accepted, or told what is wrong.

use std::path::Path;

use chestlight::config::Config;

pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Err(problems) = Config::parse(text, Path::new("/site")) {
        assert!(!problems.is_empty());
    }
}
