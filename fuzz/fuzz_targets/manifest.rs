//! Any text: a manifest that is accepted is valid when it is written and read again.
#![no_main]

use chestlight::model::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse(text) else { return };
    let written = toml::to_string(&manifest).expect("a manifest can be written");
    assert_eq!(Manifest::parse(&written).expect("and read again"), manifest);
});
