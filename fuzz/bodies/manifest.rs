//! Any text: a manifest that is accepted is valid when it is written and read again.

use chestlight::model::Manifest;

pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(manifest) = Manifest::parse(text) else { return };
    let written = toml::to_string(&manifest).expect("a manifest can be written");
    assert_eq!(Manifest::parse(&written).expect("and read again"), manifest);
}
