//! Owns the promises of the program: its commands and exit codes, its patience at start, and what it does with bytes that
//! no HTTP library would send.

use serde_json::{Value, json};

use crate::{
    idempotency::count,
    proxy::{Mood, Proxy},
    servers::{self, Port, free_port, until},
    tests,
    wire::{self, Connection, Served},
};

tests![
    every_fault_of_the_configuration_is_named_and_the_exit_is_3,
    usage_is_shown_and_the_exit_is_2,
    absent_servers_are_waited_for,
    a_missing_schema_is_waited_for,
    an_absent_postgres_fails_a_migration_with_its_address,
    a_silent_postgres_fails_a_migration_in_time,
    health_tells_life_from_death,
    variables_of_rocket_change_nothing,
    what_cannot_be_read_is_a_problem_with_a_line,
    bodies_are_bounded_on_the_wire,
    a_body_that_does_not_come_is_given_up,
    a_taken_port_is_a_failure_that_says_so,
    libraries_log_through_the_same_drain,
];

pub(crate) async fn variables(database: &str, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    servers::variables(servers::postgres().await.port, database, servers::redis().await.port, changes)
}

/// The program, ready, with a database of its own.
pub(crate) async fn served(changes: &[(&str, &str)]) -> (Served, String) {
    let database = servers::postgres().await.database().await;
    let served = Served::start(&variables(&database, changes).await).await;
    served.until_ready("ok").await;
    (served, database)
}

