//! Grafana's dashboards, made from small readable sources: `compose/grafana/sources/*.yml` becomes
//! `compose/grafana/dashboards/*.json`, which Grafana provisions and git keeps. Pure: text in, text out.
//!
//! Architecture Invariant: the JSON in git is what its source says; `xtask/tests/dashboards.rs` holds it to that, and
//! `xtask/tests/grafana.rs` to the keys that Grafana's schema knows.
//!
//! No Grafana has drawn the result yet.
//!
//! Deliberately absent: anything that depends on the time or on the order of a map, so that equal sources give equal
//! bytes; and every part of Grafana's schema that no dashboard here uses.

pub mod proof;
mod source;

pub use source::{Annotation, Dashboard, Kind, Panel, Query, Row};

use serde_json::{Value, json};

/// The data source that `compose/grafana/datasources/prometheus.yml` provisions, by its fixed identifier.
const DATA_SOURCE: &str = "homeport-prometheus";

/// Grafana's grid is this many units wide (Grafana, "Dashboard JSON model", `gridPos`).
const GRID_WIDTH: u8 = 24;

/// The version of the dashboard schema that is written: Grafana 12's. A later Grafana migrates it as it loads it.
const SCHEMA_VERSION: u8 = 41;

/// Why a source is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// Not YAML, or a field that is not known, missing or of the wrong type; the parser's message has line and column.
    #[error("read the dashboard: {0}")]
    Unreadable(String),
    /// A panel without a query shows nothing.
    #[error("panel {panel:?} of dashboard {dashboard:?} has no query")]
    Empty {
        /// The dashboard's title.
        dashboard: String,
        /// The panel's title.
        panel: String,
    },
    /// More panels side by side than the grid can tell apart.
    #[error(
        "row {row:?} of dashboard {dashboard:?} has {across} panels side by side, expected 1 to {GRID_WIDTH}"
    )]
    Crowded {
        /// The dashboard's title.
        dashboard: String,
        /// The row's heading.
        row: String,
        /// What it asks for.
        across: usize,
    },
}

/// Reads a source.
pub fn parse(source: &str) -> Result<Dashboard, DashboardError> {
    serde_saphyr::from_str(source).map_err(|error| DashboardError::Unreadable(error.to_string()))
}

