//! What psql says when Postgres refuses a script.
//!
//! Must not: run one.

/// The SQLSTATEs of what a migration would make (Postgres' `errcodes.txt`): an undefined table, column or schema.
const MISSING: [&str; 3] = ["42P01", "42703", "3F000"];

/// What psql calls a script that it was given on its standard input.
const STDIN: &str = "psql:<stdin>:";

/// Whether what is missing is something that a migration makes. psql tells the SQLSTATE where it is verbose:
/// `psql:<stdin>:5: ERROR:  42P01: relation "items" does not exist`.
pub fn is_for_missing(lines: &[String]) -> bool {
    let states = lines.iter().filter_map(|line| line.split_once("ERROR:  ")?.1.split_once(':'));
    states.into_iter().any(|(state, _)| MISSING.contains(&state))
}

/// A line of psql's, with the name of the file that the script came from.
pub fn of_file(line: &str, file: &str) -> String {
    line.strip_prefix(STDIN).map_or_else(|| line.to_owned(), |rest| format!("{file}:{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_migrations_make_is_told_from_other_refusals() {
        let table = [
            (r#"psql:<stdin>:5: ERROR:  42P01: relation "items" does not exist"#, true),
            (r#"psql:<stdin>:5: ERROR:  42703: column "colour" does not exist"#, true),
            (r#"ERROR:  3F000: schema "shop" does not exist"#, true),
            (
                r#"psql:<stdin>:5: ERROR:  23505: duplicate key value violates unique constraint "42P01""#,
                false,
            ),
            (r#"psql:<stdin>:2: ERROR:  42601: syntax error at or near "INSRT""#, false),
            ("LINE 1: SELECT '42P01: no'", false),
            ("psql: error: connection refused", false),
        ];
        for (line, expected) in table {
            assert_eq!(is_for_missing(&["first".to_owned(), line.to_owned()]), expected, "{line}");
        }
    }

    #[test]
    fn a_line_is_one_of_the_file() {
        assert_eq!(of_file("psql:<stdin>:5: ERROR:  x", "a/seed.sql"), "a/seed.sql:5: ERROR:  x");
        assert_eq!(of_file("LINE 1: psql:<stdin>:5:", "a/seed.sql"), "LINE 1: psql:<stdin>:5:");
    }
}
