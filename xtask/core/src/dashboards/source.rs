//! What a dashboard's source may say. Every field is here; one that is not is an error of the parser, so that a misspelt
//! one cannot be without effect.

use serde::Deserialize;

/// A dashboard, as a file under `compose/grafana/sources/` describes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// The part of its address that never changes; `homeport-` is put before it.
    pub uid: String,
    /// The name on screen.
    pub title: String,
    /// What it answers.
    pub description: String,
    /// Lines over the panels, at moments that matter to all of them.
    #[serde(default)]
    pub annotations: Vec<Annotation>,
    /// Its rows, from top to bottom.
    pub rows: Vec<Row>,
}

/// Moments that are marked in every panel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// What is marked.
    pub name: String,
    /// An expression with a value where there is something to mark.
    pub expr: String,
    /// The text at the mark; `{{label}}` is replaced.
    pub text: String,
    /// The mark's colour, in Grafana's names.
    pub color: String,
}

/// Panels side by side, under a heading.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The heading.
    pub title: String,
    /// The panels' height in Grafana's units of 30 pixels.
    #[serde(default = "usual_height")]
    pub height: u8,
    /// The panels, from left to right. They share the width evenly; more than fit a line go on in the next.
    pub panels: Vec<Panel>,
    /// How many panels stand side by side; all of them when not given.
    pub across: Option<u8>,
}

fn usual_height() -> u8 {
    8
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// The heading.
    pub title: String,
    /// What one sees and what would be wrong: the text behind the heading's mark.
    pub description: String,
    /// How it is drawn.
    #[serde(default)]
    pub kind: Kind,
    /// The unit of all its values, in Grafana's names (`reqps`, `s`, `bytes`, `percentunit`, `short`).
    pub unit: String,
    /// What is asked of Prometheus.
    pub queries: Vec<Query>,
    /// The lower end of the axis; zero when not given.
    #[serde(default)]
    pub min: f64,
    /// The upper end of the axis.
    pub max: Option<f64>,
    /// The largest value that makes sense, where the unit alone does not say; only the proof by data reads it.
    pub most: Option<f64>,
    /// From this value on it is bad: drawn red.
    pub bad_from: Option<f64>,
    /// Below this value it is bad: drawn red.
    pub bad_below: Option<f64>,
    /// Whether the series are put on top of each other, their sum being of interest.
    #[serde(default)]
    pub stacked: bool,
    /// Whether the axis is logarithmic, for values over several powers of ten.
    #[serde(default)]
    pub logarithmic: bool,
}

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Lines over time.
    #[default]
    Lines,
    /// The last value, large, with its way there behind it.
    Number,
    /// Buckets of a histogram over time, as colours.
    Heatmap,
    /// The last values, a row for each series.
    Table,
}

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// In Prometheus' language; `$__rate_interval` stands for a time that always holds enough samples.
    pub expr: String,
    /// The name of its series; `{{label}}` is replaced.
    #[serde(default)]
    pub legend: String,
}
