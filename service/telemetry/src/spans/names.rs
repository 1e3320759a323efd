//! Owns the names: of spans, and of their attributes, which are those of OpenTelemetry's semantic conventions (HTTP server
//! spans and database client spans, both stable). No name holds anything that a client chose.

use std::net::IpAddr;

use opentelemetry::KeyValue;

pub(super) const ERROR_TYPE: &str = "error.type";
const SYSTEM: &str = "db.system.name";
const NAMESPACE: &str = "db.namespace";
const SERVER_ADDRESS: &str = "server.address";
const SERVER_PORT: &str = "server.port";

/// Work inside of this process, by the name of its span.
#[derive(Clone, Copy)]
pub struct Work(pub(super) &'static str);

/// All of them.
pub mod works {
    use super::Work;

    /// A request waits for one of the pool's connections: for a permit, a thread and the connection itself.
    pub const POOL_WAIT: Work = Work("pool wait");
    /// A request waits for its item's commit.
    pub const WRITE_WAIT: Work = Work("write wait");
    /// The writer commits the items of some requests, and tells the cache.
    pub const WRITE_BATCH: Work = Work("write batch");
    /// A request waits for a page that an equal request is reading.
    pub const READING_WAIT: Work = Work("reading wait");
    /// A request waits for the visitors' number.
    pub const VISITORS_WAIT: Work = Work("visitors wait");
}

/// Where statements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Postgres.
    Postgres,
    /// Redis.
    Redis,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Redis => "redis",
        }
    }

    /// What each of its spans says of it. In Redis the namespace is the number of the database: always 0 here.
    pub(super) fn server(self, address: &str, port: u16, namespace: &str) -> Vec<KeyValue> {
        let shared = |text: &str| std::sync::Arc::<str>::from(text);
        vec![
            KeyValue::new(SYSTEM, self.name()),
            KeyValue::new(NAMESPACE, shared(namespace)),
            KeyValue::new(SERVER_ADDRESS, shared(address)),
            KeyValue::new(SERVER_PORT, i64::from(port)),
        ]
    }
}

/// One statement as its span names it. Its text is left out: it says no more, and could hold data.
pub struct Statement {
    pub(super) system: System,
    operation: &'static str,
    /// The table; Redis has none.
    collection: Option<&'static str>,
    pub(super) summary: &'static str,
}

impl Statement {
    const fn postgres(operation: &'static str, collection: &'static str, summary: &'static str) -> Self {
        Self { system: System::Postgres, operation, collection: Some(collection), summary }
    }

    const fn redis(operation: &'static str, summary: &'static str) -> Self {
        Self { system: System::Redis, operation, collection: None, summary }
    }

    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("db.operation.name", self.operation),
            KeyValue::new("db.query.summary", self.summary),
        ];
        attributes.extend(self.collection.map(|name| KeyValue::new("db.collection.name", name)));
        attributes
    }
}

/// All statements that requests cause. The word after the operation is the table, or what the key is of.
pub mod statements {
    use super::Statement;

    /// One item is read.
    pub const FIND_ITEM: Statement = Statement::postgres("SELECT", "items", "SELECT items");
    /// A page of items is read.
    pub const READ_PAGE: Statement = Statement::postgres("SELECT", "items", "SELECT items");
    /// Items are written.
    pub const INSERT_ITEMS: Statement = Statement::postgres("INSERT", "items", "INSERT items");
    /// Idempotency keys are taken.
    pub const CLAIM_KEYS: Statement =
        Statement::postgres("INSERT", "idempotency_keys", "INSERT idempotency_keys");
    /// The items of taken keys are read.
    pub const FIND_BY_KEYS: Statement =
        Statement::postgres("SELECT", "idempotency_keys", "SELECT idempotency_keys items");
    /// A page is looked up.
    pub const CACHE_GET: Statement = Statement::redis("MGET", "MGET cache");
    /// A page is kept.
    pub const CACHE_SET: Statement = Statement::redis("SET", "SET cache");
    /// The first token of an empty cache is set.
    pub const CACHE_BEGIN: Statement = Statement::redis("SET", "SET cache token");
    /// The token is read that a page is kept under.
    pub const CACHE_TOKEN: Statement = Statement::redis("GET", "GET cache token");
    /// Another token is set, so that no page of before is found.
    pub const CACHE_INVALIDATE: Statement = Statement::redis("SET", "SET cache token");
    /// Visits are added.
    pub const VISITORS_ADD: Statement = Statement::redis("EVALSHA", "EVALSHA visitors");
    /// The count is read.
    pub const VISITORS_READ: Statement = Statement::redis("GET", "GET visitors");
}

/// What a request's span says when it was answered.
pub struct Request<'a> {
    /// The method; `None`: not a known one.
    pub method: Option<&'static str>,
    /// The route's template, if one took it.
    pub route: Option<&'a str>,
    /// The path, of bounded length.
    pub path: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The client's address, if there is one.
    pub client: Option<IpAddr>,
    /// Host and port as the client named them.
    pub host: Option<(&'a str, Option<u16>)>,
}

/// The port of a `Host` that names none: RFC 9110 section 4.2.1.
const HTTP_PORT: u16 = 80;

impl Request<'_> {
    pub(super) fn span_name(&self) -> String {
        // The conventions: `HTTP` where the method is not known.
        let method = self.method.unwrap_or("HTTP");
        self.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
    }

    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method.unwrap_or("_OTHER")),
            KeyValue::new("http.response.status_code", i64::from(self.status)),
            KeyValue::new("url.path", self.path.to_owned()),
            KeyValue::new("url.scheme", "http"),
        ];
        attributes.extend(self.route.map(|route| KeyValue::new("http.route", route.to_owned())));
        attributes.extend(self.client.map(|address| KeyValue::new("client.address", address.to_string())));
        if let Some((host, port)) = self.host {
            attributes.push(KeyValue::new(SERVER_ADDRESS, host.to_owned()));
            attributes.push(KeyValue::new(SERVER_PORT, i64::from(port.unwrap_or(HTTP_PORT))));
        }
        if self.status >= 500 {
            attributes.push(KeyValue::new(ERROR_TYPE, self.status.to_string()));
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn a_request_is_named_by_its_route_and_never_by_its_path() {
        for (method, route, name) in [
            (Some("GET"), Some("/api/data/{id}"), "GET /api/data/{id}"),
            (Some("POST"), None, "POST"),
            (None, None, "HTTP"),
        ] {
            let request = Request { method, route, path: "/x", status: 200, client: None, host: None };
            assert_eq!(request.span_name(), name);
        }
    }

    #[test]
    fn only_a_fault_of_ours_has_an_error_type() {
        for (status, error) in [(200, None), (404, None), (422, None), (500, Some("500")), (503, Some("503"))]
        {
            let request =
                Request { method: Some("GET"), route: None, path: "/x", status, client: None, host: None };
            let attributes = request.attributes();
            let said = attributes.iter().find(|pair| pair.key.as_str() == "error.type");
            assert_eq!(said.map(|pair| pair.value.as_str().into_owned()).as_deref(), error);
        }
    }
}
