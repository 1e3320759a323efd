//! The report of `cargo xtask report`: one HTML page that needs nothing beside itself, with pictures as SVG within it.
//!
//! Architecture invariant: pure. It says what is to be asked of Prometheus ([`questions`]) and makes a page of the answers
//! ([`page`]); it asks nobody, opens no file and reads no clock. Whatever has no data says why in its place.

mod curves;
mod figures;
mod heat;
mod history;
mod markup;
mod page;
mod panels;
mod picture;
mod scale;
pub mod starts;
mod startup;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::series::{Series, Span};

pub use page::page;
use panels::{Minutes, Query, Totals};
use starts::Start;

/// How many points a picture has, about: as many as a small screen has pixels for curves to be told apart.
const POINTS: u64 = 200;

/// Everything a page is made from.
#[derive(Debug)]
pub struct Report {
    /// The project's name.
    pub project: String,
    /// The task runner's version.
    pub version: &'static str,
    /// The time it is about, and the step of its pictures.
    pub span: Span,
    /// What Prometheus said to each of the [`questions`], or why it said nothing.
    pub answers: BTreeMap<Question, Answer>,
    /// The last starts of the stack, the newest first.
    pub starts: Vec<Start>,
}

/// What Prometheus said, or why it said nothing.
pub type Answer = Result<Vec<Series>, String>;

/// Something to ask of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The expression.
    pub expr: String,
    /// The times to ask for; `None` for the end of the report's time only.
    pub span: Option<Span>,
}

impl Question {
    fn of(query: &Query) -> Self {
        Self { expr: query.expr.clone(), span: Some(query.span) }
    }

    fn at_the_end(expr: &str) -> Self {
        Self { expr: expr.to_owned(), span: None }
    }
}

impl Report {
    fn answer(&self, question: &Question) -> Result<&[Series], &str> {
        match self.answers.get(question) {
            Some(Ok(series)) => Ok(series),
            Some(Err(why)) => Err(why),
            None => Err("it was not asked for"),
        }
    }

    fn over_time(&self, query: &Query) -> Result<&[Series], &str> {
        self.answer(&Question::of(query))
    }

    /// The one number that an expression is at the end, or `otherwise` where it has no value; nothing when it is not known.
    fn number(&self, expr: &str, otherwise: Option<f64>) -> Option<f64> {
        let series = self.answer(&Question::at_the_end(expr)).ok()?;
        let value = series.first().and_then(|series| series.points.first()).map(|point| point.value);
        value.or(otherwise).filter(|value| value.is_finite())
    }
}

/// The time of a report that ends at `end` (seconds since 1970) and is `long` seconds long.
pub fn span(end: u64, long: u64) -> Span {
    Span { start: end - long, end, step: 1 }.with_points(POINTS)
}

/// What has to be asked for a report about this time.
pub fn questions(span: Span) -> Vec<Question> {
    let panels = panels::panels(span);
    let minutes = Minutes::of(span);
    let totals = Totals::of(span);
    let further = [panels::starts(span), panels::alerts(span), minutes.errors, minutes.p95];
    let over_time = panels.iter().flat_map(|panel| &panel.queries).chain(&further).map(Question::of);
    let numbers = [totals.requests, totals.errors, totals.p95, totals.versions];
    over_time.chain(numbers.iter().map(|expr| Question::at_the_end(expr))).collect()
}
