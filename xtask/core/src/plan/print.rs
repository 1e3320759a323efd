//! A plan as text: what `--dry-run` prints and what the tests of this room compare.

use std::fmt;

use super::{On, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        let titles: Vec<String> = self.steps.iter().map(|step| step.action.to_string()).collect();
        let causes: Vec<String> = self.steps.iter().map(|step| step.cause.to_string()).collect();
        let title_width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        let cause_width = causes.iter().map(|cause| cause.chars().count()).max().unwrap_or(0);
        for ((id, step), (title, cause)) in self.numbered().zip(titles.iter().zip(&causes)) {
            let needs: Vec<String> = step
                .needs
                .iter()
                .map(|need| match need.on {
                    On::Done => need.step.0.to_string(),
                    On::Changed => format!("{} if changed", need.step.0),
                    On::Failed => format!("{} if failed", need.step.0),
                })
                .collect();
            let after = if needs.is_empty() { String::new() } else { format!("after {}", needs.join(", ")) };
            let optional = if step.optional { "  (optional)" } else { "" };
            let line =
                format!("{:>3}  {title:<title_width$}  {cause:<cause_width$}  {after}{optional}", id.0);
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
