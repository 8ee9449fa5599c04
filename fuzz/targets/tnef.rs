#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| maildesk_fuzz::checks::tnef(bytes));
