//! The keys of a `dev` that stays: what each is for, and what is said of them. `press` is pure; the rest listens and speaks.
//!
//! Without a terminal there are none.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Context;
use crate::event::{Event, ServiceReport, ServiceState};
use crate::process::Program;
use crate::stack::ServiceName;
use crate::tty::{Keyboard, leave_terminal, return_to_terminal};
use crate::ui::{Format, can_ask};

/// What `?` tells, a line each.
const HELP: [&str; 6] = [
    "r  restart what is built here: another container of the same image takes its place",
    "b  build now, though nothing was saved",
    "l  show the logs of one service only, of the next, and after the last of all again (L: of all)",
    "o  open an address in the browser",
    "q  stop the stack, as Ctrl-C does",
    "?  this",
];

/// All keys, the numbers of addresses among them.
const KEYS: &str = "rblLoq?123456789";

/// The keys in what was typed. Several at once were pressed fast, or are a text that was pasted: that has other characters
/// too, and nothing of it is anybody's command.
fn keys_of(typed: &str) -> &str {
    let alone = typed.chars().nth(1).is_none();
    if alone || typed.chars().all(|key| KEYS.contains(key)) { typed } else { "" }
}

/// What a key asks of whoever brings the stack up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Restart,
    Rebuild,
}

/// What a key comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Deed {
    Ask(Asked),
    /// Only this service's logs are shown, or all.
    Narrow(Option<String>),
    /// One of these addresses is to be chosen by its number.
    Offer(Vec<String>),
    Open(String),
    Say(&'static str),
    Stop,
    Help,
    Nothing,
}

/// What earlier keys have left.
#[derive(Debug, Default)]
struct Pressed {
    narrowed: Option<String>,
    offered: Vec<String>,
}

impl Pressed {
    fn press(&mut self, key: char, services: &[ServiceReport]) -> Deed {
        let offered = std::mem::take(&mut self.offered);
        let number = key.to_digit(10).and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        if let Some(url) = number.and_then(|number| offered.get(number)) {
            return Deed::Open(url.clone());
        }
        match key {
            'r' => Deed::Ask(Asked::Restart),
            'b' => Deed::Ask(Asked::Rebuild),
            'l' => {
                self.narrowed = self.next(services);
                Deed::Narrow(self.narrowed.clone())
            }
            'L' => {
                self.narrowed = None;
                Deed::Narrow(None)
            }
            'o' => self.open(services),
            'q' => Deed::Stop,
            '?' => Deed::Help,
            _ => Deed::Nothing,
        }
    }

    /// The service after the one whose logs are shown; `None` after the last.
    fn next(&self, services: &[ServiceReport]) -> Option<String> {
        let speaks =
            |row: &&ServiceReport| !matches!(row.state, ServiceState::Absent | ServiceState::Unavailable);
        let mut names = services.iter().filter(speaks).map(|row| &row.service);
        if let Some(now) = &self.narrowed {
            names.find(|name| *name == now)?;
        }
        names.next().cloned()
    }

    fn open(&mut self, services: &[ServiceReport]) -> Deed {
        let urls = services.iter().flat_map(|row| &row.urls).filter(|url| url.starts_with("http"));
        // The keys of one digit.
        let mut urls: Vec<String> = urls.take(9).cloned().collect();
        match urls.len() {
            0 => Deed::Say("nothing that a browser could open runs"),
            1 => Deed::Open(urls.remove(0)),
            _ => {
                self.offered.clone_from(&urls);
                Deed::Offer(urls)
            }
        }
    }
}

/// The keyboard while `dev` runs.
#[derive(Debug)]
pub(super) struct Keys {
    asked: mpsc::UnboundedReceiver<(Asked, Instant)>,
    /// What was asked after another thing.
    kept: Option<(Asked, Instant)>,
    services: watch::Sender<Vec<ServiceReport>>,
    listener: Option<JoinHandle<()>>,
}

