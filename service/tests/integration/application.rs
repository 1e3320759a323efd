//! Owns the application as tests meet it in process: assembled as the program does it, dispatched to without a socket, its
//! log kept.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rocket::{
    http::{Header, Method},
    local::asynchronous::Client,
};
use serde_json::Value;
use service::{Parts, application, config::Config, logging::Log, store::Upkeep};

use crate::servers::{self, PATIENCE, config};

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The last part of a problem's `type`.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str(), self.header("X-Request-Id"));
        problem["type"].as_str().expect("a type").trim_start_matches("urn:homeport:problem:").to_owned()
    }
}

/// A log that is kept.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the kept log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines so far, each a JSON object.
    pub(crate) fn read(&self) -> Vec<Value> {
        let bytes = self.0.lock().expect("the kept log").clone();
        let text = String::from_utf8(bytes).expect("a log in UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

/// The application, running.
pub(crate) struct Application {
    pub(crate) client: Client,
    pub(crate) parts: Parts,
    pub(crate) database: String,
    pub(crate) lines: Lines,
    upkeep: Option<Upkeep>,
    log: Option<Log>,
}

impl Application {
    /// On the shared servers, with a database of its own; ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Application::start`], with other variables.
    pub(crate) async fn start_with(changes: &[(&str, &str)]) -> Self {
        let database = servers::postgres().await.database().await;
        Self::start_on(&database, changes).await
    }

    /// On the shared servers, with this database; ready.
    pub(crate) async fn start_on(database: &str, changes: &[(&str, &str)]) -> Self {
        let (postgres, redis) = (servers::postgres().await.port, servers::redis().await.port);
        let application = Self::assemble(&config(postgres, database, redis, changes)).await;
        application.until_ready("ok").await;
        application
    }

    /// Assembled; what is ready and what not is the caller's matter.
    pub(crate) async fn assemble(config: &Config) -> Self {
        let lines = Lines::default();
        let log = Log::start(config.log_level, Box::new(lines.clone()));
        let (parts, upkeep) = Parts::assemble(config, &log.logger());
        let client =
            Client::untracked(application(config, parts.clone())).await.expect("an application that ignites");
        let database = config.database.name.clone();
        Self { client, parts, database, lines, upkeep: Some(upkeep), log: Some(log) }
    }

    pub(crate) async fn until_ready(&self, status: &str) {
        let end = Instant::now() + PATIENCE;
        while self.get("/ready").await.json()["status"] != status {
            let (last, lines) = (self.get("/ready").await, self.lines.read());
            assert!(
                Instant::now() < end,
                "waited in vain for readiness {status:?}: {}\n{lines:#?}",
                last.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::Get, path, &[], b"").await
    }

    pub(crate) async fn post(&self, body: &Value, key: Option<&str>) -> Answer {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        self.send(Method::Post, "/api/data", &headers, body.to_string().as_bytes()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let begun = Instant::now();
        let mut request = self.client.req(method, path.to_owned()).body(body);
        for (name, value) in headers {
            request.add_header(Header::new((*name).to_owned(), (*value).to_owned()));
        }
        let response = request.dispatch().await;
        let took = begun.elapsed();
        let status = response.status().code;
        let headers = response
            .headers()
            .iter()
            .map(|header| (header.name.to_string(), header.value.to_string()))
            .collect();
        Answer { status, headers, body: response.into_bytes().await.unwrap_or_default(), took }
    }

    /// The value of a series in `/metrics`, 0 when it is not there.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let answer = self.get("/metrics").await;
        let line = answer.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Ends it as the program does: background work stopped, counters flushed, spans sent, log written.
    pub(crate) async fn stop(mut self) -> Vec<Value> {
        drop(self.upkeep.take());
        self.parts.store.flush().await;
        let log = self.log.take().expect("a running log");
        self.parts.export.clone().finish(&log.logger()).await;
        log.finish();
        self.lines.read()
    }

    /// Ends it as a kill does: nothing is flushed.
    pub(crate) fn kill(mut self) {
        drop(self.upkeep.take());
    }
}
