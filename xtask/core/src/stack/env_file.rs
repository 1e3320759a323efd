//! Environment files (`.env`, `env_file`) as Compose reads them (Compose Specification, `env_file`).

use std::collections::BTreeMap;

use super::fault::Fault;
use super::interpolation::{Variables, substitute};

/// The variables of an environment file.
///
/// One `NAME=VALUE` a line, `export` before it allowed; `#` begins a comment at the start of a line or after white
/// space. `'…'` is literal; `"…"` knows escapes and, like a value without quotes, interpolation; both may span lines.
/// Interpolation asks `variables` first, then the lines above. A name alone takes its value from `variables`.
///
/// # Errors
/// Every line that is none of this, the name of the variable as its key.
pub fn parse_env_file(text: &str, variables: &Variables<'_>) -> Result<BTreeMap<String, String>, Vec<Fault>> {
    let mut values = BTreeMap::new();
    let faults = extend(&mut values, text, variables);
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

/// Adds the variables of one more file; interpolation sees those that are there already.
pub(super) fn extend(
    values: &mut BTreeMap<String, String>,
    text: &str,
    variables: &Variables<'_>,
) -> Vec<Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut reader = Reader { rest: &text, line: 1, variables, values, faults: Vec::new() };
    while reader.statement() {}
    reader.faults
}

struct Reader<'t, 'v> {
    rest: &'t str,
    line: usize,
    variables: &'v Variables<'v>,
    values: &'v mut BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl<'t> Reader<'t, '_> {
    /// Reads one assignment or skips what is none; false at the end.
    fn statement(&mut self) -> bool {
        self.skip_blank();
        if self.rest.is_empty() {
            return false;
        }
        let line = self.line;
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
            self.rest = rest;
        }
        let (head, _) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        let separator = head.find(['=', ':']);
        let name = head[..separator.unwrap_or(head.len())].trim();
        let name_ok = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        if name.is_empty() || !name.chars().all(name_ok) {
            self.fault(line, "", format!("{name:?} is not a variable's name"));
            self.take_line();
            return true;
        }
        let Some(separator) = separator else {
            self.take_line();
            if let Some(value) = (self.variables)(name) {
                self.values.insert(name.to_owned(), value);
            }
            return true;
        };
        self.rest = self.rest[separator + 1..].trim_start_matches([' ', '\t']);
        match self.value() {
            Ok(value) => {
                self.values.insert(name.to_owned(), value);
            }
            Err(message) => self.fault(line, name, message),
        }
        true
    }

    fn value(&mut self) -> Result<String, String> {
        match self.rest.chars().next() {
            Some('\'') => {
                let raw = self.quoted('\'')?;
                self.end_of_line()?;
                Ok(raw)
            }
            Some('"') => {
                let raw = self.quoted('"')?;
                self.end_of_line()?;
                self.expand(&unescape(&raw))
            }
            _ => {
                let line = self.take_line();
                let line = line.find(" #").map_or(line, |comment| &line[..comment]);
                self.expand(line.trim_end())
            }
        }
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        let lookup = |name: &str| (self.variables)(name).or_else(|| self.values.get(name).cloned());
        substitute(text, &lookup, &mut Vec::new())
    }

    /// The text between two quotes, `\` before the quote removed and kept before all else.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut value = String::new();
        let mut escaped = false;
        for (index, character) in self.rest.char_indices().skip(1) {
            match character {
                _ if character == quote && !escaped => {
                    self.advance(index + 1);
                    return Ok(value);
                }
                '\\' if !escaped => escaped = true,
                _ => {
                    if escaped && character != quote {
                        value.push('\\');
                    }
                    value.push(character);
                    escaped = false;
                }
            }
        }
        self.advance(self.rest.len());
        Err(format!("the {quote} is not closed"))
    }

    /// Only white space or a comment may follow a closing quote.
    fn end_of_line(&mut self) -> Result<(), String> {
        let rest = self.take_line().trim();
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(());
        }
        Err(format!("{rest:?} stands behind the closing quote"))
    }

    fn skip_blank(&mut self) {
        loop {
            let trimmed = self.rest.trim_start();
            self.advance(self.rest.len() - trimmed.len());
            if !self.rest.starts_with('#') {
                return;
            }
            self.take_line();
        }
    }

    /// The rest of the line, which is consumed; its end is blank.
    fn take_line(&mut self) -> &'t str {
        let (line, _) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.advance(line.len());
        line
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    fn fault(&mut self, line: usize, key: &str, message: String) {
        self.faults.push(Fault { line, key: key.to_owned(), message });
    }
}

/// The escapes of a double-quoted value. `\$` becomes the `$$` that interpolation reads as a dollar sign; an escape that
/// is none stays as written.
fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('\\') | None => result.push('\\'),
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('t') => result.push('\t'),
            Some('"') => result.push('"'),
            Some('$') => result.push_str("$$"),
            Some('a') => result.push('\u{7}'),
            Some('b') => result.push('\u{8}'),
            Some('f') => result.push('\u{c}'),
            Some('v') => result.push('\u{b}'),
            Some(other) => result.extend(['\\', other]),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        let variables = |name: &str| (name == "SET").then(|| "value".to_owned());
        let faults =
            |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        parse_env_file(text, &variables).map_err(faults)
    }

    #[test]
    fn a_line_is_an_assignment() {
        let table = [
            ("A=1", "1"),
            ("  A = 1 2  # what it is", "1 2"),
            ("A: 1", "1"),
            ("export A=1", "1"),
            ("export\tA=1", "1"),
            ("A=a#b", "a#b"),
            ("A=", ""),
            ("A='$SET \\'s' # literal", "$SET 's"),
            ("A=$SET", "value"),
            ("A=\"$SET \\$SET\"", "value $SET"),
            ("A='1\n2'", "1\n2"),
            ("A=\"1\n2\"", "1\n2"),
            ("# the first\n\n# the second\r\nA=1\r\n", "1"),
        ];
        for (text, value) in table {
            let expected = BTreeMap::from([("A".to_owned(), value.to_owned())]);
            assert_eq!(read(text), Ok(expected), "{text:?}");
        }
        let alone = BTreeMap::from([("SET".to_owned(), "value".to_owned())]);
        assert_eq!(read("SET\nNOPE\n"), Ok(alone), "a name alone");
    }

    #[test]
    fn escapes_are_known_in_double_quotes() {
        let table = [
            (r"\n|\r|\t", "\n|\r|\t"),
            (r"\a|\b|\f|\v", "\u{7}|\u{8}|\u{c}|\u{b}"),
            (r#"\"|\\|\$SET"#, r#""|\|$SET"#),
            (r"\x|\1", r"\x|\1"),
            (r"ends with \\", r"ends with \"),
        ];
        for (written, value) in table {
            let expected = BTreeMap::from([("A".to_owned(), value.to_owned())]);
            assert_eq!(read(&format!("A=\"{written}\"")), Ok(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_assignment_is_told_with_its_line() {
        let table = [
            ("A=1\na b=1\n", "2: \"a b\" is not a variable's name"),
            ("\n=1\n", "2: \"\" is not a variable's name"),
            ("A=\"1\n2\"\nB='3' 4\n", "3: B: \"4\" stands behind the closing quote"),
            ("A='1\nB=2\n", "1: A: the ' is not closed"),
            ("# a comment\nA=${SET\n", "2: A: the brace of ${SET is not closed"),
        ];
        for (text, told) in table {
            assert_eq!(read(text), Err(told.to_owned()), "{text:?}");
        }
    }
}