async fn every_fault_of_the_configuration_is_named_and_the_exit_is_3() {
    let pairs = [
        ("DB_PORT", "x"),
        ("REDIS_HOST", "redis"),
        ("LOG_LEVEL", "loud"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318"),
    ];
    let variables: Vec<_> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for command in ["serve", "migrate"] {
        let end = wire::run(command, &variables).await;
        assert_eq!(end.status.code(), Some(3));
        let named: Vec<&str> =
            end.lines.iter().map(|line| line["variable"].as_str().expect("a name")).collect();
        assert_eq!(
            named,
            [
                "APP_VERSION",
                "DB_HOST",
                "DB_PORT",
                "DB_NAME",
                "DB_USER",
                "DB_PASSWORD",
                "LOG_LEVEL",
                "OTEL_EXPORTER_OTLP_ENDPOINT"
            ]
        );
        assert!(end.lines.iter().all(|line| line["level"] == "CRITICAL"), "{:?}", end.lines);
    }
    let end = wire::run("health", &[("PORT".to_owned(), "0".to_owned())]).await;
    assert_eq!(end.status.code(), Some(3));
}

async fn usage_is_shown_and_the_exit_is_2() {
    let end = wire::command("dance", &[]).output().await.expect("the program");
    assert_eq!(end.status.code(), Some(2));
    assert!(String::from_utf8(end.stderr).unwrap().starts_with("usage: service COMMAND"));
    for (flag, start) in [("--help", "usage: service COMMAND"), ("--version", "service ")] {
        let end = wire::command(flag, &[]).output().await.expect("the program");
        assert!(end.status.success() && String::from_utf8(end.stdout).unwrap().starts_with(start), "{flag}");
    }
}

async fn absent_servers_are_waited_for() {
    let (postgres, redis) = (servers::postgres().await, servers::redis().await);
    let database = postgres.database().await;
    let (postgres_port, redis_port) = (Port(free_port()), Port(free_port()));
    let served = Served::start(&servers::variables(postgres_port, &database, redis_port, &[])).await;
    let ready = served.get("/ready").await;
    assert_eq!(ready.status, 503);
    let down = json!({ "status": "down", "reason": "unreachable" });
    assert_eq!(ready.json(), json!({ "status": "unavailable", "postgres": down, "redis": down }));
    assert_eq!(served.get("/").await.json()["visitor"], 1);
    assert_eq!(served.get("/api/data").await.problem(), "unavailable");

    let _to_redis = Proxy::on(redis_port, redis.port).await;
    until("Redis", async || served.get("/ready").await.json()["redis"]["status"] == "up").await;
    let _to_postgres = Proxy::on(postgres_port, postgres.port).await;
    served.until_ready("ok").await;
    assert_eq!(served.get("/").await.json()["visitor"], 2, "the visit before is not lost");
    assert_eq!(served.get("/api/data").await.status, 200, "what found Postgres ready lets requests through");
    let end = served.stop().await;
    assert_eq!(end.status.code(), Some(0));
    for text in
        ["postgres is down, trying again", "redis is away, trying again", "postgres is up", "redis is up"]
    {
        let times = end.lines.iter().filter(|line| line["msg"] == text).count();
        assert!((1..=3).contains(&times), "{text}: {times} times in {:#?}", end.lines);
    }
}

async fn a_missing_schema_is_waited_for() {
    let database = servers::postgres().await.empty_database().await;
    let variables = variables(&database, &[]).await;
    let served = Served::start(&variables).await;
    served.until_ready("unavailable").await;
    assert_eq!(served.get("/ready").await.json()["postgres"]["reason"], "schema-behind");
    assert_eq!(wire::run("migrate", &variables).await.status.code(), Some(0));
    served.until_ready("ok").await;
    assert_eq!(served.stop().await.status.code(), Some(0));
}

async fn an_absent_postgres_fails_a_migration_with_its_address() {
    let port = Port(free_port());
    let variables = servers::variables(port, "nowhere", port, &[("MIGRATE_WAIT_SECONDS", "0.5")]);
    let end = wire::run("migrate", &variables).await;
    assert_eq!(end.status.code(), Some(5));
    let last = end.lines.last().expect("a line");
    let error = last["error"].as_str().expect("an error");
    assert!(error.contains(&format!("127.0.0.1:{}", port.0)) && error.contains("refused"), "{error}");
}

async fn a_silent_postgres_fails_a_migration_in_time() {
    let postgres = servers::postgres().await;
    let (database, proxy) = (postgres.empty_database().await, Proxy::to(postgres.port).await);
    proxy.set(Mood::Silent);
    let changes = [("MIGRATE_WAIT_SECONDS", "6")];
    let variables = servers::variables(proxy.port, &database, servers::redis().await.port, &changes);
    // Without a bound the run's own would end this test.
    let end = wire::run("migrate", &variables).await;
    assert_eq!(end.status.code(), Some(5));
    let error = end.lines.last().expect("a line")["error"].as_str().expect("an error");
    assert!(error.contains(&format!("127.0.0.1:{}", proxy.port.0)) && error.contains("timeout"), "{error}");
    let said = end.lines.iter().filter(|line| line["msg"] == "postgres is not there yet").count();
    assert!(said > 0, "the wait is not silent: {:#?}", end.lines);
}

async fn health_tells_life_from_death() {
    let (served, _) = served(&[]).await;
    let port = ("PORT".to_owned(), served.port.0.to_string());
    assert_eq!(wire::run("health", std::slice::from_ref(&port)).await.status.code(), Some(0));
    served.stop().await;
    let end = wire::run("health", &[port]).await;
    assert_eq!(end.status.code(), Some(1));
    assert!(end.errors.contains("/health"), "{}", end.errors);
}

async fn variables_of_rocket_change_nothing() {
    let changes = [("ROCKET_PORT", "1"), ("ROCKET_ADDRESS", "256.0.0.1"), ("ROCKET_LOG_LEVEL", "debug")];
    let (served, _) = served(&changes).await;
    assert_eq!(served.stop().await.status.code(), Some(0));
}

async fn what_cannot_be_read_is_a_problem_with_a_line() {
    let (served, _) = served(&[]).await;
    for (method, target, status, problem) in [
        ("DANCE", "/api/data", 405, "method-not-allowed"),
        ("DANCE", "/nothing", 404, "not-found"),
        // The form for CONNECT: no path, of which Rocket makes "/".
        ("POST", "localhost:80", 400, "bad-request"),
    ] {
        let mut connection = Connection::open(served.port).await.expect("a connection");
        let answer = connection.send(method, target, &[], b"").await.expect("an answer");
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem));
    }
    let metrics = served.get("/metrics").await;
    let series = r#"app_requests_total{endpoint="unmatched",method="OTHER",status="405"} 1"#;
    assert!(metrics.text().contains(series), "{}", metrics.text());
    let end = served.stop().await;
    let lines: Vec<&Value> = end.lines.iter().filter(|line| line["method"] == "OTHER").collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
}

