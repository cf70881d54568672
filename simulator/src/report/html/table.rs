//! A table that the reader can sort by each column. Without a script it keeps its order.

use maud::{Markup, PreEscaped, html};

use super::text::{grouped, outside};

/// A table that the reader can sort.
pub struct SortableTable {
    caption: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

struct Column {
    title: String,
    is_number: bool,
}

struct Row {
    id: Option<String>,
    cells: Vec<Cell>,
}

/// A cell of a table.
pub struct Cell {
    content: Markup,
    /// The value by which the table sorts, if it is not the text of the content.
    sort: Option<u64>,
}

impl Cell {
    /// A cell with a text from outside.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::markup(outside(text))
    }

    /// A cell with any content. The table sorts it by its text.
    #[must_use]
    pub fn markup(content: Markup) -> Self {
        Self { content, sort: None }
    }

    /// A cell with a number.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self { content: PreEscaped(grouped(number)), sort: Some(number) }
    }

    /// A cell with a number, or an empty cell. An empty cell stands after all numbers.
    #[must_use]
    pub fn optional(number: Option<u64>) -> Self {
        number.map_or_else(|| Self::markup(html! {}), Self::number)
    }

    /// The same cell, which the table sorts by a number.
    #[must_use]
    pub fn sorted_by(self, number: u64) -> Self {
        Self { sort: Some(number), ..self }
    }
}

impl SortableTable {
    /// A table without columns and rows.
    #[must_use]
    pub fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), columns: Vec::new(), rows: Vec::new() }
    }

    /// Adds a column of texts.
    pub fn text_column(&mut self, title: impl Into<String>) -> &mut Self {
        self.columns.push(Column { title: title.into(), is_number: false });
        self
    }

    /// Adds a column of numbers.
    pub fn number_column(&mut self, title: impl Into<String>) -> &mut Self {
        self.columns.push(Column { title: title.into(), is_number: true });
        self
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(Row { id: None, cells: cells.into_iter().collect() });
        self
    }

    /// Adds a row to which links lead.
    pub fn row_with_id(&mut self, id: String, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(Row { id: Some(id), cells: cells.into_iter().collect() });
        self
    }

    /// The table as HTML. A wide table scrolls in its own box.
    #[must_use]
    pub fn markup(&self) -> Markup {
        html! {
            div.scroll tabindex="0" role="region" aria-label=(self.caption) {
                table.sortable {
                    caption { (self.caption) }
                    thead { tr {
                        @for column in &self.columns { th scope="col" .number[column.is_number] { (outside(&column.title)) } }
                    } }
                    tbody { @for row in &self.rows {
                        tr id=[row.id.as_ref()] {
                            @for (cell, column) in row.cells.iter().zip(&self.columns) {
                                td .number[column.is_number] data-sort=[cell.sort] { (cell.content) }
                            }
                        }
                    } }
                }
            }
        }
    }
}
