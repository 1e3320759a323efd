//! The lines of a problem that stands, fitted to the terminal in which they are redrawn: none longer than it is wide,
//! no more than leave room for what goes on above, and what to do always among them.
//!
//! Must not: write, or know what the problem is about.

use super::table::wrap;
use crate::last_words::log_to_be_cut;

/// The fewest lines of a problem that are shown however small the terminal is.
const FEWEST: usize = 4;

/// Each line of a problem begins this much further in than what it is about.
pub(super) const INDENTED: usize = 2;

/// Whether all of a problem can be read in its fitted lines.
pub(super) fn is_whole(lines: &[String], fitted: &[String], columns: Option<usize>) -> bool {
    let width = columns.map_or(usize::MAX, |columns| columns.saturating_sub(INDENTED));
    let cut = |line: &String| console::measure_text_width(line) > width;
    !fitted.iter().any(cut) && fitted.len() >= lines.len()
}

/// The lines that are shown; how many are left out, before the hint that may end them, stands among them: they have been
/// written above.
pub(super) fn fitted(lines: &[String], rows: usize, columns: Option<usize>) -> Vec<String> {
    let width = columns.map_or(usize::MAX, |columns| columns.saturating_sub(INDENTED));
    let is_hint = |line: &String| line.starts_with("hint: ");
    let said = lines.iter().rposition(is_hint).unwrap_or(lines.len());
    let fit = |lines: &[String]| lines.iter().flat_map(|line| broken(line, width)).collect::<Vec<_>>();
    let (mut shown, hint) = (fit(&lines[..said]), fit(&lines[said..]));
    let most = (rows / 2).max(FEWEST).saturating_sub(hint.len()).max(1);
    let log = log_to_be_cut(&lines[..said]).map(|first| fit(&lines[..first]).len());
    if let Some(first) = log.filter(|first| shown.len() > most && first + 1 < most) {
        // What came last says why.
        let left_out = shown.len() - (most - 1);
        shown.splice(first..first + left_out, [format!("… {left_out} more lines, above")]);
    } else if shown.len() > most {
        let left_out = shown.len() - (most - 1);
        shown.truncate(most - 1);
        shown.push(format!("… {left_out} more lines, above"));
    }
    shown.extend(hint);
    shown
}

/// A sentence that is too long goes on in the next line. What begins further in is code or drawn below it, and stands for
/// itself: cut off it says more than broken.
fn broken(line: &str, width: usize) -> Vec<String> {
    let is_drawn = line.starts_with(char::is_whitespace) || line.contains('\u{1b}');
    if is_drawn || console::measure_text_width(line) <= width {
        return vec![line.to_owned()];
    }
    wrap(line, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_sentence_goes_on_in_the_next_line_and_code_does_not() {
        let problem = lines(&[
            "web ended with status 3",
            "  let code = \"is as it is\";",
            "",
            "hint: mend it and save",
        ]);
        let expected =
            ["web ended with", "status 3", "  let code = \"is as it is\";", "", "hint: mend it", "and save"];
        assert_eq!(fitted(&problem, 40, Some(16)), lines(&expected));
        assert_eq!(fitted(&problem, 40, None), problem, "where nothing is to be cut");
        assert!(is_whole(&problem, &lines(&expected), Some(30)));
        assert!(!is_whole(&problem, &lines(&expected), Some(16)), "the code is wider");
    }

    #[test]
    fn what_to_do_is_shown_however_much_was_said() {
        let said: Vec<String> = (0..9).map(|number| format!("line {number}")).collect();
        let problem = [said.clone(), lines(&["hint: mend it"])].concat();
        let expected = ["line 0", "line 1", "line 2", "… 6 more lines, above", "hint: mend it"];
        assert_eq!(fitted(&problem, 10, Some(80)), lines(&expected));
        assert!(!is_whole(&problem, &lines(&expected), Some(80)));
        assert_eq!(fitted(&said, 10, Some(80)).len(), 5);
        // Of a log that tells why something ended, the end is shown.
        let crash =
            [lines(&["web ended with status 3", "last lines of web's log:"]), problem.clone()].concat();
        let expected = [
            "web ended with status 3",
            "last lines of web's log:",
            "… 7 more lines, above",
            "line 7",
            "line 8",
            "hint: mend it",
        ];
        assert_eq!(fitted(&crash, 12, Some(80)), lines(&expected));
        assert_eq!(fitted(&problem, 1, Some(80)).len(), FEWEST);
        assert_eq!(fitted(&problem, 20, Some(80)), problem);
    }
}
