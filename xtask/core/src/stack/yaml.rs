//! YAML text → a tree whose every node knows its line. The only file of this room that names `serde_saphyr`;
//! `checks` reads workflows with it.
//!
//! Anchors, aliases and merge keys are resolved here. Scalars are typed as Compose's own parser types them: YAML 1.2's
//! booleans (`yes` is text), octal numbers with or without the `o`. It knows nothing of Compose.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::fault::Fault;

/// Nodes a file may have, aliases expanded: fifty times Homeport's own file. It is what stops a file whose few aliases
/// would unfold into gigabytes.
const MAX_NODES: usize = 20_000;

/// How deep a file may nest: Compose's own deepest key is at ten, and a level costs the reading thread some 30 KiB of its
/// stack in an unoptimised build.
const MAX_DEPTH: usize = 24;

/// A value and the line it is written on; where an alias stands for it, the line of the anchored original, because
/// that is where a person mends it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// A YAML value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A value that is already reported as a fault; whoever reads it says nothing more.
    Faulty,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// What the key is when it is not text; Compose has no such keys.
    pub(crate) odd_key: Option<String>,
    /// The line of the key.
    pub(crate) line: usize,
    pub(crate) node: Node,
}

impl Value {
    /// The text by which a person would point at it: itself, or a mapping's `source`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Map(entries) => {
                let source = entries.iter().find(|entry| entry.key == "source");
                source.map_or_else(String::new, |entry| entry.node.value.label())
            }
            _ => String::new(),
        }
    }

    /// What it is, for a message that expected something else.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Null | Self::Faulty => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Integer(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {}", float_text(*value)),
            Self::Text(text) => format!("the text {text:?}"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A number as Compose writes it where text is wanted (Go's `%g`): the shortest form, with an exponent of at least two
/// digits from 10⁶ on and below 10⁻⁴.
pub(super) fn float_text(value: f64) -> String {
    if value.is_infinite() {
        return if value == f64::INFINITY { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return value.to_string() };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// Reads one document.
///
/// # Errors
/// The one place where the text is not YAML, repeats a key, or passes a limit.
pub(crate) fn read(text: &str) -> Result<Node, Fault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        legacy_octal_numbers: true,
        strict_booleans: true,
        // `!reset` and `!override` mean something to Compose, and nothing here.
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(0, |location| line_number(location.line()));
        Fault { line, key: String::new(), message: describe(&error) }
    })
}

/// The library's message without the place, which the fault names in its own way; in our words where the library's speak
/// to its programmer.
fn describe(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    use serde_saphyr::budget::BudgetBreach;
    let error = error.without_snippet();
    let text = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} is written twice"),
        Error::MultipleDocuments { .. } => "there is more than one document".to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands for something that contains it".to_owned()
        }
        Error::AliasReplayLimitExceeded { .. } => {
            "its aliases unfold into more than a stack can be".to_owned()
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            format!("it nests deeper than {MAX_DEPTH} levels")
        }
        Error::Budget { breach: BudgetBreach::Nodes { .. }, .. } => {
            format!("it has more than {MAX_NODES} values, its aliases unfolded")
        }
        Error::Budget { .. } => "it is larger than a stack can be".to_owned(),
        _ => error.to_string(),
    };
    let text = text.split(" at line ").next().unwrap_or(&text);
    format!("not valid YAML: {}", text.lines().collect::<Vec<_>>().join(" "))
}

fn line_number(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: line_number(spanned.defined.line()), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, node)) = entries.next_entry::<Node, Node>()? {
            let (text, odd_key) = match key.value {
                Value::Text(text) => (text, None),
                other => (String::new(), Some(other.kind())),
            };
            map.push(Entry { key: text, odd_key, line: key.line, node });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::float_text;

    #[test]
    fn a_number_is_written_as_go_does() {
        let table = [
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.0, "0"),
            (-1.5, "-1.5"),
            (999_999.5, "999999.5"),
            (1_000_000.0, "1e+06"),
            (1.25e123, "1.25e+123"),
            (0.000_1, "0.0001"),
            (0.000_012, "1.2e-05"),
        ];
        for (value, text) in table {
            assert_eq!(float_text(value), text);
        }
    }
}
