//! Holds what Grafana is given to what Grafana knows: every key of the dashboards' JSON and of the provisioning, and who may
//! look. Grafana itself ignores a key that it does not know, so a misspelt one would be without effect and without a word.
//!
//! The keys are those of Grafana 12.1 (`@grafana/schema` 12.1.0): dashboards by its `Dashboard`, options by the types of
//! each panel; queries, and an annotation's `titleFormat`, by the Prometheus data source; provisioning by "Provision
//! Grafana". Only what is used here is listed: whoever uses more looks it up there and adds it. A place without keys is an
//! object that must be empty; `*` one whose keys are names of our own.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use serde_json::Value;
use xtask::dashboards;

const DASHBOARD: &str = "
.  annotations description editable graphTooltip links panels refresh schemaVersion tags templating time timepicker timezone title uid version
.annotations  list
.annotations.list  datasource enable hide iconColor name target titleFormat
.annotations.list.datasource  type uid
.annotations.list.target  expr interval refId
.links  asDropdown icon includeVars keepTime tags targetBlank title tooltip type url
.templating  list
.time  from to
.timepicker
";

const PANEL: &str = "
.  datasource description fieldConfig gridPos id options targets title transformations type
.datasource  type uid
.fieldConfig  defaults overrides
.fieldConfig.defaults  color custom max min thresholds unit
.fieldConfig.defaults.color  mode
.fieldConfig.defaults.thresholds  mode steps
.fieldConfig.defaults.thresholds.steps  color value
.gridPos  h w x y
.targets  datasource editorMode expr format instant legendFormat range refId
.targets.datasource  type uid
";

/// What each kind of panel has beside [`PANEL`].
const KINDS: [(&str, &str); 5] = [
    ("row", ".  collapsed gridPos id panels title type\n.gridPos  h w x y"),
    (
        "timeseries",
        "
.fieldConfig.defaults.custom  drawStyle fillOpacity lineWidth scaleDistribution showPoints spanNulls stacking thresholdsStyle
.fieldConfig.defaults.custom.scaleDistribution  log type
.fieldConfig.defaults.custom.stacking  group mode
.fieldConfig.defaults.custom.thresholdsStyle  mode
.options  legend tooltip
.options.legend  calcs displayMode placement showLegend
.options.tooltip  mode sort
",
    ),
    (
        "stat",
        "
.fieldConfig.defaults.custom
.options  colorMode graphMode justifyMode orientation reduceOptions showPercentChange textMode wideLayout
.options.reduceOptions  calcs fields values
",
    ),
    (
        "heatmap",
        "
.fieldConfig.defaults.custom
.options  calculate cellGap color filterValues legend rowsFrame tooltip yAxis
.options.color  exponent fill mode reverse scheme steps
.options.filterValues  le
.options.legend  show
.options.rowsFrame  layout
.options.tooltip  mode showColorScale yHistogram
.options.yAxis  axisPlacement reverse unit
",
    ),
    (
        "table",
        "
.fieldConfig.defaults.custom
.options  cellHeight showHeader
.transformations  id options
.transformations.options  excludeByName indexByName renameByName
.transformations.options.excludeByName  *
.transformations.options.indexByName
.transformations.options.renameByName
",
    ),
];

const DATA_SOURCES: &str = "
.  apiVersion datasources
.datasources  access editable isDefault jsonData name type uid url
.datasources.jsonData  httpMethod manageAlerts prometheusType timeInterval
";

const PROVIDERS: &str = "
.  apiVersion providers
.providers  allowUiUpdates disableDeletion folder folderUid name options orgId type updateIntervalSeconds
.providers.options  path
";

type Keys<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn keys<'a>(tables: &[&'a str]) -> Keys<'a> {
    let lines = tables.iter().flat_map(|table| table.lines()).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (place, keys) = line.split_once(' ').unwrap_or((line, ""));
            (place, keys.split_whitespace().collect())
        })
        .collect()
}

/// Every key that is not known where it stands. Lists have no place of their own.
fn strangers(place: &str, value: &Value, known: &Keys<'_>, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| strangers(place, item, known, found)),
        Value::Object(fields) => {
            let here = known.get(if place.is_empty() { "." } else { place });
            for (key, field) in fields {
                let is_known = here.is_some_and(|here| here.contains(&key.as_str()) || here.contains(&"*"));
                if !is_known {
                    found.push(format!("{place}.{key}"));
                }
                // A panel is held to its own keys.
                if format!("{place}.{key}") != ".panels" {
                    strangers(&format!("{place}.{key}"), field, known, found);
                }
            }
        }
        _ => {}
    }
}