async fn bodies_are_bounded_on_the_wire() {
    let (served, database) = served(&[]).await;
    // Declared too large: refused when its first bytes are there, for which Rocket waits.
    let mut connection = Connection::open(served.port).await.expect("a connection");
    let head = "POST /api/data HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{\"name\":\"n\",\"value\":";
    connection.write(head.as_bytes()).await.expect("a head");
    assert_eq!(connection.read(false).await.expect("an answer").problem(), "body-too-large");

    // Not declared: refused once it has become too large.
    let mut connection = Connection::open(served.port).await.expect("a connection");
    let head = "POST /api/data HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.write(head.as_bytes()).await.expect("a head");
    for _ in 0..5 {
        connection.write(format!("4000\r\n{}\r\n", " ".repeat(0x4000)).as_bytes()).await.expect("a piece");
    }
    assert_eq!(connection.read(false).await.expect("an answer").problem(), "body-too-large");

    // Cut off in the middle: nothing is stored.
    let mut connection = Connection::open(served.port).await.expect("a connection");
    let head = "POST /api/data HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    connection.write(head.as_bytes()).await.expect("a head");
    drop(connection);
    assert_eq!(served.post(&json!({ "name": "n", "value": 1 }), None).await.expect("an answer").status, 201);
    assert_eq!(served.stop().await.status.code(), Some(0));
    assert_eq!(count(&database).await, 1);
}

async fn a_body_that_does_not_come_is_given_up() {
    let (served, database) = served(&[("BODY_DEADLINE_SECONDS", "1")]).await;
    let head =
        "POST /api/data HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let mut connection = Connection::open(served.port).await.expect("a connection");
    connection.write(head.as_bytes()).await.expect("a head");
    // Rocket looks at the first 14 bytes before it hands over, and waits for them without an end.
    connection.write(b"{\"name\":\"n\",\"value\":").await.expect("a piece");
    let answer = connection.read(false).await.expect("an answer");
    assert_eq!((answer.status, answer.problem().as_str()), (408, "request-timeout"));
    // Whole, it is taken: the deadline is for what does not come.
    assert_eq!(served.post(&json!({ "name": "n", "value": 1 }), None).await.expect("an answer").status, 201);
    assert_eq!(count(&database).await, 1);
    let end = served.stop().await;
    let line = end.lines.iter().find(|line| line["status"] == 408).expect("a line of its own");
    assert_eq!(line["endpoint"], "/api/data");
}

async fn a_taken_port_is_a_failure_that_says_so() {
    let (first, database) = served(&[]).await;
    let port = first.port.0.to_string();
    let end = wire::run("serve", &variables(&database, &[("PORT", &port)]).await).await;
    assert_eq!(end.status.code(), Some(5));
    let said = end.lines.iter().find(|line| line["level"] == "CRITICAL").expect("a line");
    assert!(said["error"].as_str().is_some_and(|error| error.contains("in use")), "{said}");
    assert_eq!(first.stop().await.status.code(), Some(0));
}

async fn libraries_log_through_the_same_drain() {
    let (served, _) = served(&[]).await;
    let mut connection = Connection::open(served.port).await.expect("a connection");
    connection.send("DANCE", "/", &[], b"").await.expect("an answer");
    let end = served.stop().await;
    // Every line parsed as JSON, or `stop` would have failed; Rocket's are among them, with their target.
    assert!(end.lines.iter().any(|line| line["target"] == "rocket::server"), "{:#?}", end.lines);
    assert!(end.lines.iter().any(|line| line["target"] == "rocket::launch"), "{:#?}", end.lines);
    assert_eq!(end.errors, "");
}
