//! Walking the tree: a place in the file that can say what is wrong there, and a mapping that knows which of its keys
//! nobody asked for. It knows no key of Compose by name, except that `x-` begins an extension.

use std::collections::BTreeMap;

use super::fault::Faults;
use super::yaml::{Node, Value, float_text};

/// A place in the file.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub(super) node: &'a Node,
    /// The dotted key of the place.
    pub(super) key: String,
    /// The line of the key where the place has one, else of the value.
    pub(super) line: usize,
    faults: &'a Faults,
}

impl<'a> Cursor<'a> {
    /// The whole document.
    pub(super) fn root(node: &'a Node, faults: &'a Faults) -> Self {
        Self { node, key: String::new(), line: node.line, faults }
    }

    /// The place below `key` that names `name`, as a list's item or a mapping's key: as near to it as the file allows,
    /// so that a fault found late still points at its line.
    pub(super) fn inner(&self, key: &str, name: &str) -> Cursor<'a> {
        let below = |at: &Cursor<'a>| match &at.node.value {
            Value::Map(_) => at.entries().into_iter().map(|(key, at)| (key.to_owned(), at)).collect(),
            Value::List(_) => at.list().into_iter().map(|at| (at.node.value.label(), at)).collect(),
            _ => Vec::new(),
        };
        let Some((_, section)) = below(self).into_iter().find(|(found, _)| found == key) else {
            return self.clone();
        };
        let item = below(&section).into_iter().find(|(found, _)| {
            found.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        if name.is_empty() { section } else { item.map_or(section, |(_, at)| at) }
    }

    /// Reports a fault here.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.faults.add(self.line, &self.key, message);
    }

    /// Reports a fault and gives nothing, for a value that cannot be used.
    fn refuse<T>(&self, expected: &str) -> Option<T> {
        if !matches!(self.node.value, Value::Faulty) {
            self.fault(format!("expected {expected}, found {}", self.node.value.kind()));
        }
        None
    }

    /// Whether nothing stands here.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// Text. A number or boolean must be quoted, as Compose itself demands.
    pub(super) fn text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => self.refuse("text (put it in quotes)"),
            _ => self.refuse("text"),
        }
    }

    /// Text that is not empty.
    pub(super) fn filled_text(&self) -> Option<String> {
        let text = self.text()?;
        if text.is_empty() {
            self.fault("must not be empty");
            return None;
        }
        Some(text)
    }

    /// Text, or a number as text (driver options).
    pub(super) fn text_or_number(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(_) | Value::Integer(_) | Value::Float(_) => self.scalar(),
            _ => self.refuse("text or a number"),
        }
    }

    /// Text, or a number or boolean as text: where Compose takes any scalar (environment, labels).
    pub(super) fn scalar(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Float(value) => Some(float_text(*value)),
            _ => self.refuse("text, a number or a boolean"),
        }
    }

    /// A boolean, also written as text: interpolation yields text (Compose Specification, "Interpolation").
    pub(super) fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => match text.to_lowercase().as_str() {
                "true" | "y" | "yes" | "on" => Some(true),
                "false" | "n" | "no" | "off" => Some(false),
                _ => self.refuse("true or false"),
            },
            _ => self.refuse("true or false"),
        }
    }

    /// A whole number that fits `T`, also written as text.
    pub(super) fn integer<T: TryFrom<i128>>(&self) -> Option<T> {
        let number = match &self.node.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        match number.map(T::try_from) {
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                self.fault(format!("{} is out of range", self.node.value.kind()));
                None
            }
            None => self.refuse("a whole number"),
        }
    }

    /// What `parse` makes of the text here; its error is reported.
    pub(super) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.scalar()?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(message);
                None
            }
        }
    }

    /// [`Self::parsed`] where Compose takes only text (durations).
    pub(super) fn parsed_text<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.text().and_then(|_| self.parsed(parse))
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Vec<Cursor<'a>> {
        match &self.node.value {
            Value::List(items) => self.items(items),
            _ => self.refuse("a list").unwrap_or_default(),
        }
    }

    /// The items of a list, or the one thing that stands in its place.
    pub(super) fn list_or_one(&self) -> Vec<Cursor<'a>> {
        match &self.node.value {
            Value::List(items) => self.items(items),
            _ => vec![self.clone()],
        }
    }

    fn items(&self, items: &'a [Node]) -> Vec<Cursor<'a>> {
        let item = |(index, node): (usize, &'a Node)| Cursor {
            node,
            key: format!("{}[{index}]", self.key),
            line: node.line,
            faults: self.faults,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Vec<String> {
        self.list().iter().filter_map(Cursor::filled_text).collect()
    }

    /// The entries of a mapping, those without a value among them.
    pub(super) fn entries(&self) -> Vec<(&'a str, Cursor<'a>)> {
        match &self.node.value {
            Value::Map(entries) => entries
                .iter()
                .filter(|entry| {
                    if let Some(kind) = &entry.odd_key {
                        self.faults.add(
                            entry.line,
                            &self.key,
                            format!("a key must be text, not {kind}: quote it"),
                        );
                    }
                    entry.odd_key.is_none()
                })
                .map(|entry| {
                    let key = if self.key.is_empty() {
                        entry.key.clone()
                    } else {
                        format!("{}.{}", self.key, entry.key)
                    };
                    (
                        entry.key.as_str(),
                        Cursor { node: &entry.node, key, line: entry.line, faults: self.faults },
                    )
                })
                .collect(),
            _ => self.refuse("a mapping").unwrap_or_default(),
        }
    }

    /// `[A=1, B]` or `{A: 1, B: }`; a name without a value is `None`. A repeated name keeps the last value.
    pub(super) fn assignments(&self) -> BTreeMap<String, Option<String>> {
        match &self.node.value {
            Value::List(_) => (self.list().iter())
                .filter_map(Cursor::text)
                .map(|text| match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                })
                .collect(),
            Value::Map(_) => (self.entries().into_iter())
                .filter_map(|(name, at)| {
                    let value = if at.is_null() { None } else { Some(at.scalar()?) };
                    Some((name.to_owned(), value))
                })
                .collect(),
            _ => self.refuse("a mapping, or a list of NAME=VALUE").unwrap_or_default(),
        }
    }

    /// [`Self::assignments`] where a name without a value has an empty one (labels).
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        self.assignments().into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
    }

    /// A mapping whose keys are the specification's.
    pub(super) fn section(&self) -> Section<'a> {
        let left = if self.is_null() { Vec::new() } else { self.entries() };
        Section { left, known: Vec::new() }
    }
}

