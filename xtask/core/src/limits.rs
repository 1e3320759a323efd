//! The task runner's bounds, each with its reason: how long a wait may be, how much is held, how many at once. A wait without a bound is a bug.

use std::time::Duration;

/// How long the engine may take to answer a question that needs no work. A healthy engine answers in milliseconds; one
/// that is busy unpacking an image takes seconds, and one on two cores with a load of 17 has been seen to take more than
/// twenty to list its volumes while others were being removed.
pub const ENGINE_ANSWER: Duration = Duration::from_secs(60);

/// How long the engine may take to create, start or remove one object. Starting many containers at once on two cores
/// with a cold disk takes seconds; a minute means that it hangs.
pub const ENGINE_OPERATION: Duration = Duration::from_secs(60);

/// How long the engine may be at work, out of sight, on a request whose program was killed: a container that is being
/// made is in no list yet, one that is being removed is in none any more while it holds its volumes. It takes some
/// hundred milliseconds, on two busy cores some more.
pub const ENGINE_SETTLES: Duration = Duration::from_secs(2);

/// How long a `dev` that stays waits for an engine that has gone away: one that is restarted stops its containers first, each
/// within the time that it may take, and one that is upgraded takes a minute.
pub const ENGINE_RETURNS: Duration = Duration::from_secs(120);

/// How often it looks whether the engine is back: a look is one refused connection.
pub const ENGINE_LOOK: Duration = Duration::from_millis(500);

/// How long a registry may take to say whether it has an image. Asked for each image that is missing, so it delays a
/// start without network; a registry that is there answers well below a second.
pub const REGISTRY_ANSWER: Duration = Duration::from_secs(4);

/// How long one image may take to arrive from a registry. The largest image of the stack has some 250 MB: ten minutes
/// is 3.5 Mbit/s.
pub const IMAGE_PULL: Duration = Duration::from_secs(600);

/// How often a pull is tried when what failed may pass: registries that limit or restart answer again within seconds.
pub const PULL_ATTEMPTS: u32 = 4;

/// The pause before the second attempt of a pull; each further one is twice as long, 7 s in all.
pub const PULL_PAUSE: Duration = Duration::from_secs(1);

/// How long an archive of images may take to be read into the engine: the largest has some 300 MB unpacked, a slow disk
/// writes 10 MB/s.
pub const IMAGE_LOAD: Duration = Duration::from_secs(300);

/// How long a recipe may build. The slowest installs some 60 MB of packages: under a minute on two cores with a mirror
/// near by; a slow mirror is given ten times that.
pub const IMAGE_BUILD: Duration = Duration::from_secs(900);

/// How long the service may compile. From nothing on two cores it takes two to three minutes.
pub const SERVICE_BUILD: Duration = Duration::from_secs(1800);

/// How long a service may take to become healthy when its health check does not say. Three times the slowest first
/// start seen on a busy machine with two cores (Postgres' initdb, 20 s).
pub const HEALTHY: Duration = Duration::from_secs(60);

/// How long a one-shot (a migration) may run.
pub const COMPLETED: Duration = Duration::from_secs(300);

/// The pause between two probes of a container that is not ready yet: the granularity a person waits at. A probe is an
/// `exec`, some 30 ms of the engine's time, so a shorter pause would take the processor from what is waited for.
pub const PROBE_PAUSE: Duration = Duration::from_millis(60);

/// The pause between two questions to a service whether it is ready, over a connection: one costs well below a
/// millisecond, so that a start is noticed as soon as it is done.
pub const READY_PAUSE: Duration = Duration::from_millis(5);

/// How long a start is asked so often; what takes longer is asked as often as any container is probed.
pub const READY_SOON: Duration = Duration::from_secs(1);

/// How long a script of `db` may take: it copies a development database, at worst some gigabytes on a slow disk.
pub const DATABASE: Duration = Duration::from_secs(600);

/// How often a database is copied or replaced when somebody connects in the milliseconds between being cut off and that:
/// Postgres waits five seconds for each to go. Hardly ever is a second attempt needed.
pub const DATABASE_ATTEMPTS: u32 = 5;

/// How long the check before a reload may take: it reads some files and ends within a tenth of a second, on a busy machine
/// within seconds.
pub const RELOAD_CHECK: Duration = Duration::from_secs(30);

/// How many last lines of a log are shown when a container fails.
pub const LAST_LINES: usize = 20;

/// How many are shown at most when they begin with a panic: its message and a backtrace, the screen of a person.
pub const LAST_WORDS: usize = 60;

/// How many last lines of the log of a version that failed are kept, because its container is not: more than any start says.
pub const KEPT_LOG: usize = 10_000;

/// How many services may be probed, created or started at once: more than any stack of a laptop has, few enough to
/// keep the engine's connections bounded.
pub const PARALLEL: usize = 16;

/// How long saves are gathered before a rebuild: an editor that writes several files ("save all", a formatter) does so
/// within some milliseconds of each other. What comes later is gathered while the compiler runs, which begins again then.
pub const GATHER_SAVES: Duration = Duration::from_millis(25);

/// How long saves are gathered when they do not cease, because something writes all the time: a person who has saved waits no
/// longer than for a compiler's first words.
pub const GATHERED_SAVES: Duration = Duration::from_millis(500);

/// How often `dev` looks whether the terminal is its own to use and reads single keys: a person who brings it back to the
/// foreground waits no longer for the first key. A look is three system calls.
pub const TERMINAL_LOOK: Duration = Duration::from_millis(250);

