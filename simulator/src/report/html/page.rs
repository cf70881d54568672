//! The document: its sections, its style, its script, and its content security policy.

use std::io::{self, Write};

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::text::outside;
use crate::report::terminal::plain;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A page with sections.
///
/// ```
/// use maud::html;
/// use regrow_simulator::report::html::{Cell, Page, Section, SortableTable};
///
/// let mut table = SortableTable::new("Bytes of each commit");
/// table.text_column("committer").number_column("bytes");
/// table.row([Cell::text("alice"), Cell::number(600)]);
/// let mut page = Page::new("Two commits", html! { p { "An example." } });
/// page.add(Section::open("commits", "Commits", table.markup()));
/// let mut out = Vec::new();
/// page.write(&mut out)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Page {
    title: String,
    lead: Markup,
    sections: Vec<Section>,
}

/// A section of a page.
pub struct Section {
    id: String,
    title: String,
    badge: Option<Markup>,
    content: Markup,
    is_open: bool,
}

impl Section {
    /// A section that a reader sees at once. The `id` is its fragment in links.
    #[must_use]
    pub fn open(id: impl Into<String>, title: impl Into<String>, content: Markup) -> Self {
        Self { id: id.into(), title: title.into(), badge: None, content, is_open: true }
    }

    /// A section that a reader opens.
    #[must_use]
    pub fn closed(id: impl Into<String>, title: impl Into<String>, content: Markup) -> Self {
        Self { is_open: false, ..Self::open(id, title, content) }
    }

    /// The same section with a short mark before its title.
    #[must_use]
    pub fn with_badge(self, badge: Markup) -> Self {
        Self { badge: Some(badge), ..self }
    }

    /// The same section, which a reader sees at once.
    pub(super) fn opened(self) -> Self {
        Self { is_open: true, ..self }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// The number of bytes of the content.
    pub(super) fn size(&self) -> usize {
        self.content.0.len()
    }

    fn markup(&self) -> Markup {
        html! {
            details.section id=(self.id) open[self.is_open] {
                summary { h2 { @if let Some(badge) = &self.badge { (badge) " " } (outside(&self.title)) } }
                (self.content)
            }
        }
    }
}

impl Page {
    /// A page without sections. The lead stands below the title.
    #[must_use]
    pub fn new(title: impl Into<String>, lead: Markup) -> Self {
        Self { title: title.into(), lead, sections: Vec::new() }
    }

    /// Appends a section.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Writes the page.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(security_policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(generator());
                    title { (plain(&self.title)) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header.page-head { h1 { (outside(&self.title)) } (self.lead) }
                    main { @for section in &self.sections { (section.markup()) } }
                    footer { p { "Made by " (generator()) "." } }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        out.write_all(markup.0.as_bytes())
    }
}

/// The program and its version.
pub(super) fn generator() -> String {
    format!("regrow {}", env!("CARGO_PKG_VERSION"))
}

/// The policy that lets the browser use only the style and the script of this page. A text that
/// escaped its place could still load nothing and run nothing.
fn security_policy() -> String {
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}
