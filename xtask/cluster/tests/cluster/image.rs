//! Images that only these stories have: other versions of the service, and impostors. They go when the stories end.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program;

/// Made once, removed at the end.
#[derive(Debug)]
pub(crate) struct Images {
    prefix: String,
    made: Vec<String>,
}

impl Images {
    /// None yet; their names begin with `prefix`.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), made: Vec::new() }
    }

    /// The same program in an image of another content.
    pub(crate) fn version(&mut self, of: &str, version: &str) -> String {
        self.build(version, &format!("FROM {of}\nLABEL version-of-a-test={version}\n"), Path::new("-"))
    }

    /// An image with a program that fails in this manner.
    pub(crate) fn impostor(&mut self, manner: &str, directory: &Path) -> String {
        let program = directory.join("impostor");
        if !program.is_file() {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/impostor.rs");
            let mut rustc = Command::new("rustc");
            // Named, because without a target the flag would not be for the program.
            rustc.args(["--edition", "2024", "-C", "target-feature=+crt-static", "--target"]);
            rustc.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
            program::output({
                rustc.arg("-o").arg(&program).arg(source);
                rustc
            });
        }
        let dockerfile = format!(
            "FROM scratch\nCOPY impostor /service\nENV MANNER={manner}\nUSER 1000:1000\nENTRYPOINT [\"/service\"]\n"
        );
        std::fs::write(directory.join("Dockerfile"), &dockerfile).expect("it can be written");
        self.build(manner, "", directory)
    }

    fn build(&mut self, tag: &str, dockerfile: &str, context: &Path) -> String {
        let reference = format!("{}:{tag}", self.prefix);
        let mut docker = Command::new("docker");
        docker.args(["build", "--quiet", "--tag", &reference]).arg(context);
        let child = docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("these stories need docker's command line");
        let mut stdin = child.stdin.take().expect("the stream was asked for as a pipe");
        stdin.write_all(dockerfile.as_bytes()).expect("docker reads it");
        drop(stdin);
        let ended = child.wait_with_output().expect("its end can be waited for");
        assert!(ended.status.success(), "{reference}: {}", String::from_utf8_lossy(&ended.stderr));
        self.made.push(reference.clone());
        reference
    }

    /// Removes them.
    pub(crate) fn remove(&mut self) {
        for reference in self.made.drain(..) {
            let _ = Command::new("docker").args(["image", "rm", &reference]).output();
        }
    }
}
