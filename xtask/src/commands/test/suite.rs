//! The suites: what cargo is asked for in each, and how many tests run at once.
//!
//! Must not: run anything.

use std::num::NonZero;

use crate::cli::Suite;
use crate::limits;

impl Suite {
    /// What runs when no suite is named. Not the cluster's: it takes some ten minutes and both cores.
    pub(super) const USUAL: [Self; 3] = [Self::Unit, Self::Integration, Self::E2e];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Unit => "unit tests",
            Self::Integration => "integration tests of the service",
            Self::E2e => "end-to-end tests of the task runner",
            Self::Cluster => "tests of the commands on Kubernetes",
        }
    }

    pub(super) fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What cargo is asked for, one call after the other. A package at a time: asked for the whole workspace, cargo
    /// unites the packages' features and compiles what they share once more.
    pub(super) fn calls(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Unit => &[
                // The others have no features but those that the first asks of them.
                &[
                    "--package",
                    "xtask",
                    "--package",
                    "xtask-core",
                    "--package",
                    "xtask-engine",
                    "--package",
                    "xtask-host",
                    "--package",
                    "xtask-images",
                    "--package",
                    "xtask-proxy",
                    "--package",
                    "xtask-screen",
                    "--lib",
                    "--bins",
                ],
                // The same holds of the service's crates.
                &[
                    "--package",
                    "service",
                    "--package",
                    "service-config",
                    "--package",
                    "service-store",
                    "--package",
                    "service-telemetry",
                    "--lib",
                    "--bins",
                ],
                &["--package", "xtask-cluster", "--lib", "--bins", "--test", "kustomize_differential"],
            ],
            Self::Integration => &[&["--package", "service", "--test", "*"]],
            Self::E2e => &[&["--package", "xtask", "--test", "*"]],
            // Its stories share one cluster and follow one another; they are asked for by name only.
            Self::Cluster => &[&["--package", "xtask-cluster", "--test", "cluster"]],
        }
    }

    /// How many tests run at once.
    pub(super) fn threads(self) -> usize {
        match self {
            Self::Integration => limits::INTEGRATION_TESTS,
            Self::E2e => limits::END_TO_END_TESTS,
            Self::Cluster => 1,
            Self::Unit => std::thread::available_parallelism().map_or(1, NonZero::get),
        }
    }

    pub(super) fn needs_engine(self) -> bool {
        self != Self::Unit
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_program_of_tests_is_in_a_suite() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let suites = [Suite::Unit, Suite::Integration, Suite::E2e, Suite::Cluster];
        let asked: Vec<&[&str]> =
            suites.iter().flat_map(|suite| suite.calls()).map(|words| &words[..]).collect();
        let is_asked = |package: &str, test: &str| {
            asked.iter().any(|words| {
                words.windows(2).any(|pair| pair == ["--package", package])
                    && words.windows(2).any(|pair| pair == ["--test", "*"] || pair == ["--test", test])
            })
        };
        let packages =
            ["service", "service/config", "service/store", "service/telemetry", "xtask", "xtask/core"]
                .into_iter()
                .chain(["xtask/engine", "xtask/host", "xtask/images", "xtask/proxy", "xtask/screen"])
                .chain(["xtask/buildkit", "xtask/cluster"]);
        let mut found = 0;
        for package in packages {
            let manifest =
                std::fs::read_to_string(root.join(package).join("Cargo.toml")).expect("a manifest");
            let name = manifest.split('"').nth(1).expect("its name comes first");
            let Ok(entries) = std::fs::read_dir(root.join(package).join("tests")) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                let is_program = path.extension().is_some_and(|extension| extension == "rs")
                    || path.join("main.rs").is_file();
                if is_program {
                    let test = path.file_stem().expect("a name").to_string_lossy();
                    assert!(is_asked(name, &test), "{} is in no suite", path.display());
                    found += 1;
                }
            }
        }
        assert!(found > 5, "{found}");
    }
}
