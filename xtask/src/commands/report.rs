//! `cargo xtask report [--since 1h] [--output FILE]`: what the stack did, as a page with pictures.

use std::path::PathBuf;
use std::time::SystemTime;

use futures_util::future::join_all;
use serde::Serialize;

use super::Context;
use crate::cli;
use crate::failure::Failure;
use crate::limits;
use crate::prometheus::{AskError, Prometheus, Span};
use crate::report::{self, Answer, Question, Report, starts};
use crate::run_log;
use crate::ui::{self, Style};

/// Where the page is written to when nothing else is asked for, below the project's scratch directory.
const FILE: &str = "report.html";

/// Where the page is.
#[derive(Debug, Serialize)]
struct Written {
    report: PathBuf,
}

impl ui::Answer for Written {
    fn human(&self, _style: Style, _columns: Option<usize>) -> Vec<String> {
        vec![self.report.display().to_string()]
    }
}

/// Runs `report`.
///
/// # Errors
/// When the Compose file is wrong, the engine does not answer, or the file cannot be written. A Prometheus that does not
/// answer is no failure: the page says so wherever its data would be.
pub async fn run(context: &Context, arguments: &cli::Report) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(true).await?;
    let services = context.unless_stopped(Box::pin(session.reports())).await?;
    let prometheus = Prometheus::of(&session.stack, &services, limits::REPORT_ANSWER);
    if let Err(error) = &prometheus {
        context.events.warning(format!("{error}; the report is without its data"));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let span = report::span(now, arguments.since.as_secs());
    let answers = context.unless_stopped(async { Ok(ask(&prometheus, span).await) }).await?;
    let logs = run_log::newest(&context.project.scratch(), "dev");
    let report = Report {
        project: session.stack.project.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        span,
        answers: answers.into_iter().collect(),
        starts: logs.filter_map(|log| starts::read(&log)).take(limits::REPORTED_STARTS).collect(),
    };
    let path = arguments.output.clone().unwrap_or_else(|| context.project.scratch().join(FILE));
    super::keep(&path, &report::page(&report))?;
    context.answer(&Written { report: path })
}

async fn ask(prometheus: &Result<Prometheus, AskError>, span: Span) -> Vec<(Question, Answer)> {
    let questions = report::questions(span).into_iter().map(async |question| {
        let answer = match (prometheus, question.span) {
            (Err(away), _) => Err(away.clone()),
            (Ok(prometheus), Some(span)) => prometheus.range(&question.expr, span).await,
            (Ok(prometheus), None) => prometheus.instant(&question.expr, Some(span.end)).await,
        };
        (question, answer.map_err(|error| error.to_string()))
    });
    join_all(questions).await
}
