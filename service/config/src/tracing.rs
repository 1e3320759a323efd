//! Owns the reading of OpenTelemetry's own variables (its specification, "Environment Variable Specification" and "OTLP
//! Exporter Configuration"): those that mean something here. Without an endpoint none of the others is looked at.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::variables::{Secret, Variables};

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with the path for traces.
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: they often hold a key.
    pub headers: Vec<(String, Secret)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`.
    pub timeout: Duration,
    /// `OTEL_BSP_SCHEDULE_DELAY`.
    pub gather: Duration,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Sampler,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource: Vec<(String, String)>,
}

/// Which traces are recorded; a ratio is a share of them, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// `always_on`
    AlwaysOn,
    /// `always_off`
    AlwaysOff,
    /// `traceidratio`
    Ratio(f64),
    /// `parentbased_always_on`
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`
    ParentBasedRatio(f64),
}

/// OTLP/HTTP: what is appended to a base endpoint for traces.
const TRACES_PATH: &str = "v1/traces";

impl Tracing {
    /// `None`: spans go nowhere.
    pub(super) fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let disabled = variables.optional("OTEL_SDK_DISABLED");
        let base = variables.optional("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        if disabled.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return None;
        }
        if let Some(problem) = endpoint_problem(&base) {
            variables.fault("OTEL_EXPORTER_OTLP_ENDPOINT", problem);
        }
        let protocol = variables.optional("OTEL_EXPORTER_OTLP_PROTOCOL");
        if let Some(text) = protocol.filter(|text| text != "http/protobuf") {
            variables.fault("OTEL_EXPORTER_OTLP_PROTOCOL", format!("is {text:?}, expected http/protobuf"));
        }
        let headers = pairs(variables, "OTEL_EXPORTER_OTLP_HEADERS", is_header);
        Some(Self {
            endpoint: format!("{}/{TRACES_PATH}", base.trim_end_matches('/')),
            headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            timeout: Duration::from_millis(variables.number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 1, 60_000)),
            // A second, not the specification's five: soon enough for a person who looks for the request just made.
            gather: Duration::from_millis(variables.number("OTEL_BSP_SCHEDULE_DELAY", 1_000, 1, 3_600_000)),
            sampler: sampler(variables),
            service_name: variables.optional("OTEL_SERVICE_NAME"),
            resource: pairs(variables, "OTEL_RESOURCE_ATTRIBUTES", |name, _| !name.is_empty()),
        })
    }
}

/// Never shows the text where it may hold a password.
fn endpoint_problem(text: &str) -> Option<String> {
    if text.contains('@') {
        return Some("holds a user or password: use OTEL_EXPORTER_OTLP_HEADERS".to_owned());
    }
    if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) {
        return Some(format!(
            "is {text:?}, but the service speaks no TLS: name a collector near it that takes http://"
        ));
    }
    let uri = text.parse::<http::Uri>().ok().filter(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let port = uri.authority().is_some_and(port_is_sound);
        uri.scheme_str() == Some("http") && host && port && uri.query().is_none() && !text.contains('#')
    });
    uri.is_none().then(|| format!("is {text:?}, expected http://HOST:PORT"))
}

/// A port that is none counts as no port, and is then what stands behind the host.
fn port_is_sound(authority: &http::uri::Authority) -> bool {
    authority.port_u16().map_or_else(|| authority.as_str() == authority.host(), |port| port > 0)
}

fn is_header(name: &str, value: &str) -> bool {
    http::HeaderName::try_from(name).is_ok() && http::HeaderValue::try_from(value).is_ok()
}

/// `name=value,name=value`, values percent-encoded, as W3C Baggage writes them. Shows no value.
fn pairs(
    variables: &mut Variables<'_>,
    name: &'static str,
    is_sound: fn(&str, &str) -> bool,
) -> Vec<(String, String)> {
    let Some(text) = variables.optional(name) else { return Vec::new() };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        is_sound(name.trim(), &value).then(|| (name.trim().to_owned(), value.into_owned()))
    };
    let pairs: Option<Vec<_>> = text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect();
    pairs.unwrap_or_else(|| {
        variables.fault(name, "is malformed, expected NAME=VALUE,… with values percent-encoded");
        Vec::new()
    })
}

fn sampler(variables: &mut Variables<'_>) -> Sampler {
    let text = variables.optional("OTEL_TRACES_SAMPLER");
    let name = text.as_deref().unwrap_or("parentbased_always_on");
    let is_ratio = name.ends_with("traceidratio");
    // The argument is the ratios'; for the others the specification ignores it.
    let ratio = if is_ratio { variables.share("OTEL_TRACES_SAMPLER_ARG", 1.0) } else { 1.0 };
    match name {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::Ratio(ratio),
        "parentbased_always_on" => Sampler::ParentBasedAlwaysOn,
        "parentbased_always_off" => Sampler::ParentBasedAlwaysOff,
        "parentbased_traceidratio" => Sampler::ParentBasedRatio(ratio),
        other => {
            let problem = format!(
                "is {other:?}, expected always_on, always_off, traceidratio or parentbased_ before one"
            );
            variables.fault("OTEL_TRACES_SAMPLER", problem);
            Sampler::ParentBasedAlwaysOn
        }
    }
}
