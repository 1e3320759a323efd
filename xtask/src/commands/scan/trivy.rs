//! Trivy, from its own image, on an image: the archive that the engine writes goes in, a report comes out, and `scan/trivy`
//! judges it. In the release image it can see no package, a static program on nothing; so it is given the bill of materials
//! as well. Its image comes from where all images come from; its database it fetches itself, unless `--offline`.
//!
//! Must not: give it the engine's socket. Whoever has that has the machine.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::{Verdict, image, verdict};
use crate::commands::Context;
use crate::engine::{Freedom, OneShot, OneShotEnd};
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::images::{Availability, Needed, Source, obtain, survey};
use crate::limits;
use crate::scan::trivy::{IGNORED, Judged, judge};
use crate::session::Session;
use crate::stack::ImageReference;

/// The image, by default; [`IMAGE_VARIABLE`] names another, as a mirror's.
const IMAGE: &str = "docker.io/aquasec/trivy:0.66.0";
const IMAGE_VARIABLE: &str = "HOMEPORT_TRIVY_IMAGE";

/// Trivy's own variable for where its database is kept ("Cache"); a site without network fills that directory elsewhere.
const CACHE_VARIABLE: &str = "TRIVY_CACHE_DIR";

/// What it is given, in the directory that it works in, and what it writes there.
const IMAGE_ARCHIVE: &str = "image.tar";
const BILL: &str = "bill.cdx.json";
const REPORT: &str = "report.json";

/// Where the directory that it works in is seen.
const INSIDE: &str = "/trivy";
const CACHE: &str = "/cache";

/// How many of its last lines say why it failed.
const LAST: usize = 3;

pub(super) async fn check(
    context: &Context,
    chosen: Option<&str>,
    offline: bool,
    reporter: &StepReporter,
) -> Result<Verdict, Failure> {
    let (session, _) = context.session_as_found(offline).await?;
    let reference = image::reference(&session, chosen)?;
    if session.engine.image(&reference).await?.is_none() {
        return Ok(image::not_there(&reference));
    }
    let named = std::env::var(IMAGE_VARIABLE).ok().filter(|name| !name.is_empty());
    let trivy = ImageReference::new(named.as_deref().unwrap_or(IMAGE));
    if let Err(reasons) = have(&session, &trivy, reporter).await? {
        return Ok(Verdict::NotRun(format!("{trivy} cannot be had ({})", reasons.join("; "))));
    }
    let directory = context.project.scratch().join("trivy");
    let unwritable = |error: std::io::Error| {
        Failure::new(Code::ProjectInvalid, format!("cannot write below {}: {error}", directory.display()))
    };
    let cache = cache(&directory);
    std::fs::create_dir_all(&cache).map_err(unwritable)?;
    let place = Place { session: &session, trivy, directory: &directory, cache: &cache, offline };
    write_archive(&session, &reference, &directory.join(IMAGE_ARCHIVE)).await?;
    let of_image = place.report(&["image", "--scanners", "vuln,secret", "--input"], IMAGE_ARCHIVE).await;
    // An archive of some megabytes that nobody reads again.
    let _ = std::fs::remove_file(directory.join(IMAGE_ARCHIVE));
    let mut reports = vec![of_image?];
    if chosen.is_none() {
        image::bill_of_materials(context).await?;
        std::fs::copy(image::bill_file(context)?, directory.join(BILL)).map_err(unwritable)?;
        reports.push(place.report(&["sbom"], BILL).await?);
    }
    let reports: Vec<String> = match reports.into_iter().collect() {
        Ok(reports) => reports,
        Err(why) => return Ok(Verdict::NotRun(why)),
    };
    let ignored = std::fs::read_to_string(context.project.root().join(IGNORED)).unwrap_or_default();
    let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let judged =
        judge(&reports, &ignored, &today[..10]).map_err(|error| Failure::new(Code::MachineUnready, error))?;
    if judged.packages == 0 && judged.found.is_empty() {
        return Ok(Verdict::NotRun(format!("Trivy saw no package in {reference}, so it judged nothing")));
    }
    let Judged { packages, lesser, ignored, found } = judged;
    Ok(verdict(
        &found,
        format!("{reference}, {packages} packages; {lesser} of lesser severity, {ignored} ignored"),
    ))
}

