//! What this machine has and lacks. Facts are gathered in one place ([`Facts::gather`]) and judged by pure functions
//! ([`judge`]); what can be mended by us is mended by [`fix`], and only when asked.
//!
//! Must not: change anything outside of [`fix`], or print.

mod facts;
mod fix;
mod gather;
mod judge;
mod network;
mod platform;
pub mod ports;

pub use facts::{
    Clock, Compiler, Disk, DiskUse, EngineSeen, Facts, ImagesSeen, Inotify, Memory, PortSeen, PortState,
    Reach, Tool,
};
pub use fix::{Fixed, fix};
pub use gather::Surroundings;
pub use judge::judge;
pub use platform::{Distribution, Os, Platform};
pub use xtask_core::finding::{Check, Finding, Mend, Need, Remedy, Status, failure};

/// The names that Chromium and its like have on Linux, then where they are on macOS: the first that is there is used.
pub const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// Looks at this machine and judges it: the findings that matter for any of `needs`, in a fixed order.
pub async fn check(needs: &[Need], surroundings: Surroundings<'_>) -> (Vec<Finding>, Platform) {
    let facts = Facts::gather(surroundings).await;
    let findings = judge(&facts).into_iter().filter(|finding| finding.matters_for(needs)).collect();
    (findings, facts.platform)
}
