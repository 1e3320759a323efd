//! The page: its head, the key figures, a section for each picture, and why there is none where there is none.
//!
//! Must not: ask for what is not in the report.

use super::curves::{self, Curve};
use super::figures::{Figure, figures};
use super::history::{Started, draw_alerts, draw_starts, fired, started};
use super::markup::Markup;
use super::panels::{Kind, Name, Panel, Totals, alerts, panels, starts};
use super::scale::{clock, day, moment, whole};
use super::{Question, Report, heat, startup};
use crate::series::Series;

/// Nothing is fetched and nothing is run, whatever stands in the data.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page of a report.
pub fn page(report: &Report) -> String {
    let span = report.span;
    let starts = report.over_time(&starts(span)).map(|series| started(series, span));
    let alerts = report.over_time(&alerts(span)).map(|series| fired(series, span));
    let figures = figures(report, starts.as_deref().ok(), alerts.as_deref().ok());
    let marks: Vec<(f64, String)> = starts.iter().flatten().filter_map(mark).collect();
    let title = format!("{}: report of {}", report.project, period(report));
    let mut document = Markup::default();
    document.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |head| {
            head.empty("meta", &[("charset", "utf-8")]);
            head.empty("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
            head.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            head.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            head.leaf("title", &[], &title);
            head.style(include_str!("style.css"));
        });
        html.line();
        html.element("body", &[], |body| {
            heading(body, report);
            key_figures(body, &figures);
            body.element("main", &[], |main| {
                for panel in panels(span) {
                    section(main, panel.id, panel.title, panel.about, |inside| {
                        draw_panel(inside, report, &panel, &marks)
                    });
                }
                further(main, report, starts.as_deref(), alerts.as_deref());
            });
            footing(body, report);
        });
    });
    document.into_document()
}

/// A dotted line for the start of a service's process: what changes there, changes with it.
fn mark(start: &Started) -> Option<(f64, String)> {
    (start.part == "service")
        .then(|| (start.at, format!("{} started at {}", start.part, clock(whole(start.at)))))
}

fn period(report: &Report) -> String {
    let (start, end) = (report.span.start, report.span.end);
    let end = if day(start) == day(end) { clock(end) } else { moment(end) };
    format!("{} to {end} UTC", moment(start))
}

fn heading(to: &mut Markup, report: &Report) {
    to.element("header", &[], |header| {
        header.element("h1", &[], |heading| {
            heading.text("Report of ");
            heading.leaf("span", &[("class", "project")], &report.project);
        });
        // The first point is up to a step before what was asked for.
        let long = (report.span.end - report.span.start) / report.span.step * report.span.step;
        let long = std::time::Duration::from_secs(long);
        let versions = versions(report);
        header.leaf(
            "p",
            &[("class", "about")],
            &format!(
                "{} ({}), a point each {} s. {versions}",
                period(report),
                humantime::format_duration(long),
                report.span.step
            ),
        );
    });
    to.line();
}

fn versions(report: &Report) -> String {
    let question = Question::at_the_end(&Totals::of(report.span).versions);
    let series = report.answer(&question).unwrap_or_default();
    let names: Vec<&str> = series.iter().map(|series| series.label("version")).collect();
    match names.as_slice() {
        [] => "No version of the service was seen.".to_owned(),
        [one] => format!("Version of the service: {one}."),
        several => format!("Versions of the service: {}.", several.join(", ")),
    }
}

fn key_figures(to: &mut Markup, figures: &[Figure]) {
    to.element("table", &[("class", "figures")], |table| {
        table.leaf("caption", &[], "Key figures");
        table.element("tbody", &[], |body| {
            for figure in figures {
                body.element("tr", &[], |row| {
                    row.leaf("th", &[("scope", "row")], figure.name);
                    let (class, sign) = match figure.well {
                        Some(true) => ("figure good", "✓ "),
                        Some(false) => ("figure bad", "✗ "),
                        None => ("figure", ""),
                    };
                    row.leaf("td", &[("class", class)], &format!("{sign}{}", figure.value));
                    row.leaf("td", &[], &figure.remark);
                });
            }
        });
    });
    to.line();
}

/// A section; `draw` draws its picture, or says why there is none.
fn section(
    to: &mut Markup,
    id: &'static str,
    title: &str,
    about: &str,
    draw: impl FnOnce(&mut Markup) -> Result<(), String>,
) {
    to.element("section", &[("id", id)], |section| {
        section.leaf("h2", &[], title);
        section.leaf("p", &[("class", "about")], about);
        if let Err(why) = draw(section) {
            section.leaf("p", &[("class", "absent"), ("data-absent", id)], &format!("No data: {why}."));
        }
    });
    to.line();
}

fn draw_panel(
    to: &mut Markup,
    report: &Report,
    panel: &Panel,
    marks: &[(f64, String)],
) -> Result<(), String> {
    let mut curves = Vec::new();
    for query in &panel.queries {
        let series = report.over_time(query)?;
        if panel.kind == Kind::Heat {
            let drawn = heat::draw(to, panel, query.span, series);
            return if drawn { Ok(()) } else { Err(panel.absent.to_owned()) };
        }
        curves.extend(
            series.iter().map(|series| curve(series, query.name)).filter(|curve| !curve.points.is_empty()),
        );
    }
    if curves.is_empty() {
        return Err(panel.absent.to_owned());
    }
    curves::draw(to, panel, report.span, &curves, marks);
    Ok(())
}

fn curve(series: &Series, name: Name) -> Curve {
    let name = match name {
        Name::Is(name) => name,
        Name::Label(label) => series.label(label),
    };
    let points = series.points.iter().copied().filter(|point| point.value.is_finite());
    Curve { name: name.to_owned(), points: points.collect() }
}

/// What is no value over time: starts of processes, alerts, starts of the stack.
fn further(
    to: &mut Markup,
    report: &Report,
    starts: Result<&[Started], &&str>,
    alerts: Result<&[super::history::Fired], &&str>,
) {
    let title = "Restarts and replacements";
    let about = "When a process of a part was started, first starts included. The service's are dotted lines in the other pictures.";
    section(to, "starts", title, about, |inside| match starts {
        Ok([]) => Err("no process was started in this time".to_owned()),
        Ok(starts) => {
            draw_starts(inside, title, report.span, starts);
            Ok(())
        }
        Err(why) => Err((*why).to_owned()),
    });
    let title = "Alerts that fired";
    section(
        to,
        "alerts",
        title,
        "From the first to the last evaluation at which an alert fired.",
        |inside| match alerts {
            Ok([]) => Err("no alert fired in this time".to_owned()),
            Ok(fired) => {
                draw_alerts(inside, title, report.span, fired);
                Ok(())
            }
            Err(why) => Err((*why).to_owned()),
        },
    );
    let title = "Start-up times";
    let about = "How long dev took until all was up: the last starts from this checkout, in this time or before, whatever their project.";
    section(to, "startup", title, about, |inside| {
        if report.starts.is_empty() {
            return Err("there is no run log of a start".to_owned());
        }
        startup::draw(inside, title, &report.starts);
        Ok(())
    });
}

fn footing(to: &mut Markup, report: &Report) {
    to.element("footer", &[], |footer| {
        footer.leaf(
            "p",
            &[("class", "about")],
            &format!(
                "Made by cargo xtask report, version {}, from Prometheus' data and the run logs of this checkout, at {} UTC.",
                report.version,
                moment(report.span.end)
            ),
        );
    });
}
