//! The service under load, against a bare Rocket and against pgbench; and what memory it takes.
//!
//! Servers and loaders share this machine's cores, and nothing limits any of them: Postgres and Redis are the stack's own,
//! freed of their CPU limits, and the service and the bare server are release builds that run beside each other, one loaded
//! at a time. pgbench runs where wrk does: in a container it would have a share of its own of a busy machine.

use std::path::PathBuf;

use tokio::io::AsyncRead;

use super::checkout::{SERVED, served};
use super::load::{requests, transactions};
use super::stack::{free_ports, on};
use super::{Bench, NotMeasured, PROJECT, cargo, copy_directory, free_port, output, program, quiet, xtask};
use crate::bench::{Entry, Runs, Work};
use crate::process::{Program, Running};
use crate::project::read_env_file;

/// The container that pgbench runs in where this machine has none.
pub(super) const PGBENCH: &str = "homeport-bench-pgbench";

/// What pgbench does once a transaction: what a `POST` of ours must do at least.
const INSERT: &str = "INSERT INTO items (name, value) VALUES ('bench', '{\"value\": 1}');";

pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
    output(&program("wrk").arg("-v")).await.or_else(|why| match &*why {
        // It ends with 1 whenever it only tells of itself.
        why if why.contains("exit status: 1") => Ok(String::new()),
        _ => Err(format!("{why}; `apt install wrk` or `brew install wrk` gets it")),
    })?;
    bench.say("compiling the service and the bare server");
    let programs = Programs::build(bench).await?;
    let ports = free_ports()?;
    let stack = on(&ports, xtask(bench.root())?);
    quiet(&stack.args(["dev", "--detach", "migrate", "redis"])).await?;
    free_of_limits(&["postgres", "redis"]).await?;
    Stand::start(bench, &programs).await?.take_turns(bench).await
}

/// Gives containers of the stack all cores that the engine has. With less, a figure is that of the limit: both sides
/// wait for the same half of a core.
async fn free_of_limits(services: &[&str]) -> Result<(), NotMeasured> {
    let cores = output(&program("docker").args(["info", "--format", "{{.NCPU}}"])).await?;
    let containers = services.iter().map(|service| format!("{PROJECT}-{service}"));
    quiet(&program("docker").args(["update", "--cpus", &cores]).args(containers)).await
}

/// The programs that are loaded.
struct Programs {
    service: PathBuf,
    bare: PathBuf,
}

impl Programs {
    async fn build(bench: &Bench<'_>) -> Result<Self, NotMeasured> {
        let (root, target) = (bench.root(), bench.scratch.join("release"));
        let build =
            cargo(root).args(["build", "--release", "--locked", "--package", "service", "--bin", "service"]);
        quiet(&build.env("CARGO_TARGET_DIR", &target)).await?;
        let bare = bench.scratch.join("bare");
        copy_directory(&root.join("xtask/bare"), &bare)?;
        // The same versions of the same crates.
        std::fs::copy(root.join("Cargo.lock"), bare.join("Cargo.lock")).map_err(|error| error.to_string())?;
        quiet(&cargo(&bare).args(["build", "--release"]).env("CARGO_TARGET_DIR", &target)).await?;
        Ok(Self { service: target.join("release/service"), bare: target.join("release/bare") })
    }
}

/// All servers, ready.
struct Stand {
    service: Server,
    without_redis: Server,
    bare: Server,
    /// A shell where pgbench is.
    pgbench: Program,
    contender: &'static str,
    post: PathBuf,
    post_large: PathBuf,
}

struct Server {
    port: u16,
    running: Running,
}

impl Server {
    async fn start(program: Program, port: u16) -> Result<Self, NotMeasured> {
        let mut running = program.stream().map_err(|error| error.to_string())?;
        // Its log is read, as whoever collects logs would, and thrown away.
        if let Some(pipe) = running.stdout.take() {
            tokio::spawn(drain(pipe));
        }
        if let Some(pipe) = running.stderr.take() {
            tokio::spawn(drain(pipe));
        }
        served(port, "Hello", SERVED).await?;
        Ok(Self { port, running })
    }

    /// The most memory it has had resident, in bytes.
    fn memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024.0)
    }
}

async fn drain(mut pipe: impl AsyncRead + Unpin) {
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
}

