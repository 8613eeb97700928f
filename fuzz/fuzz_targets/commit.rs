#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| floe_testkit::hostile::commit(bytes));
