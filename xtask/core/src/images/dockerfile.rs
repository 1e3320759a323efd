//! The little that Homeport itself reads from a Dockerfile: what its stages build on, and how its stage on nothing is
//! configured. Pure.
//!
//! Must not: grow into a builder; that is the engine's.

use std::collections::BTreeMap;

use crate::stack::ImageReference;

/// The values of `ARG`s.
pub type Arguments = BTreeMap<String, String>;

/// One instruction on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// In capitals: `FROM`.
    pub keyword: String,
    /// What follows it, continuation lines joined.
    pub rest: String,
}

/// The instructions of a Dockerfile: comments left out, continued lines joined (Dockerfile reference, "Format").
pub fn instructions(dockerfile: &str) -> Vec<Instruction> {
    let mut instructions = Vec::new();
    let mut joined = String::new();
    let mut begun = None;
    let lines = (1..).zip(dockerfile.lines().map(str::trim));
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let first = *begun.get_or_insert(number);
        if let Some(continued) = line.strip_suffix('\\') {
            joined.push_str(continued.trim_end());
            joined.push(' ');
            continue;
        }
        joined.push_str(line);
        let whole = std::mem::take(&mut joined);
        let (keyword, rest) = whole.split_once(char::is_whitespace).unwrap_or((&whole, ""));
        begun = None;
        instructions.push(Instruction {
            line: first,
            keyword: keyword.to_ascii_uppercase(),
            rest: rest.trim().to_owned(),
        });
    }
    instructions
}

/// An `ARG` with a default; one without sets nothing.
pub fn argument(rest: &str) -> Option<(String, String)> {
    let (name, value) = rest.split_once('=')?;
    Some((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
}

/// The words of a `FROM`: the image, and the stage's name.
pub fn from<'a>(rest: &'a str, arguments: &Arguments) -> (String, Option<&'a str>) {
    let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
    let image = fill_in(words.next().unwrap_or_default(), arguments);
    let named = words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"));
    (image, words.next().filter(|_| named))
}

/// The images that a Dockerfile builds on: what its `FROM`s name, stages of its own and `scratch` left out, with the
/// defaults of the `ARG`s before the first `FROM` filled in (Dockerfile reference, "ARG and FROM interact").
pub fn bases(dockerfile: &str) -> Vec<ImageReference> {
    let mut arguments = Arguments::new();
    let mut stages: Vec<String> = Vec::new();
    let mut bases: Vec<ImageReference> = Vec::new();
    for Instruction { keyword, rest, .. } in instructions(dockerfile) {
        match keyword.as_str() {
            "ARG" if stages.is_empty() => arguments.extend(argument(&rest)),
            "FROM" => {
                let (image, name) = from(&rest, &arguments);
                let reference = ImageReference::new(&image);
                if image != "scratch" && !stages.contains(&image) && !bases.contains(&reference) {
                    bases.push(reference);
                }
                stages.push(name.unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
    bases
}

/// The configuration of the first stage that starts from nothing, as instructions one a line: what an image needs
/// besides its files. Its `ARG`s are filled in with the values given, else their defaults.
///
/// # Errors
/// When there is no such stage, or it does something that is no configuration; in words.
pub fn configuration(dockerfile: &str, given: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let mut arguments = Arguments::new();
    let mut lines = Vec::new();
    let mut inside = false;
    for Instruction { keyword, rest, .. } in instructions(dockerfile) {
        match keyword.as_str() {
            "FROM" if inside => return Ok(lines),
            "FROM" => inside = from(&rest, &arguments).0 == "scratch",
            "ARG" => {
                let name = rest.split('=').next().unwrap_or_default();
                let given = given.get(name).map(|value| (name.to_owned(), value.clone()));
                arguments.extend(given.or_else(|| argument(&rest)));
            }
            _ if !inside => {}
            "RUN" | "COPY" | "ADD" => return Err(format!("its stage on scratch has {keyword} {rest}")),
            _ => lines.push(format!("{keyword} {}", fill_in(&rest, &arguments))),
        }
    }
    if inside { Ok(lines) } else { Err("it has no stage FROM scratch".to_owned()) }
}

/// Fills in `$NAME`, `${NAME}` and `${NAME:-default}`.
fn fill_in(text: &str, arguments: &Arguments) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let (name, default, after) = if let Some(inner) = after.strip_prefix('{') {
            let (inner, after) = inner.split_once('}').unwrap_or((inner, ""));
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            (name, default, after)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (&after[..end], "", &after[end..])
        };
        filled.push_str(arguments.get(name).map_or(default, String::as_str));
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bases_of_a_dockerfile_are_what_its_stages_start_from() {
        let table: [(&str, &[&str]); 7] = [
            ("FROM a:1 AS one\nARG BASE=b:2\nFROM ${BASE:-c:3}", &["a:1", "c:3"]),
            ("FROM debian:trixie-slim\nRUN x", &["debian:trixie-slim"]),
            ("ARG BASE=debian:trixie-slim\nFROM ${BASE}\nARG BASE=other\n", &["debian:trixie-slim"]),
            (
                "# FROM x\nARG V=\"1.89\"\nfrom --platform=$BUILDPLATFORM rust:$V-slim as build\nFROM scratch\nCOPY --from=build /a /a",
                &["rust:1.89-slim"],
            ),
            ("FROM a:1 AS one\nFROM one\nFROM b:2\nFROM a:1", &["a:1", "b:2"]),
            ("FROM ${NONE:-debian}:12", &["debian:12"]),
            ("RUN nothing", &[]),
        ];
        for (dockerfile, expected) in table {
            let expected: Vec<ImageReference> = expected.iter().copied().map(ImageReference::new).collect();
            assert_eq!(bases(dockerfile), expected, "{dockerfile}");
        }
    }

    #[test]
    fn the_stage_on_scratch_is_read_as_configuration() {
        let dockerfile = r#"
ARG VERSION=dev
FROM scratch AS runtime
ARG SOURCE=
# A comment.
LABEL a="${VERSION}" \
      # Another one, between the lines.
      b="${SOURCE}"
USER 1000:1000
healthcheck --interval=5s CMD ["/service", "health"]
FROM runtime AS host
COPY service.bin /service
"#;
        let expected = [
            r#"LABEL a="dev" b="""#,
            "USER 1000:1000",
            r#"HEALTHCHECK --interval=5s CMD ["/service", "health"]"#,
        ];
        let nothing = BTreeMap::new();
        assert_eq!(configuration(dockerfile, &nothing).expect("it has the stage"), expected);
        let given =
            BTreeMap::from([("SOURCE".to_owned(), "here".to_owned()), ("X".to_owned(), String::new())]);
        let filled = configuration(dockerfile, &given).expect("it has the stage");
        assert_eq!(filled[0], r#"LABEL a="dev" b="here""#);
        assert_eq!(configuration("FROM scratch\nCMD x", &nothing), Ok(vec!["CMD x".to_owned()]));
        let behind = "FROM debian:12\nUSER 5\nRUN make\nFROM scratch\nCMD x";
        assert_eq!(configuration(behind, &nothing), Ok(vec!["CMD x".to_owned()]));
        let table = [
            ("FROM debian:12\nUSER 1", "it has no stage FROM scratch"),
            ("FROM scratch\nCOPY a /a", "its stage on scratch has COPY a /a"),
        ];
        for (dockerfile, reason) in table {
            assert_eq!(configuration(dockerfile, &nothing), Err(reason.to_owned()));
        }
    }
}
