//! `$VAR` and `${VAR…}` in values (Compose Specification, "Interpolation"): `:-` `-` default, `:?` `?` required, `:+` `+`
//! alternative, nested, `$$` for a dollar sign. Keys are not interpolated.

use super::fault::Faults;
use super::yaml::{Node, Value};

/// The values of variables; `None` is unset.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// How deep defaults may nest in each other; a person loses track at three.
const MAX_NESTING: usize = 32;

/// Replaces the variables in every value of the tree. A value that fails is reported and marked faulty.
pub(super) fn interpolate(node: &mut Node, variables: &Variables<'_>, faults: &Faults, warnings: &Faults) {
    walk(node, "", &mut |key, line, text| {
        let mut unset = Vec::new();
        match substitute(text, variables, &mut unset) {
            Ok(text) => {
                for name in unset {
                    let message = format!("the variable {name} is not set, its value here is empty");
                    warnings.add(line, key, message);
                }
                Some(text)
            }
            Err(message) => {
                faults.add(line, key, message);
                None
            }
        }
    });
}

fn walk(node: &mut Node, key: &str, replace: &mut dyn FnMut(&str, usize, &str) -> Option<String>) {
    match &mut node.value {
        Value::Text(text) => {
            node.value = replace(key, node.line, text).map_or(Value::Faulty, Value::Text);
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{key}[{index}]"), replace);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let inner = if key.is_empty() { entry.key.clone() } else { format!("{key}.{}", entry.key) };
                walk(&mut entry.node, &inner, replace);
            }
        }
        _ => {}
    }
}

/// The text with its variables replaced. Names that are unset and have no default go to `unset`.
///
/// # Errors
/// When the syntax is wrong, or a required variable is missing; the message names the variable.
pub(super) fn substitute(
    text: &str,
    variables: &Variables<'_>,
    unset: &mut Vec<String>,
) -> Result<String, String> {
    Substitution { variables, unset }.run(text, 0)
}

struct Substitution<'a, 'v> {
    variables: &'a Variables<'v>,
    unset: &'a mut Vec<String>,
}

impl Substitution<'_, '_> {
    fn run(&mut self, text: &str, depth: usize) -> Result<String, String> {
        if depth > MAX_NESTING {
            return Err(format!("variables nest deeper than {MAX_NESTING}"));
        }
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            result.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            if let Some(after) = after.strip_prefix('$') {
                result.push('$');
                rest = after;
            } else if let Some(inner) = after.strip_prefix('{') {
                let end = closing_brace(inner)
                    .ok_or_else(|| format!("the brace of ${{{} is not closed", shorten(inner)))?;
                result.push_str(&self.expression(&inner[..end], depth)?);
                rest = &inner[end + 1..];
            } else {
                let name = name_at_start(after);
                if name.is_empty() {
                    // No variable can begin here, so Compose takes the sign for itself (`$1`, `cost: 5 $`).
                    result.push('$');
                } else {
                    result.push_str(&self.value_or_empty(name));
                }
                rest = &after[name.len()..];
            }
        }
        result.push_str(rest);
        Ok(result)
    }

    /// What stands between the braces.
    fn expression(&mut self, text: &str, depth: usize) -> Result<String, String> {
        let name = name_at_start(text);
        if name.is_empty() {
            return Err(format!("${{{}}} names no variable", shorten(text)));
        }
        let operation = &text[name.len()..];
        if operation.is_empty() {
            return Ok(self.value_or_empty(name));
        }
        let value = (self.variables)(name);
        let (colon, operation) = match operation.strip_prefix(':') {
            Some(operation) => (true, operation),
            None => (false, operation),
        };
        // With the colon, an empty variable counts as unset.
        let present = value.filter(|value| !(colon && value.is_empty()));
        let mut operation = operation.chars();
        let operator = operation.next();
        let operand = operation.as_str();
        match operator {
            Some('-') => present.map_or_else(|| self.run(operand, depth + 1), Ok),
            Some('+') => present.map_or_else(|| Ok(String::new()), |_| self.run(operand, depth + 1)),
            Some('?') => present.map_or_else(
                || {
                    let reason = self.run(operand, depth + 1)?;
                    let state = if colon { "is not set, or empty" } else { "is not set" };
                    let separator = if reason.is_empty() { "" } else { ": " };
                    Err(format!("the variable {name} {state}{separator}{reason}"))
                },
                Ok,
            ),
            _ => Err(format!(
                "${{{}}} is none of ${{VAR}}, ${{VAR:-default}}, ${{VAR:?message}}, ${{VAR:+other}}",
                shorten(text)
            )),
        }
    }

    fn value_or_empty(&mut self, name: &str) -> String {
        (self.variables)(name).unwrap_or_else(|| {
            if !self.unset.iter().any(|known| known == name) {
                self.unset.push(name.to_owned());
            }
            String::new()
        })
    }
}

/// The longest prefix that is a variable's name.
fn name_at_start(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let name = &text[..end];
    if name.starts_with(|c: char| c.is_ascii_digit()) { "" } else { name }
}

/// Where the brace closes that was opened before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(index);
        }
    }
    None
}

/// Enough of a text to recognise it in a message, on one line.
fn shorten(text: &str) -> String {
    const ENOUGH: usize = 40;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= ENOUGH {
        return line;
    }
    line.chars().take(ENOUGH).chain(['…']).collect()
}
