//! HTML and SVG as they are written. Architecture invariant: names of elements and attributes are ours, every text and every
//! value is escaped, and nothing else can be written.
//!
//! Must not: know what is drawn.

use std::fmt::Write as _;

/// Elements that have no end tag (HTML Standard, "void elements"), as far as they are used.
const VOID: [&str; 2] = ["meta", "br"];

/// Markup that is being written.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

/// Attributes: a name, and a value that will be escaped.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Markup {
    /// An element with what `inside` writes.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.begin(name, attributes);
        inside(self);
        let _ = write!(self.0, "</{name}>");
    }

    /// An element with a text.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |inside| inside.text(text));
    }

    /// An element with nothing in it.
    pub(super) fn empty(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.begin(name, attributes);
        if !VOID.contains(&name) {
            let _ = write!(self.0, "</{name}>");
        }
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        escape(&mut self.0, text);
    }

    /// The style sheet, which is ours.
    pub(super) fn style(&mut self, sheet: &'static str) {
        let _ = write!(self.0, "<style>\n{sheet}</style>");
    }

    /// The end of a line, for whoever reads the source.
    pub(super) fn line(&mut self) {
        self.0.push('\n');
    }

    /// The document.
    pub(super) fn into_document(self) -> String {
        format!("<!DOCTYPE html>\n{}\n", self.0)
    }

    #[cfg(test)]
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn begin(&mut self, name: &'static str, attributes: Attributes<'_>) {
        let _ = write!(self.0, "<{name}");
        for (attribute, value) in attributes {
            let _ = write!(self.0, " {attribute}=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
    }
}

fn escape(to: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            // No document may hold them (HTML Standard, "preprocessing the input stream").
            character if character.is_control() && !matches!(character, '\n' | '\t') => to.push('\u{fffd}'),
            character => to.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_from_elsewhere_is_escaped() {
        let mut markup = Markup::default();
        markup.element("p", &[("title", "\"'><script>")], |inside| {
            inside.text("</p><script>alert('&')</script>\u{1b}[2J");
            inside.empty("br", &[]);
            inside.leaf("path", &[("d", "M0 0")], "");
        });
        assert_eq!(
            markup.into_text(),
            "<p title=\"&quot;&#39;&gt;&lt;script&gt;\">&lt;/p&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;\
             \u{fffd}[2J<br><path d=\"M0 0\"></path></p>"
        );
    }
}
