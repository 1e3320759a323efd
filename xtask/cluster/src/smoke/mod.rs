//! Smoke tests: what was rolled out is tried as its users reach it. Every route of the service; Prometheus, that it scrapes
//! the revision's pods; Grafana, when it is there.
//!
//! They leave one item in the database, ever: it is written with an idempotency key.

mod scraped;

use std::fmt;

use serde_json::Value;
use xtask::event::StepReporter;
use xtask::failure::{Code, Failure};

use crate::api::{Cluster, Watched, through_pod, workloads};
use crate::http::{Answer, Http, Request};
use crate::kind::Node;
use crate::limits;
use crate::object::Object;
use crate::rollout::WorkloadKind;
use crate::steps::until;

pub use scraped::{Enough, Scraped};

const SERVICE: Server = Server { service: "hello-service", port: 8000, node_port: 30253 };
const PROMETHEUS: Server = Server { service: "prometheus", port: 9090, node_port: 30090 };
const GRAFANA: Server = Server { service: "grafana", port: 3000, node_port: 30030 };

/// The Deployment of the service.
pub const DEPLOYMENT: &str = "hello-deployment";

/// The key that makes the item of all smoke tests one.
const KEY: &str = "homeport-smoke-test";

/// A part that answers requests: its Service, that one's port, and its NodePort (`k8s/overlays/kind/node-ports.yaml`).
#[derive(Debug, Clone, Copy)]
struct Server {
    service: &'static str,
    port: u16,
    node_port: u16,
}

/// The way in.
#[derive(Debug, Clone)]
pub enum Gate {
    /// The NodePorts, on 127.0.0.1.
    NodePorts(Node),
    /// A pod behind the Service, through the API server.
    Pods,
}

/// What is tried.
#[derive(Debug)]
pub struct Smoke<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The namespace.
    pub namespace: &'a str,
    /// The way in.
    pub gate: &'a Gate,
    /// What was applied.
    pub objects: &'a [Object],
    /// The version that must answer.
    pub version: &'a str,
    /// How many of its pods Prometheus must scrape.
    pub enough: Enough,
}

/// What was tried and works.
#[derive(Debug)]
pub struct Passed {
    tests: usize,
    scraped: Scraped,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed; {}", self.tests, self.scraped)
    }
}

