//! Tables: columns as wide as what stands in them, counted in terminal cells, the last one wrapped.
//!
//! Must not: write, or know what the rows are about.

use console::measure_text_width;

use super::style::{Role, Style, sanitize};

/// The blanks between two columns.
const GAP: usize = 2;
/// A last column narrower than this is set below its row instead: the width of a short sentence fragment.
const NARROWEST: usize = 24;
/// How far a last column that is set below its row stands in.
const INDENT: usize = 4;

/// One cell: its text and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    role: Option<Role>,
}

impl Cell {
    /// A cell in a role of its own.
    pub fn new(role: Role, text: impl AsRef<str>) -> Self {
        Self { text: sanitize(text.as_ref(), false), role: Some(role) }
    }

    /// A cell as it is.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self { text: sanitize(text.as_ref(), false), role: None }
    }
}

/// Rows under a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    spare: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.map(str::to_owned).into(), spare: Vec::new(), rows: Vec::new() }
    }

    /// Names columns that are left out, the first one first, where the width does not suffice for all.
    ///
    /// # Panics
    /// When the header has no such column.
    #[must_use]
    pub fn spare<const N: usize>(mut self, titles: [&str; N]) -> Self {
        let number = |title: &str| self.header.iter().position(|column| column == title);
        self.spare = titles.iter().map(|title| number(title).expect("a column of the header")).collect();
        self
    }

    /// Adds a row; it has as many cells as the header.
    ///
    /// # Panics
    /// When it has not.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.header.len(), "a row has the header's columns");
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the table. Columns in which no row has anything are left out. `columns` is the width to fit into;
    /// `None` wraps nothing and leaves nothing out.
    pub fn lines(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut used: Vec<usize> = (0..self.header.len())
            .filter(|&column| {
                self.rows.is_empty() || self.rows.iter().any(|row| !row[column].text.is_empty())
            })
            .collect();
        for spare in &self.spare {
            if columns.is_some_and(|columns| self.least_width(&used) > columns) {
                used.retain(|column| column != spare);
            }
        }
        let widths: Vec<usize> = used.iter().map(|&column| self.width(column)).collect();
        let Some((_, fixed)) = widths.split_last() else { return Vec::new() };
        let before: usize = fixed.iter().map(|width| width + GAP).sum();
        let room = columns.map(|columns| columns.saturating_sub(before));
        let header: Vec<Cell> = self.header.iter().map(|title| Cell::new(Role::Faint, title)).collect();
        std::iter::once(&header)
            .chain(&self.rows)
            .flat_map(|row| {
                let cells: Vec<&Cell> = used.iter().map(|&column| &row[column]).collect();
                row_lines(&cells, &widths, before, room, style)
            })
            .collect()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| measure_text_width(&row[column].text));
        cells.chain([measure_text_width(&self.header[column])]).max().unwrap_or(0)
    }

    /// The width that these columns need when the last one is wrapped as narrowly as it may be.
    fn least_width(&self, used: &[usize]) -> usize {
        let Some((&last, fixed)) = used.split_last() else { return 0 };
        let fixed: usize = fixed.iter().map(|&column| self.width(column) + GAP).sum();
        fixed + self.width(last).min(NARROWEST)
    }
}

fn row_lines(
    cells: &[&Cell],
    widths: &[usize],
    before: usize,
    room: Option<usize>,
    style: Style,
) -> Vec<String> {
    let Some((last, fixed)) = cells.split_last() else { return Vec::new() };
    let mut line = String::new();
    for (cell, width) in fixed.iter().zip(widths) {
        line.push_str(&painted(cell, &cell.text, style));
        line.extend(std::iter::repeat_n(' ', width + GAP - measure_text_width(&cell.text)));
    }
    let (indent, pieces) = match room {
        None => (before, vec![last.text.clone()]),
        Some(room) if measure_text_width(&last.text) <= room => (before, vec![last.text.clone()]),
        Some(room) if room >= NARROWEST => (before, wrap(&last.text, room)),
        Some(room) => {
            (INDENT, std::iter::once(String::new()).chain(wrap(&last.text, before + room - INDENT)).collect())
        }
    };
    let mut lines = Vec::with_capacity(pieces.len());
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            line = " ".repeat(indent);
        }
        line.push_str(&painted(last, piece, style));
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn painted(cell: &Cell, text: &str, style: Style) -> String {
    cell.role.map_or_else(|| text.to_owned(), |role| style.paint(role, text))
}

/// Breaks a text at blanks into lines of at most `width` cells; a longer word stays whole, to be copied.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the beginning");
        if line.is_empty() {
            line.push_str(word);
        } else if measure_text_width(line) + 1 + measure_text_width(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["NAME", "EMPTY", "CITY", "REASON"]);
        table.row([Cell::plain("a"), Cell::plain(""), Cell::plain("東京"), Cell::plain("short")]);
        table.row([
            Cell::new(Role::Bad, "longer name"),
            Cell::plain(""),
            Cell::plain("Ulm"),
            Cell::plain("a reason of some more words than fit into it"),
        ]);
        table
    }

    #[test]
    fn cells_are_aligned_by_width_and_empty_columns_left_out() {
        insta::assert_snapshot!(sample().lines(Style::PLAIN, None).join("\n"), @r"
        NAME         CITY  REASON
        a            東京  short
        longer name  Ulm   a reason of some more words than fit into it
        ");
    }

    #[test]
    fn the_last_column_wraps_or_moves_below() {
        insta::assert_snapshot!(sample().lines(Style::PLAIN, Some(46)).join("\n"), @r"
        NAME         CITY  REASON
        a            東京  short
        longer name  Ulm   a reason of some more words
                           than fit into it
        ");
        insta::assert_snapshot!(sample().lines(Style::PLAIN, Some(36)).join("\n"), @r"
        NAME         CITY  REASON
        a            東京  short
        longer name  Ulm
            a reason of some more words than
            fit into it
        ");
    }

    #[test]
    fn spare_columns_are_left_out_where_there_is_no_room() {
        let table = sample().spare(["CITY"]);
        assert_eq!(table.lines(Style::PLAIN, None), sample().lines(Style::PLAIN, None));
        insta::assert_snapshot!(table.lines(Style::PLAIN, Some(40)).join("\n"), @r"
        NAME         REASON
        a            short
        longer name  a reason of some more words
                     than fit into it
        ");
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let coloured = sample().lines(Style::COLOUR, Some(60));
        let plain: Vec<String> =
            coloured.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect();
        assert_ne!(coloured, plain);
        assert_eq!(plain, sample().lines(Style::PLAIN, Some(60)));
    }
}
