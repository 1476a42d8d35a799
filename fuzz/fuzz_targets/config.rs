//! Any text: a configuration is accepted, or told what is wrong.
#![no_main]

use std::path::Path;

use chestlight::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse(text, Path::new("/site")) {
        assert!(!problems.is_empty());
    }
});