/// Writes the dashboard as Grafana provisions it: indented JSON with sorted keys, ended by a line feed.
pub fn render(dashboard: &Dashboard) -> Result<String, DashboardError> {
    let mut panels = Vec::new();
    let mut top = 0_u32;
    for row in &dashboard.rows {
        place(dashboard, row, &mut top, &mut panels)?;
    }
    let document = json!({
        "uid": format!("homeport-{}", dashboard.uid),
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["homeport"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": false,
        "graphTooltip": 1, // one cross hair through all panels
        "time": { "from": "now-30m", "to": "now" },
        "refresh": "5s", // as often as Prometheus scrapes
        "timepicker": {},
        "timezone": "browser",
        "templating": { "list": [] },
        "links": [{
            "type": "dashboards", "title": "", "tags": ["homeport"], "asDropdown": false, "keepTime": true,
            "includeVars": false, "targetBlank": false, "icon": "dashboard", "tooltip": "", "url": "",
        }],
        "annotations": { "list": dashboard.annotations.iter().map(annotation).collect::<Vec<_>>() },
        "panels": panels,
    });
    let mut text = serde_json::to_string_pretty(&document).expect("plain data serializes");
    text.push('\n');
    Ok(text)
}

/// All expressions of a dashboard, each with the title of what shows it.
pub fn expressions(dashboard: &Dashboard) -> impl Iterator<Item = (&str, &str)> {
    let panels = dashboard.rows.iter().flat_map(|row| &row.panels);
    let shown = panels
        .flat_map(|panel| panel.queries.iter().map(|query| (panel.title.as_str(), query.expr.as_str())));
    shown.chain(dashboard.annotations.iter().map(|mark| (mark.name.as_str(), mark.expr.as_str())))
}

/// Adds a row's heading and its panels, left to right, then downwards.
fn place(
    dashboard: &Dashboard,
    row: &Row,
    top: &mut u32,
    panels: &mut Vec<Value>,
) -> Result<(), DashboardError> {
    let across = row.across.map_or(row.panels.len(), usize::from);
    let crowded =
        || DashboardError::Crowded { dashboard: dashboard.title.clone(), row: row.title.clone(), across };
    let columns =
        u8::try_from(across).ok().filter(|count| (1..=GRID_WIDTH).contains(count)).ok_or_else(crowded)?;
    let width = GRID_WIDTH / columns;
    panels.push(json!({
        "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false, "panels": [],
        "gridPos": { "x": 0, "y": *top, "w": GRID_WIDTH, "h": 1 },
    }));
    *top += 1;
    for line in row.panels.chunks(across) {
        let mut left = 0;
        for panel in line {
            if panel.queries.is_empty() {
                return Err(DashboardError::Empty {
                    dashboard: dashboard.title.clone(),
                    panel: panel.title.clone(),
                });
            }
            let mut drawn = draw(panel);
            drawn["id"] = json!(panels.len() + 1);
            drawn["gridPos"] = json!({ "x": left, "y": *top, "w": width, "h": row.height });
            panels.push(drawn);
            left += width;
        }
        *top += u32::from(row.height);
    }
    Ok(())
}

fn data_source() -> Value {
    json!({ "type": "prometheus", "uid": DATA_SOURCE })
}

fn annotation(mark: &Annotation) -> Value {
    // The query stands in `target`. Before Grafana 8 it stood beside the name, as `expr` and `step`: the Prometheus data
    // source moves that as it loads it, the schema does not know it. The text's format has no other place.
    json!({
        "name": mark.name, "datasource": data_source(), "enable": true, "hide": false, "iconColor": mark.color,
        "target": { "refId": "Anno", "expr": mark.expr, "interval": "5s" },
        "titleFormat": mark.text,
    })
}

/// A panel, without its place.
fn draw(panel: &Panel) -> Value {
    let (kind, options, custom) = match panel.kind {
        Kind::Lines => ("timeseries", lines_options(), lines_style(panel)),
        Kind::Number => ("stat", number_options(), json!({})),
        Kind::Heatmap => ("heatmap", heatmap_options(&panel.unit), json!({})),
        Kind::Table => ("table", json!({ "showHeader": true, "cellHeight": "sm" }), json!({})),
    };
    let mut drawn = json!({
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": data_source(),
        "targets": panel.queries.iter().enumerate().map(|(index, query)| target(panel.kind, index, query)).collect::<Vec<_>>(),
        "options": options,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit, "min": panel.min, "thresholds": thresholds(panel), "custom": custom,
                "color": { "mode": if panel.kind == Kind::Number { "thresholds" } else { "palette-classic" } },
            },
            "overrides": [],
        },
    });
    if let Some(max) = panel.max {
        drawn["fieldConfig"]["defaults"]["max"] = json!(max);
    }
    if panel.kind == Kind::Table {
        // What every series has and nobody reads.
        drawn["transformations"] = json!([{
            "id": "organize",
            "options": { "excludeByName": { "Time": true, "__name__": true, "job": true }, "indexByName": {}, "renameByName": {} },
        }]);
    }
    drawn
}

fn target(kind: Kind, index: usize, query: &Query) -> Value {
    let instant = kind == Kind::Table;
    let format = match kind {
        Kind::Table => "table",
        Kind::Heatmap => "heatmap",
        Kind::Lines | Kind::Number => "time_series",
    };
    json!({
        "refId": reference(index), "datasource": data_source(), "editorMode": "code", "expr": query.expr,
        "legendFormat": if query.legend.is_empty() { "__auto" } else { query.legend.as_str() },
        "format": format, "instant": instant, "range": !instant,
    })
}

