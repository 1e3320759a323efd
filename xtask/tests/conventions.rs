//! What ARCHITECTURE.md promises of every file, held by reading them all. Each rule names what it is about, says where it
//! is broken, and is shown to notice when it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::failure::Code;

/// A file that git knows.
struct File {
    /// Below the checkout's top, with slashes.
    path: String,
    text: String,
}

impl File {
    /// Its lines with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// As [`File::lines`], without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// As [`File::code`], without the tests at its end.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
        self.code().take_while(move |(number, _)| tests.is_none_or(|tests| *number <= tests))
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether it is only compiled for tests.
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "samples.rs"))
    }

    fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| self.path.starts_with(room))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace").to_owned()
}

/// Every text file that git knows or would take.
fn files() -> Vec<File> {
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("these tests need git: they read the files that it knows");
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let paths = String::from_utf8(list.stdout).expect("our paths are UTF-8");
    let files: Vec<File> = paths
        .split('\0')
        .filter(|path| !path.is_empty())
        // A file that was removed and not committed yet is none; nor is a picture.
        .filter_map(|path| {
            Some(File { path: path.to_owned(), text: std::fs::read_to_string(root().join(path)).ok()? })
        })
        .collect();
    assert!(files.iter().any(|file| file.path == "xtask/tests/conventions.rs"), "git lists this file");
    files
}

/// Where lines break a rule, as `path:line: text`.
fn breaches<'a>(
    files: impl Iterator<Item = &'a File>,
    lines: impl Fn(&'a File) -> Vec<(usize, &'a str)>,
    words: &[&str],
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in lines(file) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

/// Holds a rule, and that it would notice: `witness` is a line that must not be where the rule looks.
#[track_caller]
fn hold(rule: &str, files: &[&File], words: &[&str], witness: &str) {
    assert!(!files.is_empty(), "{rule}: there is nothing it looks at");
    let intruder = File { path: "intruder.rs".to_owned(), text: format!("//! Intrudes.\n{witness}\n") };
    let noticed = breaches(std::iter::once(&intruder), |file| file.shipped().collect(), words);
    assert_eq!(noticed.len(), 1, "{rule}: it would not notice {witness:?}");
    let broken = breaches(files.iter().copied(), |file| file.shipped().collect(), words);
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

fn shipped_rust<'a>(files: &'a [File], within: &[&str], without: &[&str]) -> Vec<&'a File> {
    let rust = files.iter().filter(|file| file.is_rust() && !file.is_test());
    rust.filter(|file| file.is_in(within) && !file.is_in(without)).collect()
}

/// The everyday program's own files: its rooms, and the crates that are rooms to it.
const TASK_RUNNER: &[&str] = &[
    "xtask/src/",
    "xtask/core/src/",
    "xtask/engine/src/",
    "xtask/host/src/",
    "xtask/images/src/",
    "xtask/proxy/src/",
    "xtask/screen/src/",
];

/// What a package depends on, tests apart: what it does not depend on it cannot name.
fn dependencies(package: &str) -> Vec<String> {
    let path = root().join(package).join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).expect("there is one");
    let (_, lines) = manifest.split_once("[dependencies]\n").expect("it depends on something");
    let lines = lines.split("[dev-dependencies]").next().unwrap_or_default().lines();
    let names = lines.filter(|line| !line.starts_with(['#', '[']));
    names.filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.to_owned())).collect()
}

/// Holds that a package does not depend on others whose names begin with these words, and that it would be noticed: `seen`
/// is one that it does depend on.
#[track_caller]
fn hold_apart(package: &str, seen: &str, words: &[&str]) {
    let names = dependencies(package);
    assert!(names.iter().any(|name| name == seen), "{package} depends on {seen}: {names:?}");
    let unwanted = names.iter().find(|name| words.iter().any(|word| name.starts_with(word)));
    assert_eq!(unwanted, None, "{package} is to do without");
}

#[test]
fn only_the_engine_room_names_bollard() {
    let files = files();
    let others = shipped_rust(&files, TASK_RUNNER, &["xtask/engine/src/"]);
    hold("only engine/ names bollard", &others, &["bollard"], "use bollard::Docker;");
}

#[test]
fn the_proxy_knows_nothing_of_stacks_and_engines() {
    hold_apart("xtask/proxy", "hyper", &["xtask", "bollard"]);
}

#[test]
fn the_screen_and_the_host_ask_no_engine() {
    for package in ["xtask/screen", "xtask/host"] {
        hold_apart(package, "xtask-core", &["xtask-engine", "xtask-images", "bollard"]);
    }
}

/// The lines of a member's manifest that choose a version of something by themselves.
fn chosen_versions(manifest: &str) -> Vec<&str> {
    let sections = manifest
        .split("\n[")
        .filter(|section| section.split(']').next().is_some_and(|name| name.ends_with("dependencies")));
    let lines = sections.flat_map(|section| section.lines().skip(1));
    lines
        .filter(|line| line.contains("= \"") && !line.contains("path = ") && !line.starts_with('#'))
        .collect()
}