impl Smoke<'_> {
    /// Tries everything.
    ///
    /// # Errors
    /// [`Code::NotHealthy`] with the first thing that does not work.
    pub async fn run(&self, reporter: &StepReporter) -> Result<Passed, Failure> {
        let http = Http::new(limits::SMOKE_REQUEST);
        let (routes, scraped, grafana) =
            tokio::join!(self.routes(&http, reporter), self.prometheus(&http, reporter), self.grafana(&http));
        // What Prometheus scrapes is one test, however many pods there are.
        Ok(Passed { tests: routes? + 1 + grafana?, scraped: scraped? })
    }

    async fn send(&self, http: &Http, server: Server, request: &Request<'_>) -> Result<Answer, String> {
        let answer = match self.gate {
            Gate::Pods => {
                let sent = through_pod(self.cluster, self.namespace, server.service, server.port, request);
                let limit = limits::SMOKE_REQUEST;
                let slow = |_| format!("no answer within {} s", limit.as_secs());
                tokio::time::timeout(limit, sent).await.map_err(slow)?
            }
            Gate::NodePorts(node) => {
                let port = node.host_port(server.node_port).ok_or_else(|| {
                    format!("node {} does not publish NodePort {}", node.name, server.node_port)
                })?;
                http.send(port, request).await
            }
        };
        answer.map_err(|error| error.to_string())
    }

    /// Sends until the answer is right.
    async fn expect<T>(
        &self,
        http: &Http,
        server: Server,
        request: Request<'_>,
        right: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let asked = async || right(&self.send(http, server, &request).await?);
        until(limits::SMOKE_REQUEST, limits::SMOKE_PAUSE, asked).await.map_err(|seen| {
            let what = format!("{} {} of {}", request.method, request.path, server.service);
            Failure::new(Code::NotHealthy, format!("smoke test: {what}: {seen}"))
        })
    }

    async fn routes(&self, http: &Http, reporter: &StepReporter) -> Result<usize, Failure> {
        reporter.message("the service's routes");
        let version = |answer: &Answer| match json(answer, 200)?.get("version").and_then(Value::as_str) {
            Some(version) if version == self.version => Ok(()),
            seen => Err(format!("expected version {}, found {seen:?}", self.version)),
        };
        self.expect(http, SERVICE, Request::get("/"), version).await?;
        for path in ["/health", "/ready", "/api/visitors", "/api/data?limit=1", "/openapi.json"] {
            self.expect(http, SERVICE, Request::get(path), |answer| json(answer, 200)).await?;
        }
        let metrics = |answer: &Answer| {
            let text = String::from_utf8_lossy(&answer.body);
            let found = answer.status == 200 && text.contains("app_requests_total");
            found.then_some(()).ok_or_else(|| format!("status {}, expected 200 and metrics", answer.status))
        };
        self.expect(http, SERVICE, Request::get("/metrics"), metrics).await?;
        let problem = |answer: &Answer| match answer.headers.get("content-type") {
            Some(kind) if kind == "application/problem+json" => json(answer, 404).map(drop),
            kind => Err(format!("status {} of type {kind:?}, expected a problem document", answer.status)),
        };
        self.expect(http, SERVICE, Request::get("/no-such-route"), problem).await?;
        let body = r#"{"name": "smoke test", "value": {"by": "a deployment"}}"#;
        let create = Request { method: "POST", path: "/api/data", json: Some(body), key: Some(KEY) };
        let location = self
            .expect(http, SERVICE, create, |answer| {
                json(answer, 201)?;
                let location = answer.headers.get("location").and_then(|value| value.to_str().ok());
                location.map(str::to_owned).ok_or_else(|| "no Location".to_owned())
            })
            .await?;
        self.expect(http, SERVICE, Request::get(&location), |answer| json(answer, 200)).await?;
        Ok(10)
    }

    async fn prometheus(&self, http: &Http, reporter: &StepReporter) -> Result<Scraped, Failure> {
        let asked = async || {
            let watched = Watched {
                namespace: self.namespace.to_owned(),
                kind: WorkloadKind::Deployment,
                name: DEPLOYMENT.to_owned(),
            };
            let seen = workloads(self.cluster, &[watched]).await.map_err(|failure| failure.message)?;
            let pods: Vec<_> = seen.into_iter().flat_map(|workload| workload.pods).collect();
            let answer = self.send(http, PROMETHEUS, &Request::get("/api/v1/targets?state=active")).await?;
            scraped::scraped(&json(&answer, 200)?, &pods, self.enough)
                .inspect_err(|seen| reporter.message(seen))
        };
        until(limits::SMOKE, limits::SMOKE_PAUSE, asked)
            .await
            .map_err(|seen| Failure::new(Code::NotHealthy, format!("smoke test: {seen}")))
    }

    async fn grafana(&self, http: &Http) -> Result<usize, Failure> {
        let present = |kind: &str, name: &str| {
            self.objects.iter().find(|object| object.kind() == kind && object.name() == name)
        };
        let Some(deployment) = present("Deployment", "grafana") else { return Ok(0) };
        let dashboards = present("ConfigMap", "grafana-dashboards")
            .and_then(|map| map.value().get("data")?.as_object())
            .map_or(0, serde_json::Map::len);
        let healthy = |answer: &Answer| match json(answer, 200)?.get("database").and_then(Value::as_str) {
            Some("ok") => Ok(()),
            seen => Err(format!("database is {seen:?}, expected ok")),
        };
        self.expect(http, GRAFANA, Request::get("/api/health"), healthy).await?;
        if !is_open(deployment) {
            let refused = |answer: &Answer| match answer.status {
                401 => Ok(()),
                status => Err(format!("status {status} without a password, expected 401")),
            };
            self.expect(http, GRAFANA, Request::get("/api/search"), refused).await?;
            return Ok(2);
        }
        let all = |answer: &Answer| {
            let found = json(answer, 200)?.as_array().map_or(0, Vec::len);
            if found == dashboards {
                Ok(())
            } else {
                Err(format!("{found} dashboards, expected {dashboards}"))
            }
        };
        self.expect(http, GRAFANA, Request::get("/api/search?type=dash-db"), all).await?;
        let source = |answer: &Answer| {
            let settings = json(answer, 200)?;
            let sources = settings.get("datasources").and_then(Value::as_object);
            let known = sources.into_iter().flat_map(|all| all.values());
            let mut kinds = known.filter_map(|source| source.get("type")?.as_str());
            kinds
                .any(|kind| kind == "prometheus")
                .then_some(())
                .ok_or_else(|| "no datasource Prometheus".to_owned())
        };
        self.expect(http, GRAFANA, Request::get("/api/frontend/settings"), source).await?;
        Ok(3)
    }
}

/// Whether everybody may look at this Grafana.
fn is_open(deployment: &Object) -> bool {
    let containers = deployment.value().pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let variables = containers.into_iter().flatten().filter_map(|container| container.get("env")?.as_array());
    variables
        .flatten()
        .any(|variable| variable["name"] == "GF_AUTH_ANONYMOUS_ENABLED" && variable["value"] == "true")
}

/// The answer's JSON, when it has the expected status.
fn json(answer: &Answer, status: u16) -> Result<Value, String> {
    if answer.status != status {
        let said: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
        return Err(format!("status {}, expected {status}: {said}", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_look_at_grafana_on_kind_and_not_in_production() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (overlay, open) in [("kind", true), ("production", false)] {
            let directory = root.join("k8s/overlays").join(overlay);
            let objects = crate::manifests::read(&root, &directory).expect("manifests");
            let grafana = |object: &&Object| object.kind() == "Deployment" && object.name() == "grafana";
            assert_eq!(is_open(objects.iter().find(grafana).expect("Grafana")), open, "{overlay}");
        }
    }
}
