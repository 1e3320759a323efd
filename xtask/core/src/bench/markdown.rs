//! BENCHMARKS.md: the measurements of one run, and the machine they were taken on.

use std::fmt::Write as _;

use super::budget::MIB;
use super::{Entry, Facts, Limit, Seen, Series, Unit, Verdict};

const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo xtask bench --write`: one run on one machine (the last table). Contenders take turns, so that whatever
else the machine does hits all of them alike. Values are medians, in brackets the quartiles: half of all runs lie between
them. What counts is the figure, a ratio or a difference; the seconds of one machine say nothing about another.

The service, the bare Rocket, pgbench and wrk share this machine's cores. Postgres and Redis are the stack's own, freed
of their CPU limits: with them the figures would be the limits'.
";

/// The page.
pub fn markdown(entries: &[Entry], facts: &Facts) -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str(
        "\n| work | ours | against | theirs | figure | budget | verdict |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for entry in entries {
        let cells = row(entry).map(|cell| cell.replace('|', "\\|"));
        let cells = cells.map(|cell| if cell == "missed" { "**missed**".to_owned() } else { cell });
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    page.push_str("\n| machine | |\n| --- | --- |\n");
    for (name, value) in &facts.0 {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page
}

/// What people have written below the tables of a page: from its first heading of the second level on. The next page keeps
/// it.
pub fn remarks(page: &str) -> &str {
    page.find("\n## ").map_or("", |at| &page[at..])
}

/// One entry in words: the work, ours, the other contender and its values, the figure, the budget, how it stands to it.
pub fn row(entry: &Entry) -> [String; 7] {
    let budget = entry.work.budget();
    let limit = limit(budget.limit, budget.unit);
    let work = budget.work.to_owned();
    let (ours, theirs) = match &entry.seen {
        Seen::Measured { ours, theirs } => (ours, theirs),
        Seen::NotMeasured { why } => {
            let nothing = String::new;
            return [work, nothing(), nothing(), nothing(), nothing(), limit, format!("not measured: {why}")];
        }
    };
    let figure = entry.figure().map(|figure| shown(figure, budget.limit, budget.unit));
    let met = match entry.verdict() {
        Some(Verdict::Met) => "met",
        Some(Verdict::Missed) => "missed",
        None => "",
    };
    [
        work,
        spread(ours, budget.unit),
        theirs.as_ref().map(|theirs| theirs.contender().to_owned()).unwrap_or_default(),
        theirs.as_ref().map(|theirs| spread(theirs, budget.unit)).unwrap_or_default(),
        figure.unwrap_or_default(),
        limit,
        met.to_owned(),
    ]
}

fn spread(series: &Series, unit: Unit) -> String {
    let (low, high) = series.spread();
    match series.runs() {
        1 => value(series.median(), unit),
        _ => format!("{} ({} to {})", value(series.median(), unit), value(low, unit), value(high, unit)),
    }
}

/// A value with its unit, to three digits or so.
fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value < 0.1 => format!("{:.1} ms", value * 1e3),
        Unit::Seconds if value < 10.0 => format!("{value:.2} s"),
        Unit::Seconds => format!("{value:.1} s"),
        Unit::PerSecond => format!("{:.1} k/s", value / 1e3),
        Unit::Memory => format!("{:.1} MiB", value / MIB),
        Unit::Bytes => format!("{:.1} MB", value / 1e6),
    }
}

fn shown(figure: f64, limit: Limit, unit: Unit) -> String {
    match limit {
        Limit::AtMost(_) | Limit::AtLeast(_) => format!("{figure:.2}"),
        Limit::Beyond(_) if figure < 0.0 => format!("−{}", value(-figure, unit)),
        Limit::Beyond(_) => format!("+{}", value(figure, unit)),
        Limit::Itself(_) => value(figure, unit),
    }
}

fn limit(limit: Limit, unit: Unit) -> String {
    match limit {
        Limit::AtMost(ratio) => format!("≤ {ratio}"),
        Limit::AtLeast(ratio) => format!("≥ {ratio}"),
        Limit::Beyond(most) => format!("≤ +{}", value(most, unit)),
        Limit::Itself(most) => format!("≤ {}", value(most, unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Runs, Work};

    #[test]
    fn a_time_has_the_unit_in_which_it_is_read() {
        let table = [
            (0.099_9, "99.9 ms", "+99.9 ms"),
            (0.1, "0.10 s", "+0.10 s"),
            (9.99, "9.99 s", "+9.99 s"),
            (10.0, "10.0 s", "+10.0 s"),
            (42.04, "42.0 s", "+42.0 s"),
            (0.0, "0.0 ms", "+0.0 ms"),
        ];
        for (seconds, itself, beyond) in table {
            assert_eq!(value(seconds, Unit::Seconds), itself);
            assert_eq!(shown(seconds, Limit::Beyond(1.0), Unit::Seconds), beyond);
        }
        assert_eq!(shown(-0.25, Limit::Beyond(1.0), Unit::Seconds), "−0.25 s");
    }

    #[test]
    fn the_page_shows_every_entry_with_its_budget() {
        let runs = |contender: &str, values: &[f64]| {
            let mut runs = Runs::of(contender);
            for &value in values {
                runs.push(value);
            }
            runs
        };
        let entries = [
            Entry::measured(
                Work::Cold,
                runs("ours", &[2.0, 2.2, 2.4]),
                runs("`docker compose up`", &[5.0, 5.0, 5.5]),
            ),
            Entry::measured(Work::Save, runs("ours", &[0.75]), runs("`cargo build`", &[1.0])),
            Entry::measured(Work::Insert, runs("ours", &[6000.0]), runs("pgbench", &[10_000.0])),
            Entry::measured(Work::Memory, runs("ours", &[11.5 * MIB]), None),
            Entry::measured(Work::Image, runs("ours", &[5.5e6]), None),
            Entry::not_measured(Work::Deploy, "no kind | no cluster"),
        ];
        let facts = Facts(vec![("cores".to_owned(), "2".to_owned())]);
        let page = markdown(&entries, &facts);
        assert_eq!(remarks(&page), "");
        let remarked = format!("{page}\n## Why\n\nBecause.\n");
        assert_eq!(remarks(&remarked), "\n## Why\n\nBecause.\n");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `dev --detach`, containers absent, images present | 2.20 s (2.10 s to 2.30 s) | `docker compose up` \
                 | 5.00 s (5.00 s to 5.25 s) | 0.44 | ≤ 0.6 | met |",
                "| a saved file to the new version served | 0.75 s | `cargo build` | 1.00 s | −0.25 s | ≤ +0.50 s | met |",
                "| `POST /api/data` | 6.0 k/s | pgbench | 10.0 k/s | 0.60 | ≥ 0.7 | **missed** |",
                "| the service's resident memory under these loads | 11.5 MiB |  |  | 11.5 MiB | ≤ 32.0 MiB | met |",
                "| the release image | 5.5 MB |  |  | 5.5 MB | ≤ 15.0 MB | met |",
                "| `deploy-kind`, changed image, cluster up |  |  |  |  | ≤ 0.7 | not measured: no kind \\| no cluster |",
                "| machine | |",
                "| --- | --- |",
                "| cores | 2 |",
            ]
        );
    }
}
