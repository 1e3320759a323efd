//! A real browser without a screen: what it makes of a page, and what it complains about.
//!
//! Must not: know what is on the page.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use xtask::doctor::BROWSERS;

use crate::checkout::until;

/// What is measured of a page, from a page around it: the same origin, so that its content may be looked into.
const MEASURING: &str = include_str!("browser/measuring.html");

/// Chromium, or Chrome.
#[derive(Debug)]
pub(crate) struct Browser {
    program: &'static str,
    directory: tempfile::TempDir,
}

/// What a person's system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// Kills the browser when the test gives up on it.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// The one that is installed; `None` where tests may be left out: on a laptop. In the pipeline it must be there.
    pub(crate) fn find() -> Option<Self> {
        let runs = |name: &&str| {
            let mut command = Command::new(name);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let Some(program) = BROWSERS.into_iter().find(runs) else {
            let missing = "neither Chromium nor Chrome is installed: `cargo xtask doctor --for test --fix`";
            xtask::pipeline::leave_out(missing);
            return None;
        };
        let directory =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo's directory for tests");
        Some(Self { program, directory })
    }

    /// Opens a page from the disk and lets it settle; returns what `--dump-dom` prints, and what the page made the browser
    /// complain about on its console.
    pub(crate) fn open(&self, page: &Path, arguments: &[&str]) -> (String, Vec<String>) {
        let (out, err) = (self.directory.path().join("out"), self.directory.path().join("err"));
        let write = |path: &Path| File::create(path).expect("it is ours");
        let mut command = Command::new(self.program);
        command
            .args(["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            // What a page says on its console goes to standard error.
            .args([
                "--enable-logging=stderr",
                "--allow-file-access-from-files",
                "--virtual-time-budget=10000",
            ])
            .arg(format!("--user-data-dir={}", self.directory.path().join("profile").display()))
            .args(arguments)
            .arg("--dump-dom")
            .arg(format!("file://{}", page.display()))
            .stdin(Stdio::null())
            .stdout(write(&out))
            .stderr(write(&err));
        // It refuses to run as root with a sandbox; the page is our own.
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let mut run = Run(command.spawn().expect("it was found"));
        let status = until("the browser ends", || run.0.try_wait().expect("it is ours"));
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("it is ours")).into_owned();
        assert!(status.success(), "{status}:\n{}", read(&err));
        // `[pid:tid:time:INFO:CONSOLE:line] "…", source: file://… (0)`
        let complaints =
            read(&err).lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        (read(&out), complaints)
    }

    /// Measures a page at several widths, in pixels.
    pub(crate) fn measure(&self, page: &Path, widths: &[u32], scheme: Scheme) -> Value {
        let around = page.with_extension("measuring.html");
        let name = page.file_name().expect("a file").to_string_lossy();
        let text = MEASURING.replace("PAGE", &Value::from(&*name).to_string());
        fs::write(&around, text.replace("WIDTHS", &format!("{widths:?}"))).expect("beside a file of ours");
        let scheme = match scheme {
            Scheme::Dark => "--blink-settings=preferredColorScheme=0",
            Scheme::Light => "--blink-settings=preferredColorScheme=1",
        };
        let (document, complaints) = self.open(&around, &[scheme]);
        assert_eq!(complaints, Vec::<String>::new());
        let measured =
            document.split_once("<pre id=\"measured\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let (measured, _) = measured.unwrap_or_else(|| panic!("nothing was measured:\n{document}"));
        serde_json::from_str(&measured.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
            .unwrap_or_else(|error| panic!("not JSON ({error}): {measured}"))
    }
}
