//! The rooms whose tests are promised to reach their code, and to notice when it changes.
//!
//! Must not: measure, or run a test.

/// A room: code that has tests of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What it is called.
    pub name: &'static str,
    /// The beginning of its files' paths, below the checkout's top: a folder's ends with `/`, a file's with `.rs`, and that of
    /// a file with the folder of the same name with neither.
    pub path: &'static str,
}

/// The application's.
pub const OF_SERVICE: [Room; 4] = [
    Room { name: "service", path: "service/src/" },
    Room { name: "config", path: "service/config/src/" },
    Room { name: "store", path: "service/store/src/" },
    Room { name: "telemetry", path: "service/telemetry/src/" },
];

/// A part of one that is worth changing alone: its endpoints.
pub const ROUTES: Room = Room { name: "routes", path: "service/src/routes/" };

/// The rooms of the task runner that decide without acting, and its screen. What acts on an engine or starts programs is
/// tested end to end, by programs that are not measured; so are the commands on Kubernetes, whose crate compiles for too
/// long to be built once more for this.
pub const OF_TASK_RUNNER: [Room; 28] = [
    Room { name: "schedule", path: "xtask/src/commands/ci/schedule.rs" },
    Room { name: "judge", path: "xtask/src/doctor/judge/" },
    Room { name: "ui", path: "xtask/screen/src/ui/" },
    Room { name: "bench", path: "xtask/core/src/bench/" },
    Room { name: "checks", path: "xtask/core/src/checks/" },
    Room { name: "dashboards", path: "xtask/core/src/dashboards/" },
    Room { name: "database", path: "xtask/core/src/database/" },
    Room { name: "event", path: "xtask/core/src/event" },
    Room { name: "execute", path: "xtask/core/src/execute" },
    Room { name: "failure", path: "xtask/core/src/failure.rs" },
    Room { name: "finding", path: "xtask/core/src/finding.rs" },
    Room { name: "health", path: "xtask/core/src/health.rs" },
    Room { name: "images", path: "xtask/core/src/images/" },
    Room { name: "kustomize", path: "xtask/core/src/kustomize/" },
    Room { name: "last_words", path: "xtask/core/src/last_words.rs" },
    Room { name: "object", path: "xtask/core/src/object.rs" },
    Room { name: "pace", path: "xtask/core/src/pace.rs" },
    Room { name: "plan", path: "xtask/core/src/plan/" },
    Room { name: "profile", path: "xtask/core/src/profile.rs" },
    Room { name: "quantity", path: "xtask/core/src/quantity.rs" },
    Room { name: "reference", path: "xtask/images/src/reference.rs" },
    Room { name: "report", path: "xtask/core/src/report/" },
    Room { name: "scan", path: "xtask/core/src/scan/" },
    Room { name: "series", path: "xtask/core/src/series.rs" },
    Room { name: "severity", path: "xtask/core/src/severity.rs" },
    Room { name: "since", path: "xtask/core/src/since.rs" },
    Room { name: "stack", path: "xtask/core/src/stack/" },
    Room { name: "testing", path: "xtask/core/src/testing/" },
];

/// Those of whose lines the tests are promised to reach most.
pub fn reached() -> impl Iterator<Item = Room> {
    OF_SERVICE.into_iter().chain(OF_TASK_RUNNER)
}

/// Those that are changed to see whether a test notices.
pub fn changed() -> impl Iterator<Item = Room> {
    reached().chain([ROUTES])
}

impl Room {
    /// Whether its tests need Postgres and Redis.
    pub fn is_of_service(&self) -> bool {
        self.path.starts_with("service/")
    }

    /// The package that it is in.
    pub fn package(&self) -> &'static str {
        match self.path {
            path if path.starts_with("xtask/core/") => "xtask-core",
            path if path.starts_with("xtask/images/") => "xtask-images",
            path if path.starts_with("xtask/screen/") => "xtask-screen",
            path if path.starts_with("xtask/") => "xtask",
            path if path.starts_with("service/config/") => "service-config",
            path if path.starts_with("service/store/") => "service-store",
            path if path.starts_with("service/telemetry/") => "service-telemetry",
            _ => "service",
        }
    }

    /// Its files, as a pattern.
    pub fn files(&self) -> String {
        match self.path {
            folder if folder.ends_with('/') => format!("{folder}**"),
            file if file.contains('.') => file.to_owned(),
            both => format!("{both}{{.rs,/**}}"),
        }
    }

    /// Its module's path in its crate, with which the names of its tests begin: `doctor::judge::`.
    pub fn module(&self) -> String {
        let below = self.path.split_once("src/").map_or(self.path, |(_, below)| below);
        let names = below.trim_end_matches('/').trim_end_matches(".rs").replace('/', "::");
        if names.is_empty() { names } else { names + "::" }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_room_that_decides_is_promised() {
        /// Without code of their own: the list of rooms, and constants.
        const BARE: [&str; 2] = ["lib", "limits"];
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let entries = std::fs::read_dir(&sources).expect("the rooms");
        let there: BTreeSet<String> = entries
            .map(|entry| entry.expect("a room").path())
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .filter(|name| !BARE.contains(&name.as_str()))
            .collect();
        let of_core = OF_TASK_RUNNER.iter().filter(|room| room.package() == "xtask-core");
        let promised: BTreeSet<String> =
            of_core.map(|room| room.module().trim_end_matches("::").to_owned()).collect();
        assert_eq!(promised, there);
    }

    #[test]
    fn every_room_is_where_it_is_said_to_be() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for room in reached().chain(changed()) {
            let is_both = !room.path.ends_with('/') && !room.path.contains('.');
            let there = root.join(room.path);
            assert!(there.exists() && (!is_both || there.with_extension("rs").exists()), "{room:?}");
        }
    }

    #[test]
    fn a_room_knows_its_package_files_and_tests() {
        let told = |name| {
            let room = changed().find(|room| room.name == name).expect("a room");
            assert_eq!(room.is_of_service(), room.package().starts_with("service"), "{name}");
            (room.package(), room.files(), room.module())
        };
        let table = [
            ("judge", "xtask", "xtask/src/doctor/judge/**", "doctor::judge::"),
            ("schedule", "xtask", "xtask/src/commands/ci/schedule.rs", "commands::ci::schedule::"),
            ("reference", "xtask-images", "xtask/images/src/reference.rs", "reference::"),
            ("ui", "xtask-screen", "xtask/screen/src/ui/**", "ui::"),
            ("health", "xtask-core", "xtask/core/src/health.rs", "health::"),
            ("plan", "xtask-core", "xtask/core/src/plan/**", "plan::"),
            ("event", "xtask-core", "xtask/core/src/event{.rs,/**}", "event::"),
            ("store", "service-store", "service/store/src/**", ""),
            ("config", "service-config", "service/config/src/**", ""),
            ("telemetry", "service-telemetry", "service/telemetry/src/**", ""),
            ("routes", "service", "service/src/routes/**", "routes::"),
        ];
        for (name, package, files, module) in table {
            assert_eq!(told(name), (package, files.to_owned(), module.to_owned()));
        }
    }
}