/// A mapping that is being read key by key.
pub(super) struct Section<'a> {
    left: Vec<(&'a str, Cursor<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The value of `key`. A key with nothing after the colon is reported, as Compose does.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        let at = self.remove(key)?;
        if at.is_null() {
            at.fault("has no value");
            return None;
        }
        Some(at)
    }

    /// The value of `key`; nothing after the colon means the same as no key.
    pub(super) fn take_nullable(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        self.remove(key).filter(|at| !at.is_null())
    }

    fn remove(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        self.known.push(key);
        let index = self.left.iter().position(|(name, _)| *name == key)?;
        Some(self.left.remove(index).1)
    }

    /// Reports the keys that nobody took: those in `unsupported` as what Homeport cannot do, the others as unknown.
    /// Extensions are left alone, as the specification says, but for `x-homeport` where it has no meaning.
    pub(super) fn finish(mut self, unsupported: &[&str]) {
        self.left.retain(|(key, _)| !key.starts_with("x-") || *key == "x-homeport");
        self.finish_strictly(unsupported);
    }

    /// [`Self::finish`] where an extension has no place either.
    pub(super) fn finish_strictly(self, unsupported: &[&str]) {
        for (key, at) in &self.left {
            if unsupported.contains(key) {
                at.fault("Homeport does not support this key");
                continue;
            }
            match nearest(key, self.known.iter().copied()) {
                Some(known) => at.fault(format!("there is no such key here (did you mean `{known}`?)")),
                None => at.fault("there is no such key here, or Homeport does not support it"),
            }
        }
    }
}

/// The candidate that a person who wrote `word` most likely meant, if one is close: at most two slips, and no more than
/// one in three letters.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let bound = 2.min(word.chars().count() / 3);
    (candidates.into_iter())
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean …?)` when a candidate is close, else nothing: to be put at the end of a message.
pub(super) fn suggestion<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
}
