#![no_main]

use std::path::Path;

use regrow_simulator::trace::{TraceReader, stats};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let rows: Result<Vec<_>, _> = TraceReader::new(Path::new("trace.csv"), bytes).collect();
    let figures = stats(TraceReader::new(Path::new("trace.csv"), bytes));
    assert_eq!(rows.is_ok(), figures.is_ok(), "the figures depend only on the rows");
});