/// Where Trivy keeps its database.
fn cache(directory: &Path) -> PathBuf {
    let named = std::env::var_os(CACHE_VARIABLE).filter(|path| !path.is_empty());
    named.map_or_else(|| directory.join("cache"), PathBuf::from)
}

/// Gets Trivy's image where it is missing; else why no source has it.
async fn have(
    session: &Session,
    trivy: &ImageReference,
    reporter: &StepReporter,
) -> Result<Result<(), Vec<String>>, Failure> {
    let needed = [Needed { reference: trivy.clone(), recipe: Some("trivy".to_owned()), built_here: false }];
    let catalogue = survey(&session.engine, &needed, &session.sources).await?;
    let source = match catalogue.get(trivy) {
        Some(Availability::Present { .. }) => return Ok(Ok(())),
        Some(Availability::Obtainable(source)) => source,
        Some(Availability::Unavailable(reasons)) => return Ok(Err(reasons.clone())),
        None => return Ok(Err(vec!["it was not looked for".to_owned()])),
    };
    if let Source::Recipe { base, .. } = source
        && let Some(Availability::Obtainable(below)) = catalogue.get(base)
    {
        obtain(&session.engine, base, below, reporter).await?;
    }
    obtain(&session.engine, trivy, source, reporter).await?;
    Ok(Ok(()))
}

async fn write_archive(session: &Session, reference: &str, path: &Path) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| {
        Failure::new(Code::ProjectInvalid, format!("cannot write {}: {error}", path.display()))
    };
    let mut file = tokio::fs::File::create(path).await.map_err(unwritable)?;
    let mut archive = std::pin::pin!(session.engine.save_images(&[reference]));
    while let Some(chunk) = archive.next().await {
        file.write_all(&chunk?).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)
}

/// What Trivy is, and where it works.
struct Place<'a> {
    session: &'a Session,
    trivy: ImageReference,
    directory: &'a Path,
    cache: &'a Path,
    offline: bool,
}

impl Place<'_> {
    /// Its report of a file; inside, why there is none. That something was found is no failure of Trivy's here
    /// (`--exit-code 0`): the report says what, and is judged.
    async fn report(&self, verb: &[&str], file: &str) -> Result<Result<String, String>, Failure> {
        let path = self.directory.join(REPORT);
        // That of an earlier run must not be taken for this one's.
        super::super::forget(&path, |path| std::fs::remove_file(path))?;
        let ended = self.run(verb, file).await?;
        if let (Ok(report), 0) = (std::fs::read_to_string(&path), ended.status) {
            return Ok(Ok(report));
        }
        let last = ended.lines.len().saturating_sub(LAST);
        let said = ended.lines[last..].join("; ");
        Ok(Err(format!("Trivy ended with status {} and no report: {said}", ended.status)))
    }

    async fn run(&self, verb: &[&str], file: &str) -> Result<OneShotEnd, Failure> {
        let (input, output) = (format!("{INSIDE}/{file}"), format!("{INSIDE}/{REPORT}"));
        let mut command = [&["trivy"], verb, &[&input, "--format", "json", "--output", &output]].concat();
        // Without the packages, a report of nothing looks like one of an image that is well.
        command.extend(["--list-all-pkgs", "--cache-dir", CACHE, "--exit-code", "0", "--no-progress"]);
        if self.offline {
            command.extend(["--offline-scan", "--skip-db-update", "--skip-java-db-update"]);
        }
        let what = OneShot {
            image: self.trivy.clone(),
            command: command.into_iter().map(str::to_owned).collect(),
            mounts: Vec::new(),
            limit: limits::TRIVY,
        };
        let writes =
            vec![(self.directory.to_owned(), INSIDE.to_owned()), (self.cache.to_owned(), CACHE.to_owned())];
        Ok(self.session.engine.run_once_free(&what, &Freedom { writes, network: !self.offline }).await?)
    }
}