#[test]
fn every_dependency_is_named_once() {
    assert_eq!(
        chosen_versions("[package]\nversion = \"1\"\n[dependencies]\na.workspace = true\nb = \"1\"\n"),
        ["b = \"1\""]
    );
    let ours: Vec<File> = files()
        .into_iter()
        .filter(|file| file.path.ends_with("/Cargo.toml") && !file.is_in(&["xtask/bare/"]))
        .collect();
    assert!(ours.len() > 10, "the members' manifests");
    for file in ours {
        assert_eq!(chosen_versions(&file.text), [""; 0], "{}: it says `workspace = true`", file.path);
    }
}

#[test]
fn only_one_room_spawns_processes() {
    let files = files();
    let others = shipped_rust(&files, TASK_RUNNER, &["xtask/host/src/process.rs", "xtask/host/src/process/"]);
    let words = ["Command::new", "process::Command"];
    hold("only process spawns", &others, &words, "let child = std::process::Command::new(\"x\");");
}

#[test]
fn only_the_screen_prints() {
    let files = files();
    let others = shipped_rust(&files, TASK_RUNNER, &["xtask/screen/src/ui/", "xtask/screen/src/tty/"]);
    let words = ["print!(", "println!(", "stdout()", "stderr()"];
    hold("only ui/ prints", &others, &words, "eprintln!(\"x\");");
    hold("only ui/ prints", &others, &words, "let out = std::io::stdout();");
    // Which changes the device's modes, and has to name it.
    let device = shipped_rust(&files, &["xtask/screen/src/tty/"], &[]);
    let words = ["print!(", "println!(", "io::write", "std::io", "Write"];
    hold("tty/ draws nothing", &device, &words, "rustix::io::write(terminal, b\"x\");");
}

#[test]
fn parsing_and_planning_do_no_input_or_output_and_read_no_clock() {
    let files = files();
    let pure = shipped_rust(
        &files,
        &["xtask/core/src/"],
        // A plan is carried out in time, and what happens goes through a channel.
        &["xtask/core/src/execute.rs", "xtask/core/src/event/channel.rs"],
    );
    let words = [
        "std::fs",
        "std::env",
        "std::io",
        "std::process",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "tokio::",
        "SystemTime::now",
        "Instant::now",
        "read_to_string",
        ".canonicalize(",
        ".exists(",
        ".is_file(",
        ".is_dir(",
    ];
    for witness in ["let text = std::fs::read(path);", "let now = SystemTime::now();", "if path.exists() {"] {
        hold("parsing and planning are pure", &pure, &words, witness);
    }
}

#[test]
fn the_service_keeps_storage_and_http_apart() {
    let files = files();
    let store = shipped_rust(&files, &["service/store/src/"], &[]);
    hold("the store never names Rocket", &store, &["rocket", "Rocket"], "use rocket::State;");
    let routes = shipped_rust(&files, &["service/src/routes/"], &[]);
    let words = ["diesel", "r2d2", "redis::", "use redis"];
    hold("routes never name diesel or redis", &routes, &words, "use diesel::prelude::*;");
    hold_apart("service/store", "diesel", &["rocket"]);
    hold_apart("service/telemetry", "prometheus", &["rocket"]);
    hold_apart("service", "rocket", &["diesel", "redis"]);
}

/// The shell lines of a workflow's steps: what follows `run:`, a block included.
fn run_lines(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut block: Option<usize> = None;
    for line in text.lines() {
        let indentation = line.len() - line.trim_start().len();
        if let Some(start) = block {
            if line.trim().is_empty() {
                continue;
            }
            if indentation > start {
                found.push(line.trim());
                continue;
            }
            block = None;
        }
        let step = line.trim_start().trim_start_matches("- ");
        if let Some(command) = step.strip_prefix("run:") {
            match command.trim() {
                "|" | ">" | "|-" | ">-" => block = Some(indentation),
                command => found.push(command),
            }
        }
    }
    found
}

#[test]
fn workflows_run_cargo_xtask_and_nothing_else() {
    let sample = "steps:\n  - run: cargo xtask lint\n  - name: x\n    run: |\n      echo hello\n\n      cargo xtask ci\n  - uses: y\n";
    assert_eq!(run_lines(sample), ["cargo xtask lint", "echo hello", "cargo xtask ci"]);

    let files = files();
    let workflows: Vec<&File> = files.iter().filter(|file| file.is_in(&[".github/workflows/"])).collect();
    assert!(!workflows.is_empty(), "there are workflows");
    for file in workflows {
        let lines = run_lines(&file.text);
        assert!(!lines.is_empty(), "{} runs something", file.path);
        for line in lines {
            assert!(line.starts_with("cargo xtask "), "{} runs {line:?}", file.path);
            assert!(
                !line.contains(['&', ';', '`', '>']) && !line.contains(" | "),
                "{} runs {line:?}",
                file.path
            );
        }
        // What else could bring in a program: an action, a shell, a container, a variable.
        let faults: Vec<String> =
            xtask::checks::workflow(&file.text).iter().map(|fault| fault.of(&file.path)).collect();
        assert_eq!(faults, Vec::<String>::new());
    }
}