impl Keys {
    /// Listens from now on, where there is a terminal.
    pub(super) fn listen(context: &Context) -> Self {
        let (sender, asked) = mpsc::unbounded_channel();
        let (services, rows) = watch::channel(Vec::new());
        let somebody = context.format == Format::Human && context.terminal.live && can_ask();
        let keyboard = somebody.then(Keyboard::open).flatten();
        let listener = keyboard.map(|keyboard| {
            // Without it a shell puts the terminal in order, as shells do.
            #[cfg(unix)]
            let _ = crate::interrupt::around_stops(leave_terminal, return_to_terminal);
            tokio::spawn(listen(context.clone(), keyboard, rows, sender))
        });
        Self { asked, kept: None, services, listener }
    }

    /// Whether anybody could press one.
    pub(super) fn are_there(&self) -> bool {
        self.listener.is_some()
    }

    /// Tells them what runs. What a person works on comes first.
    pub(super) fn know(&self, services: &[ServiceReport], built_here: &BTreeSet<ServiceName>) {
        self.services.send_replace(in_order(services, built_here));
    }

    /// The next thing that is asked for, and since when. What was asked more than once meanwhile is done once.
    pub(super) async fn asked(&mut self) -> (Asked, Instant) {
        let asked = match self.kept.take() {
            Some(kept) => kept,
            None => match self.asked.recv().await {
                Some(asked) => asked,
                None => return std::future::pending().await,
            },
        };
        // Nothing awaits from here on: whoever drops this has lost no key.
        while let Ok(next) = self.asked.try_recv() {
            if next.0 != asked.0 {
                self.kept = Some(next);
                break;
            }
        }
        asked
    }
}

