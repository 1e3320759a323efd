//! Colours, and the signs that carry the same meaning without them.
//!
//! Must not: write, or know events.

use anstyle::{AnsiColor, Style as Ansi};

use crate::event::ServiceState;

/// Whether text is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style(bool);

/// What a piece of text is, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Went well.
    Good,
    /// Under way, or to be looked at.
    Caution,
    /// Went wrong.
    Bad,
    /// Of less weight.
    Faint,
    /// Of more weight.
    Strong,
    /// A hint, a URL.
    Link,
    /// A service: one colour each, by its number.
    Service(usize),
}

/// The colours of services, told apart on dark and light grounds; red is left to failures.
const SERVICES: [AnsiColor; 8] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

impl Style {
    /// With colour.
    pub const COLOUR: Self = Self(true);
    /// Without.
    pub const PLAIN: Self = Self(false);

    /// Whether text is painted at all.
    pub(super) const fn is_coloured(self) -> bool {
        self.0
    }

    /// The text, painted for its role.
    pub fn paint(self, role: Role, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let ansi = match role {
            Role::Good => Ansi::new().fg_color(Some(AnsiColor::Green.into())),
            Role::Caution => Ansi::new().fg_color(Some(AnsiColor::Yellow.into())),
            Role::Bad => Ansi::new().fg_color(Some(AnsiColor::Red.into())),
            Role::Faint => Ansi::new().dimmed(),
            Role::Strong => Ansi::new().bold(),
            Role::Link => Ansi::new().fg_color(Some(AnsiColor::Cyan.into())),
            Role::Service(number) => Ansi::new().fg_color(Some(SERVICES[number % SERVICES.len()].into())),
        };
        format!("{ansi}{text}{ansi:#}")
    }
}

/// The sign and the role of a state: readable without colour.
pub(super) const fn state_sign(state: ServiceState) -> (&'static str, Role) {
    match state {
        ServiceState::Healthy | ServiceState::Running => ("●", Role::Good),
        ServiceState::Completed => ("✓", Role::Good),
        ServiceState::Starting => ("◐", Role::Caution),
        ServiceState::Paused => ("‖", Role::Caution),
        ServiceState::Unavailable => ("–", Role::Caution),
        ServiceState::Unhealthy | ServiceState::Exited => ("✗", Role::Bad),
        ServiceState::Stopped | ServiceState::Absent => ("○", Role::Faint),
    }
}

/// The text without what a terminal would obey: escape sequences, carriage returns, other control characters (a tab
/// becomes a blank). With `keep_colour`, colours and weights (SGR sequences) stay and are ended.
pub(super) fn sanitize(text: &str, keep_colour: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.peek() {
                // CSI: parameters and intermediates, then one final byte (ECMA-48, 5.4).
                Some('[') => {
                    rest.next();
                    let mut sequence = String::from("\u{1b}[");
                    for c in rest.by_ref() {
                        sequence.push(c);
                        if ('@'..='~').contains(&c) {
                            break;
                        }
                    }
                    let is_colour = sequence.ends_with('m')
                        && sequence[2..sequence.len() - 1]
                            .chars()
                            .all(|c| c.is_ascii_digit() || ";:".contains(c));
                    if keep_colour && is_colour {
                        clean.push_str(&sequence);
                        coloured = true;
                    }
                }
                // OSC: until BEL or ST (ECMA-48, 8.3.89).
                Some(']') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            rest.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                Some(_) => {
                    rest.next();
                }
                None => {}
            },
            '\t' => clean.push(' '),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    if coloured && !clean.ends_with("\u{1b}[0m") {
        clean.push_str("\u{1b}[0m");
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_would_obey_comes_through() {
        let table = [
            ("plain", "plain", "plain"),
            ("a\tb\r", "a b", "a b"),
            ("\u{1b}[31mred\u{1b}[0m", "red", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[1;31mred", "red", "\u{1b}[1;31mred\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone", "gone"),
            ("\u{1b}]0;title\u{7}text", "text", "text"),
            ("\u{1b}]8;;x\u{1b}\\text", "text", "text"),
            ("\u{1b}cx\u{7}", "x", "x"),
            ("cut \u{1b}[3", "cut ", "cut "),
            ("cut \u{1b}", "cut ", "cut "),
            ("C1 \u{9b}31m", "C1 31m", "C1 31m"),
        ];
        for (text, plain, coloured) in table {
            assert_eq!(sanitize(text, false), plain, "{text:?}");
            assert_eq!(sanitize(text, true), coloured, "{text:?}");
        }
    }

    #[test]
    fn paint_is_nothing_without_colour() {
        assert_eq!(Style::PLAIN.paint(Role::Bad, "x"), "x");
        assert_eq!(Style::COLOUR.paint(Role::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
