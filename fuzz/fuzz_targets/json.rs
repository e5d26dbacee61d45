//! Any bytes as JSON: never a panic, and what was read is written and read back as the same.
#![no_main]

use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::meter::Meter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    if let Ok(document) = json::read_document(input, limits.json_depth) {
        let mut text = String::new();
        json::write_document(&document, &mut text);
        let again =
            json::read_document(text.as_bytes(), limits.json_depth).expect("what was written is JSON");
        assert_eq!(document, again);
    }
    if let Ok(value) = json::read_value(input, limits.json_depth, limits.integer_bits) {
        let mut text = String::new();
        let mut meter = Meter::new(&limits);
        // Large inputs may pass the result's limits; that is an answer too.
        if json::write_value(&mut meter, &value, &mut text).is_ok() {
            json::read_value(text.as_bytes(), limits.json_depth, limits.integer_bits)
                .expect("what was written is JSON");
        }
    }
});
