//! `cargo xtask mutants`: whether a test would notice a change. cargo-mutants changes a room's code, one place at a
//! time, in a copy of the checkout, and runs the tests that are the room's own.

use std::path::Path;

use super::Context;
use super::test::{Surroundings, Whose, sweep};
use super::tools::{self, Tool};
use crate::checklist::Checklist;
use crate::cli;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::testing::mutants::{Tally, is_shard};
use crate::testing::rooms::{self, Room};

const CARGO_MUTANTS: Tool =
    Tool { name: "cargo-mutants", command: &["cargo", "install", "--locked", "cargo-mutants"] };

/// With what cargo-mutants ends, beside 0, when it has come to its end: a change was not noticed, or noticed only by the
/// bound of a test (its book, "Exit codes").
const FINISHED: [i32; 2] = [2, 3];

/// The packages whose tests are to notice: those of the service's crates are the whole application's.
fn test_packages(room: Room) -> String {
    match room.package() {
        package if package.starts_with("service-") => format!("{package},service"),
        package => package.to_owned(),
    }
}

/// Where the tests are that are to notice. Without these words every mutant would compile all that its package has:
/// programs, and every suite that links with them.
fn targets(room: Room) -> &'static [&'static str] {
    if room.is_of_service() { &["--lib", "--test", "integration"] } else { &["--lib"] }
}

/// Which of them: the room's own where each has a module of tests, all of them where it is requests that are tried.
fn tests(room: Room) -> Option<String> {
    (!room.is_of_service()).then(|| room.module())
}

/// Runs `mutants`.
///
/// # Errors
/// [`Code::TestsFailed`] when no test noticed some of the changes; what is missing otherwise.
pub async fn run(context: &Context, arguments: &cli::Mutants) -> Result<(), Failure> {
    if let Some(shard) = arguments.shard.as_deref().filter(|shard| !is_shard(shard)) {
        let message = format!("{shard:?} is no shard, expected K/N, K from 0 to below N");
        return Err(Failure::new(Code::Usage, message));
    }
    let is_asked =
        |room: &Room| arguments.rooms.is_empty() || arguments.rooms.iter().any(|name| name == room.name);
    let rooms: Vec<Room> = rooms::changed().filter(is_asked).collect();
    prepare(context, arguments.fix).await?;
    let mut surroundings = Surroundings::default();
    let engine = if rooms.iter().any(Room::is_of_service) {
        context.make_secrets()?;
        let session = context.session(false).await?;
        surroundings = Surroundings::of(&session.stack)?;
        super::image::obtain_missing(&session).await?;
        Some(session.engine)
    } else {
        None
    };
    let titles = rooms.iter().map(|room| format!("mutants of {}", room.name)).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let missed = try_rooms(context, &rooms, arguments.shard.as_deref(), &surroundings, &mut checklist).await;
    if let Some(engine) = &engine {
        sweep(context, engine, Whose::Ours).await?;
    }
    let missed = missed?;
    if missed.is_empty() {
        return Ok(());
    }
    let message = format!("no test noticed {} of the changes", missed.len());
    Err(Failure::new(Code::TestsFailed, message)
        .details(missed)
        .hint("write the test that would, or see that the change is none"))
}

/// What no test noticed.
async fn try_rooms(
    context: &Context,
    rooms: &[Room],
    shard: Option<&str>,
    surroundings: &Surroundings,
    checklist: &mut Checklist,
) -> Result<Vec<String>, Failure> {
    let mut missed = Vec::new();
    for &room in rooms {
        let tally = checklist
            .step(async |_| {
                let tally = try_room(context, room, shard, surroundings).await?;
                let told = tally.to_string();
                Ok((tally, Some(told)))
            })
            .await?;
        missed.extend(tally.missed);
    }
    Ok(missed)
}

async fn prepare(context: &Context, fix: bool) -> Result<(), Failure> {
    let version = Program::new("cargo", limits::CHECK)
        .args(["mutants", "--version"])
        .directory(context.project.root())
        .output()
        .await;
    let missing: &[Tool] = if version.is_ok() { &[] } else { &[CARGO_MUTANTS] };
    tools::need(context, "changing code", "`cargo xtask mutants --fix`", missing, fix).await
}

async fn try_room(
    context: &Context,
    room: Room,
    shard: Option<&str>,
    surroundings: &Surroundings,
) -> Result<Tally, Failure> {
    let mutants = context.project.scratch().join("mutants");
    let directory = mutants.join(room.name);
    // What an earlier run found would be taken for this one's.
    super::forget(&directory, |path| std::fs::remove_dir_all(path))?;
    // cargo-mutants copies the checkout to where temporary files go. When it is killed the copy stays; here, until the next
    // run of this room.
    let copies = directory.join("copies");
    std::fs::create_dir_all(&copies).map_err(|error| {
        Failure::new(Code::ProjectInvalid, format!("cannot make {}: {error}", copies.display()))
    })?;
    let mut program = Program::new("cargo", limits::MUTANTS)
        .args([
            "mutants",
            "--package",
            room.package(),
            "--test-package",
            &test_packages(room),
            "--file",
            &room.files(),
            "--output",
        ])
        .arg(&directory)
        .args(targets(room).iter().map(|word| format!("--cargo-arg={word}")));
    if let Some(shard) = shard {
        // By turns, so that a part is a sample of all files.
        program = program.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    let program = program.arg("--").args(tests(room)).directory(context.project.root()).outside_cargo();
    let ended = surroundings
        .tell(program)
        // Dependencies are compiled once for all rooms and runs, and nobody's own `cargo` waits for this one.
        .env("CARGO_TARGET_DIR", mutants.join("compiled"))
        // What failed is read, not where.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("TMPDIR", &copies)
        .run(|_, line| {
            let (source, line) = ("mutants".to_owned(), line.to_owned());
            context.events.send(Event::Output { step: None, source, line });
        })
        .await;
    let tally = read(&directory.join("mutants.out"));
    match ended {
        Ok(()) if tally.tried() > 0 => Ok(tally),
        Err(ProcessError::Failed { status, .. })
            if status.code().is_some_and(|code| FINISHED.contains(&code)) && tally.tried() > 0 =>
        {
            Ok(tally)
        }
        Ok(()) => Err(Failure::new(Code::TestsFailed, format!("nothing was changed in {}", room.name))
            .hint("a smaller part of all (`--shard`) may have no mutant of this room")),
        Err(error) => Err(Failure::new(Code::ChecksFailed, format!("mutants of {}: {error}", room.name))),
    }
}

fn read(directory: &Path) -> Tally {
    let lines = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    Tally::of(&lines("caught.txt"), &lines("timeout.txt"), &lines("unviable.txt"), &lines("missed.txt"))
}