/// How long a second command waits for the project's lock before it says who holds it: a command that is just ending
/// needs some hundred milliseconds.
pub const PROJECT_LOCK: Duration = Duration::from_secs(2);

/// How long the first `dev` of a checkout waits while another checkout's decides what it is called: that asks the engine two
/// questions at once, which a healthy one answers within milliseconds.
pub const CHECKOUT_DECIDES: Duration = ENGINE_ANSWER;

/// How many run logs are kept, beside those that are still written and the newest one of `dev`; each is some kilobytes, and a
/// person looks at the last few.
pub const RUN_LOGS: usize = 50;

/// How many bytes of services' logs a run log keeps: a `dev` that stays for days writes all that they say. The engine has them
/// while their container is there, and a search for secrets reads files up to this length.
pub const RUN_LOG_LINES: u64 = 48 << 20;

/// How many lines of services' logs wait for a terminal that stands still (Ctrl-S), or is slower than what is told: some
/// megabytes, more than a person scrolls back.
pub const WAITING_LINES: usize = 10_000;

/// How much of the run logs is read for what containers said that are gone: some ten thousand lines, which take a tenth of a
/// second.
pub const SAID: u64 = 4 << 20;

/// How long a container may take to stop when it was made without saying how long (Compose Specification, `stop_grace_period`).
pub const STOP_UNKNOWN: Duration = Duration::from_secs(10);

/// How long one suite of tests may run, compiling included. From nothing on two cores the slowest takes some ten minutes.
pub const TESTS: Duration = Duration::from_secs(3600);

/// How long a check of style or rules may take, compiling included.
pub const CHECK: Duration = Duration::from_secs(1800);

/// How long changing a room's code may go on. The service's store has some 500 mutants, of a minute each on two cores.
pub const MUTANTS: Duration = Duration::from_secs(24 * 3600);

/// Up to which size, in bytes unpacked, an image is looked into: its archive is held in memory, twice for a moment.
pub const SCANNED_IMAGE: u64 = 1 << 30;

/// How many integration tests run at once: they wait for containers far more than they compute.
pub const INTEGRATION_TESTS: usize = 8;

/// How many end-to-end tests run at once: each may have a stack of its own, and two of those keep two cores busy.
pub const END_TO_END_TESTS: usize = 2;

/// How long Trivy may take: its first run fetches a database of some 60 MB.
pub const TRIVY: Duration = Duration::from_secs(900);

/// The longest object of git's history that is searched for secrets: no text that a person wrote is longer.
pub const HISTORY_OBJECT: usize = 8 << 20;

/// How many bytes of git's history are searched at a time, which bounds the memory that it takes.
pub const HISTORY_BATCH: usize = 32 << 20;

/// The longest file that a run has left which is searched for secrets: an archive of an image is longer, and is looked
/// into as an image.
pub const RUN_FILE: u64 = 64 << 20;

/// How long one turn of a contender of `bench` may take, compiling included: a release build from nothing on two busy cores
/// takes minutes.
pub const BENCHED: Duration = Duration::from_secs(1800);

/// How long removing what a group of `bench` has made may take: a kind cluster goes in some 10 s, Postgres may write its
/// checkpoint for 30 s.
pub const BENCH_CLEARED: Duration = Duration::from_secs(90);

/// How long a service may take to answer while `bench` waits for its new version: milliseconds are usual, and what is going
/// down may never answer.
pub const BENCH_ANSWER: Duration = Duration::from_secs(1);

/// How long a service that ended may take to be started again before whoever asks for it is told that it does not run: the
/// engine's `restart` takes some hundred milliseconds for that, on two busy cores a second or two.
pub const RESTARTED: Duration = Duration::from_secs(5);

/// How long answers that `dev` gave in the place of a service are gathered before they are told in one line: a page that is
/// reloaded, or a load test, is one matter.
pub const GATHER_ANSWERS: Duration = Duration::from_secs(5);

/// How long the last requests of a container may take before it is stopped, while others wait for its place. What takes
/// longer (a stream of events) is cut off by that.
pub const PROXY_DRAIN: Duration = Duration::from_secs(10);

/// How long they may take when nobody waits: the container has a successor. Longer than any request that a person waits for;
/// and of versions saved one after the other only a few run on.
pub const PROXY_LEAVE: Duration = Duration::from_secs(30);

/// How long the last requests may take when `dev` ends: a person has asked for the end.
pub const PROXY_CLOSE: Duration = Duration::from_secs(2);

/// How long `status` waits for the last minute's figures: Prometheus answers from memory within milliseconds, and nobody who
/// asks whether the stack is well waits longer for a line that may be missing.
pub const LAST_MINUTE: Duration = Duration::from_secs(1);

/// How long Prometheus may take for one question of a report: some seconds for a week of data on a busy machine. It gives
/// up by itself after two minutes.
pub const REPORT_ANSWER: Duration = Duration::from_secs(30);

/// The longest answer of Prometheus that is read: a question of a report has some 200 points of some tens of series, well
/// below a megabyte.
pub const PROMETHEUS_ANSWER: usize = 32 << 20;

/// The shortest and the longest time that a report is about: rates are over a minute, and Prometheus answers with at most
/// 11,000 points, which are the minutes of a week, which is also as long as ours remembers (compose.yaml).
pub const REPORTED: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// How many starts of the stack a report shows: a person compares the last few.
pub const REPORTED_STARTS: usize = 12;

/// How much of a run's log is read for a report. Until the stack is up, a start that compiles everything writes some hundred
/// kilobytes; what a `dev` in the foreground writes later, for days, is not read.
pub const REPORTED_LOG: u64 = 8 << 20;
