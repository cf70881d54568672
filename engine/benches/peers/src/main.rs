//! Regrow beside mls-rs and OpenMLS, in one process. `docs/benchmarks.md` has the commands.

mod allocation;
mod large;
mod mls_rs_member;
mod public_tree;
mod table;
#[path = "../../workload/mod.rs"]
mod workload;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The sizes to measure: all sizes if none is named.
    let sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if arguments.iter().any(|argument| argument == "large") {
        large::print(&sizes);
    } else {
        table::print(&sizes);
    }
}
