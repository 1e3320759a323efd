//! The room's whole way, text to stack: what each fault says, which texts mean the same, and that no text breaks it.

mod faults;
mod fronts;
mod meanings;
mod properties;

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::{Parsed, Source, StackError, parse};

/// Parses with `SET`, `EMPTY` and `HOME` as the variables, `some.env` and `bad.env` as the files, seen from `/project`.
fn read(text: &str) -> Result<Parsed, StackError> {
    parse(&Source {
        text,
        path: Path::new("compose.yaml"),
        directory: Path::new("/project"),
        project: None,
        variables: &|name| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "HOME" => Some("/home/somebody".to_owned()),
            _ => None,
        },
        files: &|path| match path.to_str() {
            Some("/project/some.env") => Some("A=file\nB=$SET\n".to_owned()),
            Some("/project/bad.env") => Some("A=1\nB=\"open\n".to_owned()),
            _ => None,
        },
    })
}

/// The faults, one a line, without the file's name.
fn faults(text: &str) -> String {
    match read(text) {
        Ok(parsed) => format!("no fault was found: {:#?}", parsed.stack),
        Err(error) => lines(error.faults.iter()),
    }
}

/// One service `web` of the image `image` with further keys, each on a line of its own from line 4 on.
fn service(keys: &str) -> String {
    let keys = lines(keys.lines().map(|line| format!("    {line}")));
    format!("services:\n  web:\n    image: image\n{keys}volumes:\n  data:\n")
}

/// Each item on a line of its own.
fn lines(items: impl Iterator<Item = impl Display>) -> String {
    items.fold(String::new(), |mut text, item| {
        let _ = writeln!(text, "{item}");
        text
    })
}