/// A query's name within its panel: A to Z, then A1 and so on.
fn reference(index: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(index % 26).expect("below 26"));
    match index / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

fn thresholds(panel: &Panel) -> Value {
    let steps = match (panel.bad_from, panel.bad_below) {
        (Some(from), None) => json!([{ "color": "green", "value": null }, { "color": "red", "value": from }]),
        (None, Some(below)) => {
            json!([{ "color": "red", "value": null }, { "color": "green", "value": below }])
        }
        (Some(from), Some(below)) => json!([
            { "color": "red", "value": null }, { "color": "green", "value": below }, { "color": "red", "value": from },
        ]),
        (None, None) => json!([{ "color": "green", "value": null }]),
    };
    json!({ "mode": "absolute", "steps": steps })
}

fn lines_style(panel: &Panel) -> Value {
    let bounded = panel.bad_from.is_some() || panel.bad_below.is_some();
    let scale =
        if panel.logarithmic { json!({ "type": "log", "log": 10 }) } else { json!({ "type": "linear" }) };
    json!({
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": if panel.stacked { 30 } else { 10 }, "showPoints": "never",
        // A gap longer than two scrapes is a gap: nothing was seen, and a line would hide it.
        "spanNulls": 11_000,
        "stacking": { "mode": if panel.stacked { "normal" } else { "none" }, "group": "A" },
        "thresholdsStyle": { "mode": if bounded { "line" } else { "off" } },
        "scaleDistribution": scale,
    })
}

