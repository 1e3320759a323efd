//! A YAML tree, written in block or flow style; which, a style decides. It knows nothing of Compose.

use std::cell::Cell;
use std::fmt::Write as _;

/// Choices between ways of writing, taken in turn from a list of random bytes.
pub(crate) struct Style<'a> {
    choices: &'a [u8],
    next: Cell<usize>,
}

impl<'a> Style<'a> {
    /// `choices` must not be empty.
    pub(crate) fn new(choices: &'a [u8]) -> Self {
        Self { choices, next: Cell::new(0) }
    }

    /// A number below `count`.
    pub(crate) fn pick(&self, count: u8) -> u8 {
        let next = self.next.get();
        self.next.set(next + 1);
        // The round is added, or a short list would make the same choices for every service.
        let round = u8::try_from(next / self.choices.len() % 7).expect("below seven");
        self.choices[next % self.choices.len()].wrapping_add(round) % count
    }

    /// One of two.
    pub(crate) fn flip(&self) -> bool {
        self.pick(2) == 0
    }
}

/// A YAML tree whose leaves are written already; an empty leaf is null.
pub(crate) enum Tree {
    Leaf(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// The tree as a document.
    pub(crate) fn write(&self, style: &Style<'_>) -> String {
        let mut text = String::new();
        self.block(0, style, &mut text);
        text
    }

    fn flow(&self, text: &mut String) {
        match self {
            Self::Leaf(leaf) => text.push_str(if leaf.is_empty() { "null" } else { leaf }),
            Self::List(items) => {
                text.push('[');
                for item in items {
                    item.flow(text);
                    text.push_str(", ");
                }
                text.push(']');
            }
            Self::Map(entries) => {
                text.push('{');
                for (key, value) in entries {
                    let _ = write!(text, "{}: ", quoted(key));
                    value.flow(text);
                    text.push_str(", ");
                }
                text.push('}');
            }
        }
    }

    fn block(&self, depth: usize, style: &Style<'_>, text: &mut String) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Map(entries) if !entries.is_empty() && (depth < 2 || style.flip()) => {
                for (key, value) in entries {
                    let _ = write!(text, "\n{indent}{}:", quoted(key));
                    value.block(depth + 1, style, text);
                }
            }
            Self::List(items) if !items.is_empty() && style.flip() => {
                for item in items {
                    let _ = write!(text, "\n{indent}- ");
                    item.flow(text);
                }
            }
            other => {
                text.push(' ');
                other.flow(text);
            }
        }
    }
}

/// The text in double quotes, as YAML and JSON agree on it.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
