//! What the commands answer with: the difference, and the summary. Pure but for being printed.

use std::collections::BTreeMap;

use serde::Serialize;
use xtask::event::{ServiceReport, ServiceState};
use xtask::ui::{Answer, Style};

use crate::api::{Change, Changes};
use crate::kind::Node;
use crate::rollout::{Standing, Workload};

/// What `--dry-run` answers.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    cluster: String,
    changes: Vec<ChangeRow>,
    notes: Vec<String>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct ChangeRow {
    object: String,
    change: &'static str,
    lines: Vec<String>,
}

impl Difference {
    /// The difference that comparisons found.
    pub(super) fn new(cluster: &str, comparisons: &[&Changes], notes: Vec<String>) -> Self {
        let mut text: String = comparisons.iter().map(|changes| changes.text()).collect();
        if text.is_empty() {
            text.push_str("no difference\n");
        }
        let rows = comparisons.iter().flat_map(|changes| &changes.items).filter_map(|(key, change)| {
            let (change, lines) = match change {
                Change::Unchanged => return None,
                Change::Create => ("create", Vec::new()),
                Change::Update(lines) => ("change", lines.clone()),
                Change::Remove => ("remove", Vec::new()),
            };
            Some(ChangeRow { object: key.to_string(), change, lines })
        });
        Self { cluster: cluster.to_owned(), changes: rows.collect(), notes, text }
    }
}

impl Answer for Difference {
    fn human(&self, _: Style, _: Option<usize>) -> Vec<String> {
        self.text
            .lines()
            .map(str::to_owned)
            .chain(self.notes.iter().map(|note| format!("note: {note}")))
            .collect()
    }
}

/// The NodePorts of the architecture, by Deployment.
const NODE_PORTS: [(&str, u16); 3] = [("hello-deployment", 30253), ("prometheus", 30090), ("grafana", 30030)];

/// One row a Deployment, then one for each part that was left out.
pub(super) fn summary(
    workloads: &[Workload],
    node: Option<&Node>,
    left_out: &BTreeMap<String, (String, String)>,
) -> Vec<ServiceReport> {
    let deployed = workloads.iter().map(|workload| {
        let port = NODE_PORTS.iter().find(|(name, _)| *name == workload.name).map(|(_, port)| *port);
        let url = port.and_then(|port| node?.host_port(port)).map(|port| format!("http://127.0.0.1:{port}/"));
        ServiceReport {
            service: workload.name.clone(),
            state: if workload.standing() == Standing::Done {
                ServiceState::Healthy
            } else {
                ServiceState::Starting
            },
            reason: Some(format!("{} of {} pods ready", workload.available, workload.wanted)),
            image: workload.image.clone(),
            image_source: None,
            urls: url.into_iter().collect(),
            up_seconds: None,
        }
    });
    let left_out = left_out.iter().map(|(part, (image, reasons))| ServiceReport {
        service: part.clone(),
        state: ServiceState::Unavailable,
        reason: Some(format!("left out; no source has its image ({reasons})")),
        image: image.clone(),
        image_source: None,
        urls: Vec::new(),
        up_seconds: None,
    });
    deployed.chain(left_out).collect()
}
