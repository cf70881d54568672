#![no_main]

use regrow_fuzz::file::{original, place, use_all};

const PAGE: usize = 4096;

// Each seven bytes are one change of the original file: a byte, a run of one byte, a copy of a
// page, or a cut. (A whole file would be a poor input: most of its bytes are sealed, and all
// changes of sealed bytes have the same effect.)
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = original();
    for change in bytes.chunks_exact(7).take(64) {
        let [kind, page, high, low, value, length, other] = change else { continue };
        let pages = file.len().div_ceil(PAGE).max(1);
        let at = usize::from(*page) % pages * PAGE + usize::from(u16::from_be_bytes([*high, *low])) % PAGE;
        match kind % 4 {
            0 | 1 => {
                let run = if kind % 4 == 0 { 1 } else { 1 + usize::from(*length) };
                file.iter_mut().skip(at).take(run).for_each(|byte| *byte = *value);
            }
            2 => {
                let from = usize::from(*other) % pages * PAGE;
                let copy: Vec<u8> = file.iter().skip(from).take(PAGE).copied().collect();
                file.iter_mut().skip(at / PAGE * PAGE).zip(copy).for_each(|(byte, new)| *byte = new);
            }
            _ => file.truncate(at),
        }
    }
    use_all(&place(&file));
});