impl Stand {
    async fn start(bench: &Bench<'_>, programs: &Programs) -> Result<Self, NotMeasured> {
        let secrets =
            read_env_file(&bench.context.project.environment_file()).map_err(|failure| failure.message)?;
        let secret = |name: &str| secrets.get(name).map_or("", String::as_str);
        let (postgres, redis) = (address("postgres").await?, address("redis").await?);
        let database = [
            ("PGHOST", postgres.as_str()),
            ("PGUSER", secret("DB_USER")),
            ("PGPASSWORD", secret("DB_PASSWORD")),
            ("PGDATABASE", secret("POSTGRES_DB")),
        ];
        let (contender, pgbench) = pgbench(&database.map(|(name, _)| name)).await?;
        let service = |port: u16, redis_port: u16| {
            Program::new(&programs.service, crate::limits::BENCHED)
                .arg("serve")
                .env("APP_VERSION", "bench")
                .env("DB_HOST", &postgres)
                .env("DB_PORT", "5432")
                .env("DB_NAME", secret("POSTGRES_DB"))
                .env("DB_USER", secret("DB_USER"))
                .env("DB_PASSWORD", secret("DB_PASSWORD"))
                .env("REDIS_HOST", &redis)
                .env("REDIS_PORT", redis_port.to_string())
                .env("LISTEN_ADDRESS", "127.0.0.1")
                .env("PORT", port.to_string())
        };
        let (port, without, bare) = (free_port()?, free_port()?, free_port()?);
        let bare_program = Program::new(&programs.bare, crate::limits::BENCHED)
            .env("ROCKET_PORT", bare.to_string())
            .env("REDIS_URL", format!("redis://{redis}:6379"));
        Ok(Self {
            service: Server::start(service(port, 6379), port).await?,
            without_redis: Server::start(service(without, 1), without).await?,
            bare: Server::start(bare_program, bare).await?,
            pgbench: database.iter().fold(pgbench, |program, (name, value)| program.env(*name, *value)),
            contender,
            post: script(bench, "post.lua", "1")?,
            post_large: script(bench, "post-large.lua", &format!("\"{}\"", "x".repeat(60_000)))?,
        })
    }

    async fn take_turns(&self, bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
        let mut hello = Runs::of("`GET /` without Redis");
        let mut visitors = Runs::of("`GET /api/visitors`");
        let mut insert = Runs::of("`POST /api/data`");
        let mut bare_hello = Runs::of("a bare Rocket");
        let mut bare_redis = Runs::of("a bare Rocket with one Redis command");
        let mut pgbench = Runs::of(self.contender);
        for run in 1..=bench.runs {
            bench.say(format!("run {run} of {}", bench.runs));
            hello.push(requests(self.without_redis.port, "/", None).await?);
            bare_hello.push(requests(self.bare.port, "/", None).await?);
            visitors.push(requests(self.service.port, "/api/visitors", None).await?);
            bare_redis.push(requests(self.bare.port, "/visits", None).await?);
            insert.push(requests(self.service.port, "/api/data", Some(&self.post)).await?);
            pgbench.push(transactions(self.pgbench.clone(), INSERT).await?);
        }
        let memory_before = self.service.memory();
        bench.say("posting large bodies");
        requests(self.service.port, "/api/data", Some(&self.post_large)).await?;
        let memory = |work, bytes: Option<f64>| match bytes {
            Some(bytes) => Entry::measured(work, Runs::once("`service`", bytes), None),
            None => Entry::not_measured(work, "this system does not tell (Linux does)"),
        };
        Ok(vec![
            Entry::measured(Work::Hello, hello, bare_hello),
            Entry::measured(Work::Visitors, visitors, bare_redis),
            Entry::measured(Work::Insert, insert, pgbench),
            memory(Work::Memory, memory_before),
            memory(Work::MemoryLargeBodies, self.service.memory()),
        ])
    }
}

/// What the contender is called, and a shell that knows pgbench: this machine's, or, where there is none, one in a
/// container beside the server's, which these variables are handed on to.
async fn pgbench(variables: &[&str]) -> Result<(&'static str, Program), NotMeasured> {
    if quiet(&program("pgbench").arg("--version")).await.is_ok() {
        return Ok(("one-row INSERT by pgbench", program("sh")));
    }
    let network =
        seen("postgres", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}").await?;
    let image = seen("postgres", "{{.Image}}").await?;
    let container = program("docker")
        .args(["run", "--rm", "--name", PGBENCH, "--network", &network, "--entrypoint", "sh"])
        .args(variables.iter().flat_map(|name| ["--env", name]))
        .arg(image);
    Ok(("one-row INSERT by pgbench in a container", container))
}

/// The address of a container of the stack. On Linux it is reached without a relay in between.
async fn address(service: &str) -> Result<String, NotMeasured> {
    if !cfg!(target_os = "linux") {
        return Err("containers have no address that this system can reach; Linux has".to_owned());
    }
    seen(service, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").await
}

/// What the engine tells of a container of the stack.
async fn seen(service: &str, form: &str) -> Result<String, NotMeasured> {
    output(&program("docker").args(["inspect", "--format", form]).arg(format!("{PROJECT}-{service}"))).await
}

/// A script for wrk that posts an item of this value.
fn script(bench: &Bench<'_>, name: &str, value: &str) -> Result<PathBuf, NotMeasured> {
    let path = bench.scratch.join(name);
    let body = format!("{{\"name\": \"bench\", \"value\": {value}}}");
    let text = format!(
        "wrk.method = \"POST\"\nwrk.body = '{body}'\nwrk.headers[\"Content-Type\"] = \"application/json\"\n"
    );
    std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}
