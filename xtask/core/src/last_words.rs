//! Which lines of a log tell why a program ended.

use crate::limits;

/// The last lines, from where the last panic begins when that is further up and there is room for it.
pub fn last_words(log: &[String]) -> &[String] {
    let last = log.len().saturating_sub(limits::LAST_LINES);
    let earliest = log.len().saturating_sub(limits::LAST_WORDS);
    let panic = log.iter().rposition(|line| line.contains("panicked at"));
    let first = panic.map_or(last, |panic| panic.min(last).max(earliest));
    &log[first..]
}

/// What stands above the last lines of a service's log in a failure's evidence.
pub fn heading(service: &str) -> String {
    format!("last lines of {service}'s log:")
}

/// Where, in a failure's lines, a log begins of which the end says more than the beginning; of a panic it is the beginning.
pub fn log_to_be_cut(lines: &[String]) -> Option<usize> {
    let is_heading = |line: &String| line.starts_with("last lines of ") && line.ends_with("'s log:");
    let first = lines.iter().position(is_heading)? + 1;
    (!lines.get(first)?.contains("panicked at")).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_end_says_more_unless_it_is_a_panic() {
        let lines = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let heading = heading("web");
        assert_eq!(log_to_be_cut(&lines(&["web ended", &heading, "one", "two"])), Some(2));
        assert_eq!(log_to_be_cut(&lines(&["web ended", &heading, "thread 'main' panicked at x"])), None);
        assert_eq!(log_to_be_cut(&lines(&["web ended", &heading])), None);
        assert_eq!(log_to_be_cut(&lines(&["error: mismatched types"])), None);
        for other in ["last lines of it:", "web's log:"] {
            assert_eq!(log_to_be_cut(&lines(&[other, "one"])), None, "{other}");
        }
    }

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
