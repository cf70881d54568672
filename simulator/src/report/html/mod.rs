//! Results and records of runs as one page for a browser.
//!
//! The page is a single file without scripts, fonts or pictures from elsewhere. Its content security
//! policy forbids the browser every request, and every script that is not the page's own. The same
//! results give the same bytes. All texts of scenario files are escaped, because their authors are
//! not trusted.
//!
//! | module | content |
//! | --- | --- |
//! | **for every page** | |
//! | [`page`] | the document: sections, style, script, security policy |
//! | [`table`] | a table that the reader can sort |
//! | [`plot`] | a plot with stacked bars |
//! | [`text`] | texts from outside, numbers, and lists of names |
//! | **for runs** | |
//! | [`run_page`] | the page of `regrow run --html` |
//! | `scenario` | the section of one scenario |
//! | `failures` | the expectations that did not hold |
//! | `timeline` | the steps and their events |
//! | `tree` | the ratchet trees, epoch by epoch |
//! | `exposure` | the messages that each thief can read |
//! | `costs` | the costs of each entry of the log |
//! | **for sweeps** | |
//! | [`sweep_page`] | the page of `regrow report` |

mod costs;
mod exposure;
mod failures;
pub mod page;
pub mod plot;
pub mod run_page;
mod scenario;
pub mod sweep_page;
pub mod table;
pub mod text;
mod timeline;
mod tree;

#[cfg(test)]
mod tests;

pub use page::{Page, Section};
pub use plot::StackedBars;
pub use run_page::RunPage;
pub use sweep_page::write_sweep;
pub use table::{Cell, SortableTable};
