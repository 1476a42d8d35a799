#![no_main]

#[path = "../bodies/pdu.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