fn in_order(services: &[ServiceReport], built_here: &BTreeSet<ServiceName>) -> Vec<ServiceReport> {
    let is_built = |row: &ServiceReport| built_here.contains(&ServiceName::new(row.service.as_str()));
    let (built, others): (Vec<_>, Vec<_>) = services.iter().cloned().partition(is_built);
    [built, others].concat()
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

async fn listen(
    context: Context,
    mut keyboard: Keyboard,
    rows: watch::Receiver<Vec<ServiceReport>>,
    asked: mpsc::UnboundedSender<(Asked, Instant)>,
) {
    let mut pressed = Pressed::default();
    loop {
        let typed = keyboard.typed().await;
        for key in keys_of(&typed).chars() {
            let services = rows.borrow().clone();
            act(&context, pressed.press(key, &services), &asked);
        }
    }
}

fn act(context: &Context, deed: Deed, asked: &mpsc::UnboundedSender<(Asked, Instant)>) {
    match deed {
        // A run under way is not disturbed; it is done after that.
        Deed::Ask(what) => drop(asked.send((what, Instant::now()))),
        Deed::Narrow(to) => context.events.send(Event::LogsNarrowed { to }),
        Deed::Offer(urls) => {
            let numbered = (1..).zip(&urls).map(|(number, url)| format!("{number} {url}"));
            context.events.note(format!("open {}?", numbered.collect::<Vec<_>>().join(", ")));
        }
        Deed::Open(url) => open(context, url),
        Deed::Say(text) => context.events.note(text),
        Deed::Stop => context.cancel.cancel(),
        Deed::Help => HELP.iter().for_each(|line| context.events.note(*line)),
        Deed::Nothing => {}
    }
}

/// Opens an address in the browser of the person's desktop; where there is none, the address is told.
fn open(context: &Context, url: String) {
    let variable = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let desktop = variable("DISPLAY") || variable("WAYLAND_DISPLAY");
    let Some(program) = opener(std::env::consts::OS, desktop) else {
        return context.events.note(format!("there is no desktop to open {url} on"));
    };
    context.events.note(format!("opening {url}"));
    let events = context.events.clone();
    tokio::spawn(async move {
        // A browser that is begun by this runs for as long as a person wants.
        if let Err(error) = Program::new(program, Duration::MAX).arg(&url).apart().await {
            events.warning(format!("{error}; open {url} yourself"));
        }
    });
}

/// The program that opens an address as the person's desktop wants it.
fn opener(system: &str, desktop: bool) -> Option<&'static str> {
    match system {
        "macos" => Some("open"),
        // Without a desktop it would look for a browser in the terminal, which is taken.
        _ => desktop.then_some("xdg-open"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(service: &str, state: ServiceState, urls: &[&str]) -> ServiceReport {
        ServiceReport {
            service: service.to_owned(),
            state,
            reason: None,
            image: String::new(),
            image_source: None,
            urls: urls.iter().map(|&url| url.to_owned()).collect(),
            up_seconds: None,
        }
    }

    /// What a row of keys comes to.
    fn pressed(keys: &str, services: &[ServiceReport]) -> Vec<Deed> {
        let mut pressed = Pressed::default();
        keys.chars().map(|key| pressed.press(key, services)).collect()
    }

    #[test]
    fn each_key_does_one_thing() {
        let table = [
            ('r', Deed::Ask(Asked::Restart)),
            ('b', Deed::Ask(Asked::Rebuild)),
            ('q', Deed::Stop),
            ('?', Deed::Help),
            ('x', Deed::Nothing),
            ('1', Deed::Nothing),
            ('o', Deed::Say("nothing that a browser could open runs")),
            ('l', Deed::Narrow(None)),
        ];
        for (key, deed) in table {
            let nothing = deed == Deed::Nothing;
            assert_eq!(pressed(&key.to_string(), &[]), [deed], "{key}");
            let told = HELP.iter().any(|line| line.starts_with(&format!("{key}  ")));
            assert!(told != nothing, "{key} is in the help if it does anything");
            assert!(nothing || KEYS.contains(key), "{key} is a key if it does anything");
        }
    }

    #[test]
    fn keys_that_come_at_once_are_taken_in_turn_and_a_text_is_none() {
        let table = [("q", "q"), ("rr", "rr"), ("lLq", "lLq"), ("o2", "o2"), ("x", "x")];
        let pasted = ["quit", "q now", "cargo build", "lob?é", ""];
        for (typed, keys) in table.into_iter().chain(pasted.map(|text| (text, ""))) {
            assert_eq!(keys_of(typed), keys, "{typed:?}");
        }
    }

    #[test]
    fn logs_are_those_of_each_in_turn_and_then_of_all() {
        let rows = [
            row("db", ServiceState::Healthy, &[]),
            row("grafana", ServiceState::Unavailable, &[]),
            row("web", ServiceState::Exited, &[]),
        ];
        let narrow = |to: Option<&str>| Deed::Narrow(to.map(str::to_owned));
        assert_eq!(
            pressed("llllL", &rows),
            [narrow(Some("db")), narrow(Some("web")), narrow(None), narrow(Some("db")), narrow(None)]
        );
    }

    #[test]
    fn what_is_built_here_comes_first() {
        let rows = [("db", "http://d/"), ("page", "http://p/"), ("web", "http://w/")]
            .map(|(name, url)| row(name, ServiceState::Healthy, &[url]));
        let rows = in_order(&rows, &[ServiceName::new("web")].into());
        let first =
            [Some("web"), Some("db"), Some("page"), None].map(|to| Deed::Narrow(to.map(str::to_owned)));
        assert_eq!(pressed("llll", &rows), first);
        assert_eq!(pressed("o1", &rows)[1], Deed::Open("http://w/".to_owned()));
    }

    #[test]
    fn of_several_addresses_one_is_chosen_by_its_number() {
        let rows = [
            row("db", ServiceState::Healthy, &["127.0.0.1:5432"]),
            row("prometheus", ServiceState::Healthy, &["http://p/"]),
            row("web", ServiceState::Healthy, &["http://w/"]),
        ];
        let open = |url: &str| Deed::Open(url.to_owned());
        let offer = || Deed::Offer(vec!["http://p/".to_owned(), "http://w/".to_owned()]);
        assert_eq!(pressed("o2", &rows), [offer(), open("http://w/")]);
        assert_eq!(pressed("o3", &rows), [offer(), Deed::Nothing]);
        assert_eq!(pressed("o0", &rows), [offer(), Deed::Nothing]);
        assert_eq!(pressed("oq1", &rows), [offer(), Deed::Stop, Deed::Nothing], "another key is that key");
        assert_eq!(pressed("o", &rows[..2]), [open("http://p/")]);
    }

    #[test]
    fn an_address_is_opened_where_there_is_a_desktop() {
        let table = [
            ("macos", false, Some("open")),
            ("linux", true, Some("xdg-open")),
            ("linux", false, None),
            ("freebsd", true, Some("xdg-open")),
        ];
        for (system, desktop, expected) in table {
            assert_eq!(opener(system, desktop), expected, "{system} {desktop}");
        }
    }
}
