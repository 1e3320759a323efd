//! A command line split into words, as Compose splits `command: …`, `entrypoint: …`. No variables, no operators: what
//! would need a shell is refused, where Compose would drop the rest of the line without a word.

/// Splits at white space. `'…'` is literal, `"…"` and the text outside quotes know `\` as escape.
///
/// # Errors
/// When a quote is not closed, or an operator of the shell stands outside quotes.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    // A word begins with its first character or quote, so that '' is a word.
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(inner) => word.push(inner),
                        None => return Err("a ' is not closed".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') => word.extend(characters.next()),
                        Some(inner) => word.push(inner),
                        None => return Err("a \" is not closed".to_owned()),
                    }
                }
            }
            '\\' => match characters.next() {
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err("a \\ stands at the end".to_owned()),
            },
            ';' | '&' | '|' | '<' | '>' | '(' | ')' | '`' => {
                return Err(format!(
                    "{character:?} needs a shell, and none is run here: write [\"sh\", \"-c\", \"…\"], or quote it"
                ));
            }
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}
