//! Where images can come from (mirror, registry, mmdebstrap), and whether the clock allows it.

use std::time::{Duration, SystemTime};

use super::super::facts::{Facts, ImagesSeen, Reach, Tool};
use super::super::{Check, Finding, Mend, Need, Status};
use super::ok;
use crate::quantity;

/// What needs images.
const NEEDED: &[Need] = Need::BY_DEFAULT;
/// How far the clock may be off. Tokens and signatures are commonly refused beyond five minutes (RFC 4120, 1.3).
const SKEW: Duration = Duration::from_secs(300);
/// A clock before 2025 was never set: Homeport's own dependencies are younger.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);

/// The two ways to images that are not in the engine. Either is enough; with neither, only what is absent counts.
pub(super) fn reach(facts: &Facts) -> Vec<Finding> {
    let mirror_answers = matches!(facts.mirror, Reach::Answers { .. });
    let registry_answers = matches!(facts.registry, Reach::Answers { .. });
    let absent = match &facts.images {
        ImagesSeen::Unknown => "the images of the stack".to_owned(),
        ImagesSeen::Known { absent, .. } => absent.join(", "),
    };
    let neither = !mirror_answers && !registry_answers && !absent.is_empty();
    let bundle =
        "set HOMEPORT_IMAGE_DIR to a directory with images that `cargo xtask image save` made elsewhere";
    let judge = |check, reach: &Reach, consequence: &str| {
        let finding = match reach {
            Reach::NotAsked => return None,
            Reach::Answers { address } => return Some(ok(check, format!("{address} answers"), NEEDED)),
            Reach::Silent { address, seen } => {
                ok(check, format!("{address} does not answer: {seen}"), NEEDED)
            }
        };
        Some(if neither {
            let meaning = format!("no source has {absent}");
            finding.but(Status::Missing, meaning).mended_by(vec![bundle.to_owned()], None)
        } else {
            finding.but(Status::Warning, consequence)
        })
    };
    let packages = judge(Check::Packages, &facts.mirror, "images cannot be made from recipes");
    let registry = judge(
        Check::Registry,
        &facts.registry,
        "images come from the engine, a bundle or a recipe; Grafana, which has no recipe, may be left out",
    );
    packages.into_iter().chain(registry).collect()
}

/// mmdebstrap makes the recipes' base where no registry has it.
pub(super) fn mmdebstrap(facts: &Facts) -> Finding {
    // Debian's keyring is needed on Ubuntu, where it does not come with the system.
    const PACKAGES: [&str; 2] = ["mmdebstrap", "debian-archive-keyring"];
    let (present, seen) = match &facts.mmdebstrap {
        Tool::Version(version) => (true, version.clone()),
        Tool::Missing => (false, "not installed".to_owned()),
        Tool::Broken(said) => (false, format!("does not run: {said}")),
    };
    let finding = ok(Check::Mmdebstrap, seen, NEEDED);
    if present {
        return finding;
    }
    let needed = match &facts.images {
        // An engine that does not answer will have no images when it does.
        ImagesSeen::Unknown => matches!(facts.registry, Reach::Silent { .. }),
        ImagesSeen::Known { bootstrap, .. } => *bootstrap,
    };
    if !needed {
        let mut finding = finding;
        finding.meaning = Some("not needed: images or the recipes' base come from elsewhere".to_owned());
        return finding;
    }
    let mend = facts.platform.can_mend().then(|| Mend::Install { packages: PACKAGES.to_vec() });
    finding
        .but(Status::Missing, "no registry answers, so the base of the recipes must be made here")
        .mended_by(facts.platform.install(&PACKAGES, None), mend)
}

pub(super) fn clock(facts: &Facts) -> Finding {
    let now = facts.clock.now;
    let seen = humantime::format_rfc3339_seconds(now).to_string();
    let set = "timedatectl set-ntp true    # or: date --utc --set …";
    let commands = vec![facts.platform.as_administrator(set)];
    if now < SystemTime::UNIX_EPOCH + EARLIEST {
        return ok(Check::Clock, seen, NEEDED)
            .but(Status::Missing, "it was never set: certificates and packages are refused as not yet valid")
            .mended_by(commands, None);
    }
    let skew = |other: SystemTime| {
        other.duration_since(now).or_else(|_| now.duration_since(other)).unwrap_or_default()
    };
    let worst = facts.clock.others.iter().map(|(who, time)| (skew(*time), who)).max();
    match worst {
        Some((skew, who)) if skew > SKEW => {
            ok(Check::Clock, format!("{seen}, {} away from {who}", quantity::duration(skew)), NEEDED)
                .but(Status::Warning, "certificates, tokens and packages may be refused")
                .mended_by(commands, None)
        }
        Some((_, who)) => ok(Check::Clock, format!("{seen}, as {who} has it"), NEEDED),
        None => ok(Check::Clock, seen, NEEDED),
    }
}
