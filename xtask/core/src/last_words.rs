//! Which lines of a log tell why a program ended.

use crate::limits;

/// The last lines, from where the last panic begins when that is further up and there is room for it.
pub fn last_words(log: &[String]) -> &[String] {
    let last = log.len().saturating_sub(limits::LAST_LINES);
    let earliest = log.len().saturating_sub(limits::LAST_WORDS);
    let panic = log.iter().rposition(|line| line.contains("panicked at"));
    let first = panic.filter(|&panic| panic < last).map_or(last, |panic| panic.max(earliest));
    &log[first..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_shown_from_its_beginning() {
        let shown = |before: usize, panic: bool, after: usize| {
            let lines = |count, text: &str| std::iter::repeat_n(text.to_owned(), count);
            let panic = panic.then(|| "thread 'main' panicked at src/main.rs:3:5:".to_owned());
            let log: Vec<String> =
                lines(before, "before").chain(panic).chain(lines(after, "after")).collect();
            let told = last_words(&log);
            (told.len(), told.first().is_some_and(|line| line.contains("panicked")))
        };
        let (few, most) = (limits::LAST_LINES, limits::LAST_WORDS);
        assert_eq!(shown(0, false, 0), (0, false));
        assert_eq!(shown(3, false, 0), (3, false));
        assert_eq!(shown(most, false, 0), (few, false));
        // Among the last lines, above them, and too far up.
        assert_eq!(shown(most, true, 5), (few, false));
        assert_eq!(shown(most, true, few + 5), (few + 6, true));
        assert_eq!(shown(most, true, most), (most, false));
    }
}
