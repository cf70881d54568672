//! The colours of the page are those of the exposure matrix.

use crate::report::matrix::svg::{EXPOSED_AFTER, EXPOSED_BEFORE};

#[test]
fn exposure_has_the_colours_of_the_matrix() {
    let style = include_str!("page.css");
    for (name, colour) in [("--exposed-before", EXPOSED_BEFORE), ("--exposed-after", EXPOSED_AFTER)] {
        assert!(style.contains(&format!("{name}: {colour};")), "{name}");
    }
}
