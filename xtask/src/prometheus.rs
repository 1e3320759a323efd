//! Asks Prometheus over its HTTP API (<https://prometheus.io/docs/prometheus/latest/querying/api/>): the value of an
//! expression now, or over a time.
//!
//! Must not: know a metric by name, or what an answer is for.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

pub use xtask_core::series::{Point, Series, Span};

use crate::event::{ServiceReport, ServiceState};
use crate::limits;
use crate::stack::{ServiceName, Stack};

/// The stack's service that is asked.
pub const SERVICE: &str = "prometheus";

/// A Prometheus that can be asked.
#[derive(Debug, Clone)]
pub struct Prometheus {
    address: String,
    limit: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It does not run, or nobody can reach it.
    #[error("Prometheus cannot be asked: {0}")]
    Away(String),
    /// It did not answer.
    #[error("no answer from Prometheus at {address} to {question}: {seen}")]
    Silent {
        /// Where it was asked.
        address: String,
        /// The expression.
        question: String,
        /// What was seen.
        seen: String,
    },
    /// It does not take the question.
    #[error("Prometheus at {address} refuses {question}: {said}")]
    Refused {
        /// Where it was asked.
        address: String,
        /// The expression.
        question: String,
        /// Its reason.
        said: String,
    },
}

impl Prometheus {
    /// The stack's own, when it runs. Its port alone would not tell: another project's may have it.
    ///
    /// # Errors
    /// [`AskError::Away`] when it does not run or publishes no port.
    pub fn of(stack: &Stack, services: &[ServiceReport], limit: Duration) -> Result<Self, AskError> {
        let Some(service) = stack.services.get(&ServiceName::new(SERVICE)) else {
            return Err(AskError::Away(format!("the stack has no service {SERVICE}")));
        };
        let row = services.iter().find(|row| row.service == SERVICE);
        let row = row.ok_or_else(|| AskError::Away(format!("service {SERVICE} is absent")))?;
        Self::of_row(row, service.ports.iter().find_map(crate::stack::Port::address), limit)
    }

    /// The one that this row tells of, at the address that it publishes.
    ///
    /// # Errors
    /// As for [`Prometheus::of`].
    pub fn of_row(row: &ServiceReport, address: Option<String>, limit: Duration) -> Result<Self, AskError> {
        if !matches!(row.state, ServiceState::Healthy | ServiceState::Running | ServiceState::Starting) {
            return Err(AskError::Away(format!("service {SERVICE} is {}", row.state.as_str())));
        }
        let address =
            address.ok_or_else(|| AskError::Away(format!("service {SERVICE} publishes no port")))?;
        Ok(Self::at(address, limit))
    }

    /// The one at `HOST:PORT`; `limit` bounds each question.
    pub fn at(address: impl Into<String>, limit: Duration) -> Self {
        Self { address: address.into(), limit }
    }

    /// What an expression is at a time, in seconds since 1970; now when none is given.
    ///
    /// # Errors
    /// When there is no answer in time, or Prometheus does not take the expression.
    pub async fn instant(&self, expr: &str, at: Option<u64>) -> Result<Vec<Series>, AskError> {
        let at = at.map(|at| ("time", at.to_string()));
        self.ask("query", expr, at.as_slice()).await
    }

    /// What an expression was at the times of a span.
    ///
    /// # Errors
    /// As for [`Prometheus::instant`].
    pub async fn range(&self, expr: &str, span: Span) -> Result<Vec<Series>, AskError> {
        let times = [("start", span.start), ("end", span.end), ("step", span.step)];
        self.ask("query_range", expr, &times.map(|(name, seconds)| (name, seconds.to_string()))).await
    }

    async fn ask(&self, what: &str, expr: &str, times: &[(&str, String)]) -> Result<Vec<Series>, AskError> {
        let path = format!("/api/v1/{what}?");
        let before = path.len();
        let target = form_urlencoded::Serializer::for_suffix(path, before)
            .append_pair("query", expr)
            .extend_pairs(times)
            .finish();
        let silent = |seen: String| AskError::Silent {
            address: self.address.clone(),
            question: expr.to_owned(),
            seen,
        };
        let answer = tokio::time::timeout(self.limit, get(&self.address, &target)).await;
        let late = |_| silent(format!("none within {} s", self.limit.as_secs_f32()));
        let (status, body) = answer.map_err(late)?.map_err(|error| silent(error.to_string()))?;
        match serde_json::from_slice(&body) {
            Ok(Answer { data: Some(data), .. }) => Ok(data.result.into_iter().map(Series::from).collect()),
            Ok(Answer { error: Some(said), .. }) => {
                Err(AskError::Refused { address: self.address.clone(), question: expr.to_owned(), said })
            }
            // One that starts says so in a line of text.
            _ => {
                let text = String::from_utf8_lossy(&body);
                let line = text.lines().next().unwrap_or_default().trim().to_owned();
                Err(silent(format!("status {status}, {line:?}")))
            }
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn get(address: &str, target: &str) -> Result<(u16, Vec<u8>), Broken> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::get(target).header("host", address).body(String::new())?;
    // The answer arrives, or fails, while the connection is driven; its end alone tells neither.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), limits::PROMETHEUS_ANSWER).collect().await?;
        Ok((status, body.to_bytes().to_vec()))
    };
    tokio::select! {
        answer = answer => answer,
        () = drive => unreachable!("it never ends"),
    }
}

/// An answer has data or an error.
#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Row>,
}