fn lines_options() -> Value {
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

fn number_options() -> Value {
    json!({
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
        "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
        "wideLayout": true, "showPercentChange": false,
    })
}

fn heatmap_options(unit: &str) -> Value {
    json!({
        "calculate": false, "cellGap": 1,
        "color": { "mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "fill": "dark-orange", "steps": 64, "reverse": false },
        "filterValues": { "le": 1e-9 }, "legend": { "show": true }, "rowsFrame": { "layout": "auto" },
        "tooltip": { "mode": "single", "yHistogram": true, "showColorScale": false },
        "yAxis": { "axisPlacement": "left", "reverse": false, "unit": unit },
    })
}

#[cfg(test)]
mod tests {
    use super::{expressions, parse, render};

    const SMALL: &str = "
uid: small
title: Small
description: One row.
rows:
  - title: Row
    across: 2
    panels:
      - {title: One, description: d, unit: s, bad_from: 1, queries: [{expr: up, legend: '{{job}}'}]}
      - {title: Two, description: d, unit: s, kind: table, queries: [{expr: down}]}
      - {title: Three, description: d, unit: s, kind: number, queries: [{expr: a}, {expr: b}]}
";

    #[test]
    fn panels_stand_side_by_side_then_below_each_other() {
        let text = render(&parse(SMALL).unwrap()).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let places: Vec<_> = document["panels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|panel| {
                let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                (
                    panel["title"].as_str().unwrap(),
                    panel["id"].as_u64().unwrap(),
                    at("x"),
                    at("y"),
                    at("w"),
                    at("h"),
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                ("Row", 1, 0, 0, 24, 1),
                ("One", 2, 0, 1, 12, 8),
                ("Two", 3, 12, 1, 12, 8),
                ("Three", 4, 0, 9, 12, 8)
            ]
        );
        assert_eq!(document["panels"][3]["targets"][1]["refId"], "B");
        let panels = [1, 2, 3].map(|index| &document["panels"][index]);
        let source = serde_json::json!({"type": "prometheus", "uid": "homeport-prometheus"});
        let of_each =
            panels.map(|panel| panel["datasource"] == source && panel["targets"][0]["datasource"] == source);
        assert_eq!(of_each, [true; 3]);
        // A table shows how it is now, a number's colour whether that is well.
        assert_eq!(panels.map(|panel| panel["targets"][0]["instant"] == true), [false, true, false]);
        assert_eq!(panels.map(|panel| panel["targets"][0]["range"] == true), [true, false, true]);
        assert_eq!(panels.map(|panel| panel["transformations"].is_array()), [false, true, false]);
        let modes = panels.map(|panel| panel["fieldConfig"]["defaults"]["color"]["mode"].as_str());
        assert_eq!(modes, [Some("palette-classic"), Some("palette-classic"), Some("thresholds")]);
        assert_eq!(panels[0]["options"]["legend"]["showLegend"], true);
        assert_eq!(panels[2]["options"]["reduceOptions"]["calcs"][0], "lastNotNull");
        assert_eq!(document["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"], 1.0);
    }

    /// One row with each kind of panel, drawn with everything that a panel can be told.
    const FULL: &str = "
uid: full
title: Full
description: All there is.
annotations: [{name: Start, expr: changes(x), text: '{{version}}', color: blue}]
rows:
  - title: Row
    panels:
      - {title: Lines, description: d, unit: s, bad_below: 1, max: 5, stacked: true, logarithmic: true, queries: [{expr: a}]}
      - {title: Heat, description: d, unit: s, kind: heatmap, bad_from: 9, bad_below: 1, queries: [{expr: b}]}
";

    #[test]
    fn a_panel_is_drawn_as_it_is_told() {
        let text = render(&parse(FULL).unwrap()).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let at = |path: &str| document.pointer(path).unwrap_or_else(|| panic!("no {path} in {text}")).clone();
        let colours = |panel: usize| -> Vec<String> {
            let steps = at(&format!("/panels/{panel}/fieldConfig/defaults/thresholds/steps"));
            steps.as_array().unwrap().iter().map(|step| step["color"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(at("/annotations/list/0/titleFormat"), "{{version}}");
        assert_eq!(at("/annotations/list/0/target/expr"), "changes(x)");
        assert_eq!(at("/panels/1/fieldConfig/defaults/max"), 5.0);
        assert_eq!(at("/panels/1/fieldConfig/defaults/custom/stacking/mode"), "normal");
        assert_eq!(at("/panels/1/fieldConfig/defaults/custom/scaleDistribution/type"), "log");
        assert_eq!(colours(1), ["red", "green"]);
        assert_eq!(at("/panels/1/fieldConfig/defaults/custom/thresholdsStyle/mode"), "line");
        assert_eq!(at("/panels/2/type"), "heatmap");
        assert_eq!(at("/panels/2/targets/0/format"), "heatmap");
        assert_eq!(at("/panels/2/options/yAxis/unit"), "s");
        assert_eq!(colours(2), ["red", "green", "red"]);
    }

    #[test]
    fn a_line_at_a_bound_is_drawn_where_there_is_one() {
        let mode = |bounds: &str| {
            let text = render(&parse(&FULL.replacen("bad_below: 1", bounds, 1)).unwrap()).unwrap();
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            document["panels"][1]["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"].clone()
        };
        assert_eq!(mode("bad_below: 1"), "line");
        assert_eq!(mode("bad_from: 1"), "line");
        assert_eq!(mode("min: 0"), "off");
    }

    #[test]
    fn queries_have_names_beyond_z() {
        let names = [0, 25, 26, 53].map(super::reference);
        assert_eq!(names, ["A", "Z", "A1", "B2"]);
    }

    #[test]
    fn every_expression_is_found() {
        let found: Vec<_> = expressions(&parse(SMALL).unwrap()).map(|(_, expr)| expr.to_owned()).collect();
        assert_eq!(found, ["up", "down", "a", "b"]);
    }

    #[test]
    fn what_makes_no_dashboard_is_named() {
        for (change, message) in [
            (("unit: s, bad_from", "units: s, bad_from"), "units"),
            (("queries: [{expr: down}]", "queries: []"), "panel \"Two\" of dashboard \"Small\" has no query"),
            (("across: 2", "across: 0"), "row \"Row\" of dashboard \"Small\" has 0 panels side by side"),
        ] {
            let source = SMALL.replacen(change.0, change.1, 1);
            let error = parse(&source).and_then(|dashboard| render(&dashboard)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