fn of_dashboard(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    strangers("", document, &keys(&[DASHBOARD]), &mut found);
    for panel in document["panels"].as_array().expect("panels") {
        let kind = panel["type"].as_str().expect("a kind");
        let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            found.push(format!("panel of kind {kind}"));
            continue;
        };
        let known = if kind == "row" { keys(&[own]) } else { keys(&[PANEL, own]) };
        let mut of_panel = Vec::new();
        strangers("", panel, &known, &mut of_panel);
        found.extend(of_panel.into_iter().map(|key| format!("{kind} panel: {key}")));
    }
    found
}

fn compose() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("compose")
}

fn read(path: &str) -> String {
    fs::read_to_string(compose().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard(name: &str) -> Value {
    let source = dashboards::parse(&read(&format!("grafana/sources/{name}.yml"))).expect("a dashboard");
    serde_json::from_str(&dashboards::render(&source).expect("a dashboard")).expect("JSON")
}

#[test]
fn dashboards_have_no_key_that_grafana_does_not_know() {
    for name in ["service", "stack", "rollout"] {
        assert_eq!(of_dashboard(&dashboard(name)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_key_that_grafana_does_not_know_is_noticed_wherever_it_stands() {
    for (pointer, expected) in [
        ("", ".stranger"),
        ("/annotations/list/0", ".annotations.list.stranger"),
        ("/annotations/list/0/target", ".annotations.list.target.stranger"),
        ("/panels/0", "row panel: .stranger"),
        ("/panels/1/targets/0", "stat panel: .targets.stranger"),
        ("/panels/1/fieldConfig/defaults/custom", "stat panel: .fieldConfig.defaults.custom.stranger"),
        ("/timepicker", ".timepicker.stranger"),
    ] {
        let mut document = dashboard("service");
        let place = document.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        place["stranger"] = Value::from(1);
        assert_eq!(of_dashboard(&document), [expected]);
    }
    let mut document = dashboard("service");
    document["panels"][1]["type"] = Value::from("graph");
    assert_eq!(of_dashboard(&document), ["panel of kind graph"]);
}

#[test]
fn provisioning_has_no_key_that_grafana_does_not_know() {
    for (path, table) in [
        ("grafana/datasources/prometheus.yml", DATA_SOURCES),
        ("grafana/dashboard-providers/homeport.yml", PROVIDERS),
    ] {
        let mut found = Vec::new();
        strangers("", &yaml(path), &keys(&[table]), &mut found);
        assert_eq!(found, Vec::<String>::new(), "{path}");
    }
}

/// Dashboards name their data source by an identifier, which only provisioning can make.
#[test]
fn every_panel_asks_the_data_source_that_is_provisioned() {
    let source = yaml("grafana/datasources/prometheus.yml")["datasources"][0].clone();
    for name in ["service", "stack", "rollout"] {
        let document = dashboard(name);
        let panels = document["panels"].as_array().expect("panels").iter();
        let asked = panels.filter(|panel| panel["type"] != "row").map(|panel| &panel["datasource"]);
        let marks = document["annotations"]["list"].as_array().expect("a list").iter();
        for asked in asked.chain(marks.map(|mark| &mark["datasource"])) {
            assert_eq!((&asked["uid"], &asked["type"]), (&source["uid"], &source["type"]), "{name}");
        }
    }
    let provider = yaml("grafana/dashboard-providers/homeport.yml")["providers"][0].clone();
    assert_eq!(
        (&provider["folderUid"], &provider["folder"]),
        (&Value::from("homeport"), &Value::from("Homeport"))
    );
}

/// On a development machine whoever reaches the loopback address may look, and no one else can reach it; to change
/// something takes a password, which is in no file of git.
#[test]
fn anonymous_viewing_is_for_the_loopback_address() {
    let grafana = yaml("compose.yaml")["services"]["grafana"].clone();
    let environment = &grafana["environment"];
    assert_eq!(environment["GF_AUTH_ANONYMOUS_ENABLED"], "true");
    assert_eq!(environment["GF_AUTH_ANONYMOUS_ORG_ROLE"], "Viewer");
    let ports = grafana["ports"].as_array().expect("ports");
    assert!(
        !ports.is_empty()
            && ports.iter().all(|port| port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:")))
    );
    let password = environment["GF_SECURITY_ADMIN_PASSWORD"].as_str().expect("a password");
    assert!(password.starts_with("${GRAFANA_ADMIN_PASSWORD:?"), "{password}");
    assert!(read("env.template").contains("GRAFANA_ADMIN_PASSWORD=<random:"), "it is made, not chosen");
}