#[test]
fn nothing_is_silenced_ignored_or_left_to_do() {
    let files = files();
    let rust: Vec<&File> = files.iter().filter(|file| file.is_rust()).collect();
    // Put together here, because this file is looked at too.
    let words: Vec<String> = [
        ("[all", "ow("),
        ("[ign", "ore"),
        ("to", "do!("),
        ("unimple", "mented!("),
        ("TO", "DO"),
        ("FIX", "ME"),
        ("dbg", "!("),
    ]
    .map(|(start, end)| format!("{start}{end}"))
    .into();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let broken = breaches(rust.into_iter(), |file| file.lines().collect(), &words);
    assert!(broken.is_empty(), "silenced, ignored or left to do:\n{}", broken.join("\n"));
}

#[test]
fn every_file_of_code_says_first_what_it_owns() {
    let files = files();
    let silent: Vec<&str> = files
        .iter()
        .filter(|file| file.is_rust() && !file.text.starts_with("//! "))
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(silent, Vec::<&str>::new(), "these do not begin with `//! `");
}

#[test]
fn every_failure_code_is_in_the_documents() {
    let files = files();
    let documents: String = files
        .iter()
        .filter(|file| Path::new(&file.path).extension().is_some_and(|end| end == "md"))
        .map(|file| file.text.as_str())
        .collect();
    let unlisted: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !documents.contains(&format!("`{code}`")))
        .collect();
    assert_eq!(unlisted, Vec::<&str>::new(), "these codes are in no document");
}

/// A program that embeds migrations is older than one that is added, and nothing else tells cargo, or `dev`, of it.
#[test]
fn a_new_migration_makes_the_service_anew() {
    let script = std::fs::read_to_string(root().join("service/store/build.rs")).expect("there is one");
    assert!(script.contains("cargo:rerun-if-changed=../migrations"), "{script}");
    let schema = std::fs::read_to_string(root().join("service/store/src/schema.rs")).expect("there is one");
    assert!(schema.contains("embed_migrations!(\"../migrations\")"), "the same directory");
}

#[test]
fn every_command_is_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is one");
    let table: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `cargo xtask ")).collect();
    let program = <xtask::cli::Cli as clap::CommandFactory>::command();
    let is_told = |name: &str| {
        let forms = [format!("`cargo xtask {name}`"), format!("`cargo xtask {name} "), format!("`{name}`")];
        table.iter().any(|line| forms.iter().any(|form| line.contains(form.as_str())))
    };
    let untold: Vec<&str> =
        program.get_subcommands().map(clap::Command::get_name).filter(|name| !is_told(name)).collect();
    assert_eq!(untold, Vec::<&str>::new(), "these commands are not in the README's table");
}

#[test]
fn no_file_names_a_place_of_the_machine_it_was_written_on() {
    /// Who lives in examples: nobody in particular.
    const NOBODY: [&str; 3] = ["me", "somebody", "user"];
    let here = root().display().to_string();
    let files = files();
    let mut found = Vec::new();
    for file in &files {
        for (number, line) in file.lines() {
            let home = ["/home/", "/Users/"].iter().any(|homes| {
                line.match_indices(homes).any(|(at, _)| {
                    let owner =
                        line[at + homes.len()..].split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
                    let begins = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '/');
                    begins && !owner.is_empty() && !NOBODY.contains(&owner)
                })
            });
            if home || line.contains(&here) {
                found.push(format!("{}:{}: {}", file.path, number, line.trim()));
            }
        }
    }
    // The words themselves stand in this file, with nobody's name behind.
    assert_eq!(found, Vec::<String>::new());
}

/// The parts of a version, `1.89` as well as `1.89.0`.
fn version(text: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().expect("a number")).collect();
    parts.resize(3, 0);
    parts
}

#[test]
fn no_dependency_wants_a_newer_rust_than_the_workspace_promises() {
    // Of one platform: those of the others need not have been downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let own = packages.iter().find(|package| package["name"] == "xtask").expect("this package");
    let promised = version(own["rust_version"].as_str().expect("rust-version is stated"));
    let newer: Vec<String> = packages
        .iter()
        .filter(|package| package["rust_version"].as_str().is_some_and(|wanted| version(wanted) > promised))
        .map(|package| {
            format!("{} {} wants {}", package["name"], package["version"], package["rust_version"])
        })
        .collect();
    assert_eq!(newer, Vec::<String>::new());
}
