//! Whether a text is YAML: one document or several, no key twice.
//!
//! Must not: know what the documents mean.

use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::Fault;

/// The faults of a YAML file: the first one, after which nothing can be read.
pub fn check(text: &str) -> Vec<Fault> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    match serde_saphyr::from_multiple_with_options::<serde_json::Value>(text, options) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let line = error.location().map_or(0, |place| usize::try_from(place.line()).unwrap_or(0));
            let said = error.without_snippet().to_string();
            let said = said.lines().collect::<Vec<_>>().join(" ");
            vec![Fault::new(line, format!("not valid YAML: {said}"))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_faults_are_found_on_their_line() {
        let table = [
            ("a: 1\nb: [1, 2\n", None),
            ("a: 1\nb: 2\na: 3\n", Some(3)),
            ("a:\n  b: 1\n c: 2\n", Some(3)),
            ("a: 1\n---\nb: 1\nb: 2\n", Some(4)),
            ("a: *nowhere\n", Some(1)),
            ("a:\n\t- tab\n", Some(2)),
        ];
        for (text, line) in table {
            let faults = check(text);
            assert_eq!(faults.len(), 1, "{text:?}");
            if let Some(line) = line {
                assert_eq!(faults[0].line, line, "{text:?}: {}", faults[0]);
            }
            assert!(faults[0].message.starts_with("not valid YAML: "), "{}", faults[0]);
        }
    }

    #[test]
    fn what_is_yaml_has_no_fault() {
        for text in [
            "",
            "a: 1\n",
            "a: &x [1]\nb: *x\n",
            "a: 1\n---\na: 2\n",
            "- !custom x\n",
            "on: push\n",
            "a: .inf\n",
        ] {
            assert_eq!(check(text), [], "{text:?}");
        }
    }
}