/// A series as the API writes it: `value` in a vector, `values` in a matrix, numbers as text because JSON has no NaN.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl From<Row> for Series {
    fn from(row: Row) -> Self {
        let points = row.value.into_iter().chain(row.values);
        let points = points.map(|(at, value)| Point { at, value: value.parse().unwrap_or(f64::NAN) });
        Self { labels: row.metric, points: points.collect() }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(60);

    /// A server that gives one answer, and the first line of what it was asked.
    async fn server(status: &str, body: &str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (address, served)
    }

    #[test]
    fn points_stand_at_times_that_people_count_in() {
        let span = |start, end, step| Span { start, end, step };
        let table = [
            (3_600, 200, span(6_400, 10_007, 20)),
            (60, 200, span(9_945, 10_007, 5)),
            (3_600, 60, span(6_360, 10_007, 60)),
        ];
        for (long, points, expected) in table {
            assert_eq!(span(10_007 - long, 10_007, 1).with_points(points), expected, "{long} {points}");
        }
        // An hour whose first point was moved to a multiple of the step is an hour still.
        assert_eq!(span(6_400, 10_007, 20).with_points(60).step, 60);
        assert_eq!(span(0, 7 * 86_400, 1).with_points(200).step, 3_600);
        assert_eq!(span(0, 70 * 86_400, 1).with_points(200).step, 32_400);
    }

    #[tokio::test]
    async fn a_vector_is_read_with_its_labels() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"a"},"value":[1795547660.5,"1"]},{"metric":{},"value":[1,"NaN"]}]}}"#;
        let (address, served) = server("200 OK", body).await;
        let series = Prometheus::at(address, PATIENT).instant("up{job=\"a\"} + 1", Some(7)).await;
        let series = series.expect("an answer");
        assert_eq!(series[0].points, [Point { at: 1_795_547_660.5, value: 1.0 }]);
        assert_eq!((series[0].label("job"), series[0].label("none")), ("a", ""));
        assert!(series[1].points[0].value.is_nan());
        let asked = served.await.expect("one question");
        assert_eq!(asked, "GET /api/v1/query?query=up%7Bjob%3D%22a%22%7D+%2B+1&time=7 HTTP/1.1");
    }

    #[tokio::test]
    async fn a_matrix_is_read_in_the_order_of_time() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"job":"a"},"values":[[10,"1.5"],[20,"+Inf"]]}]}}"#;
        let (address, served) = server("200 OK", body).await;
        let span = Span { start: 10, end: 20, step: 10 };
        let series = Prometheus::at(address, PATIENT).range("up", span).await.expect("an answer");
        let values: Vec<_> = series[0].points.iter().map(|point| (point.at, point.value)).collect();
        assert_eq!(values, [(10.0, 1.5), (20.0, f64::INFINITY)]);
        let asked = served.await.expect("one question");
        assert_eq!(asked, "GET /api/v1/query_range?query=up&start=10&end=20&step=10 HTTP/1.1");
    }

    #[tokio::test]
    async fn an_error_says_what_was_asked_and_seen() {
        let refusal = r#"{"status":"error","errorType":"bad_data","error":"parse error: no"}"#;
        let table = [
            ("400 Bad Request", refusal, "refuses up{: parse error: no"),
            ("503 Service Unavailable", "starting\n", "to up{: status 503, \"starting\""),
            ("200 OK", "{}", "to up{: status 200, \"{}\""),
        ];
        for (status, body, told) in table {
            let (address, _served) = server(status, body).await;
            let error = Prometheus::at(address, PATIENT).instant("up{", None).await.expect_err(told);
            assert!(error.to_string().ends_with(told), "{error}");
        }
        // Held, so that it is nobody else's, and not listened at.
        let held = tokio::net::TcpSocket::new_v4().expect("a socket");
        held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let nobody = held.local_addr().expect("its address");
        let error = Prometheus::at(nobody.to_string(), PATIENT).instant("up", None).await;
        assert!(error.expect_err("nobody").to_string().contains("refused"), "nobody listens");
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("its address").to_string();
        let error = Prometheus::at(address, Duration::from_millis(20)).instant("up", None).await;
        assert!(error.expect_err("nothing").to_string().ends_with("none within 0.02 s"));
    }
}
