//! The services seen so far: the width of their names and the colour of each.
//!
//! Must not: write.

use super::style::{Role, Style};

/// The services, in the order they were seen: a colour stays with a service for the whole run.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: Vec<String>,
    width: usize,
}

impl Names {
    pub(super) fn new(services: &[String]) -> Self {
        let mut names = Self::default();
        for service in services {
            names.meet(service);
        }
        names
    }

    /// Takes note of a service and gives its role.
    pub(super) fn meet(&mut self, service: &str) -> Role {
        let number = self.seen.iter().position(|seen| seen == service).unwrap_or_else(|| {
            self.seen.push(service.to_owned());
            self.width = self.width.max(console::measure_text_width(service));
            self.seen.len() - 1
        });
        Role::Service(number)
    }

    /// What a line of a service's log begins with.
    pub(super) fn prefix(&mut self, service: &str, bar: &str, style: Style) -> String {
        let role = self.meet(service);
        let padding = self.width - console::measure_text_width(service);
        style.paint(role, &format!("{service}{:padding$} {bar} ", ""))
    }
}
