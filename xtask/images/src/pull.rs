//! Pulling an image from its registry and pushing one to it: attempts, and the sum of the layers' progress.

use std::collections::BTreeMap;

use super::credentials::{credentials, credentials_to_push};
use super::{ImageError, Underway};
use crate::engine::{Engine, EngineError, LayerProgress, StoredImage};
use crate::event::StepReporter;
use crate::limits;
use crate::stack::ImageReference;

/// Pulls an image, again when what failed may pass.
pub(super) async fn pull(
    engine: &Engine,
    reference: &ImageReference,
    reporter: &StepReporter,
) -> Result<(), ImageError> {
    let credentials = credentials(reference).await?;
    let name = reference.with_tag();
    again(reporter, async || {
        let mut sum = Sum::default();
        engine.pull_image(name.as_str(), credentials.as_ref(), |progress| sum.add(&progress, reporter)).await
    })
    .await
}

/// Pushes an image to the registry its reference names, again when what failed may pass. Returns the digest by which
/// the registry knows it.
///
/// # Errors
/// When Docker's configuration does not give the credentials it promises, or the registry refuses.
pub fn push<'a>(
    engine: &'a Engine,
    reference: &'a ImageReference,
    reporter: &'a StepReporter,
) -> Underway<'a, Option<String>> {
    Box::pin(async move {
        let credentials = credentials_to_push(reference).await?;
        let name = reference.with_tag();
        again(reporter, async || {
            engine
                .push_image(name.as_str(), credentials.as_ref(), |progress| match progress.bytes {
                    // The engine counts what it sends, headers included.
                    Some((done, total)) => reporter.bytes("pushing", done.min(total), total),
                    None => reporter.message(progress.status.to_lowercase()),
                })
                .await
        })
        .await
    })
}

/// Asks the registry that a reference names what it has there now: the digest, or `None` where it has nothing.
///
/// # Errors
/// When the registry cannot be asked, or does not say. A registry that denies an account may only mean that there is
/// nothing (Docker Hub does); what it thinks of the account it will say of a push.
pub fn published<'a>(
    engine: &'a Engine,
    reference: &'a ImageReference,
    reporter: &'a StepReporter,
) -> Underway<'a, Option<String>> {
    Box::pin(async move {
        let credentials = credentials_to_push(reference).await?;
        let name = reference.with_tag();
        let asked =
            again(reporter, async || engine.registry_image(name.as_str(), credentials.as_ref()).await).await;
        match asked {
            Ok(digest) => Ok(Some(digest)),
            Err(ImageError::Engine(error)) if has_nothing(&error) => Ok(None),
            Err(ImageError::Engine(EngineError::Refused { status, message, .. }))
                if cannot_ask(status, &message) =>
            {
                Err(ImageError::Unasked(reference.clone()))
            }
            Err(error) => Err(error),
        }
    })
}

/// Brings what a registry has under a digest, by the account that pushes; the engine then knows what it is.
///
/// # Errors
/// When the registry refuses.
pub fn bring<'a>(
    engine: &'a Engine,
    reference: &'a ImageReference,
    reporter: &'a StepReporter,
) -> Underway<'a, StoredImage> {
    Box::pin(async move {
        let credentials = credentials_to_push(reference).await?;
        let name = reference.as_str();
        again(reporter, async || {
            let mut sum = Sum::default();
            engine.pull_image(name, credentials.as_ref(), |progress| sum.add(&progress, reporter)).await
        })
        .await?;
        let missing = || ImageError::NotBrought {
            reference: reference.clone(),
            source_name: "the registry".to_owned(),
        };
        engine.image(name).await?.ok_or_else(missing)
    })
}

/// Tries until it succeeds, fails for good, or has been tried often enough.
async fn again<T>(
    reporter: &StepReporter,
    mut attempt: impl AsyncFnMut() -> Result<T, EngineError>,
) -> Result<T, ImageError> {
    let mut pause = limits::PULL_PAUSE;
    for _ in 1..limits::PULL_ATTEMPTS {
        match attempt().await {
            Err(error) if may_pass(&error) => {
                // A warning, because a log tells only now and then how far a step is.
                reporter.events().warning(format!("{error}; again in {} s", pause.as_secs()));
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return Ok(other?),
        }
    }
    Ok(attempt().await?)
}

/// What registries say of an image that they do not have, or not for this account. The engine passes a registry's answer
/// on as text only; these are the codes of the distribution specification ("Error Codes") in the words engines use.
const NOTHING: [&str; 8] = [
    "not found",
    "manifest unknown",
    "name unknown",
    "does not exist",
    "unauthorized",
    "denied",
    "no basic auth",
    "authentication required",
];

/// Whether trying again may help: not when the registry has answered that there is no such image or account.
fn may_pass(error: &EngineError) -> bool {
    match error {
        EngineError::Refused { status, message, .. } => {
            let message = message.to_ascii_lowercase();
            let for_good = ["no such host", "no matching manifest"];
            let is_final = (400..500).contains(status) || contains(&message, &NOTHING);
            is_limited(*status, &message) || !(is_final || contains(&message, &for_good))
        }
        EngineError::Broken { .. } => true,
        _ => false,
    }
}

/// Whether the registry has answered that it has nothing under this name. An answer that does not say so is none: what is
/// there must not be taken for absent.
fn has_nothing(error: &EngineError) -> bool {
    let EngineError::Refused { status, message, .. } = error else { return false };
    let lower = message.to_ascii_lowercase();
    !is_limited(*status, &lower) && !cannot_ask(*status, message) && contains(&lower, &NOTHING)
}

/// Whether a registry has had enough of this account for a while.
fn is_limited(status: u16, message: &str) -> bool {
    matches!(status, 408 | 429) || contains(message, &["toomanyrequests", "too many requests", "rate limit"])
}

/// Whether an engine's answer means that it passes no question on to a registry (Podman).
pub(super) fn cannot_ask(status: u16, message: &str) -> bool {
    status == 404 && matches!(message.trim(), "" | "Not Found" | "404 page not found" | "page not found")
}

fn contains(message: &str, words: &[&str]) -> bool {
    words.iter().any(|words| message.contains(words))
}

/// The progress of all layers, added up.
#[derive(Debug, Default)]
struct Sum {
    layers: BTreeMap<String, (u64, u64)>,
}

impl Sum {
    fn add(&mut self, progress: &LayerProgress, reporter: &StepReporter) {
        if let Some((done, total)) = self.count(progress) {
            reporter.bytes("downloading", done, total);
        } else if !progress.status.is_empty() && progress.bytes.is_none() {
            reporter.message(progress.status.to_lowercase());
        }
    }

    /// The sum after a report that is about downloaded bytes.
    fn count(&mut self, progress: &LayerProgress) -> Option<(u64, u64)> {
        match (progress.status.as_str(), progress.bytes) {
            ("Downloading", Some(bytes)) => {
                self.layers.insert(progress.layer.clone(), bytes);
            }
            ("Download complete", _) => {
                let (done, total) = self.layers.get_mut(&progress.layer)?;
                *done = *total;
            }
            _ => return None,
        }
        Some(self.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_layers_is_added_up() {
        let mut sum = Sum::default();
        let table = [
            ("a", "Pulling fs layer", None, None),
            ("a", "Downloading", Some((10, 100)), Some((10, 100))),
            ("b", "Downloading", Some((5, 50)), Some((15, 150))),
            ("a", "Downloading", Some((60, 100)), Some((65, 150))),
            ("a", "Download complete", None, Some((105, 150))),
            ("a", "Extracting", Some((1, 100)), None),
            ("b", "Downloading", Some((50, 50)), Some((150, 150))),
        ];
        for (layer, status, bytes, expected) in table {
            let report = LayerProgress { layer: layer.to_owned(), status: status.to_owned(), bytes };
            assert_eq!(sum.count(&report), expected, "{layer} {status}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_only_a_clear_answer_says_that_nothing_is_there() {
        let refused = |status, message: &str| EngineError::Refused {
            verb: "pull",
            object: "image x".to_owned(),
            status,
            message: message.to_owned(),
        };
        // Whether it is tried again, and whether it says that nothing is there.
        let table = [
            (refused(404, "manifest for x not found: manifest unknown: manifest unknown"), false, true),
            (refused(500, "Get \"https://r/v2/\": no basic auth credentials"), false, true),
            (refused(500, "unauthorized: authentication required"), false, true),
            (refused(403, "denied: requested access to the resource is denied"), false, true),
            (refused(404, "name unknown: The repository does not exist in the registry"), false, true),
            (refused(404, "failed to resolve reference \"r/x:1\": r/x:1: not found"), false, true),
            (refused(404, "Not Found"), false, false),
            (refused(404, ""), false, false),
            (refused(400, "invalid reference format"), false, false),
            (refused(429, "toomanyrequests: unauthorized: you have reached your limit"), true, false),
            (refused(500, "toomanyrequests: You have reached your pull rate limit"), true, false),
            (refused(500, "Get \"https://r/v2/\": net/http: TLS handshake timeout"), true, false),
            (refused(500, "received unexpected HTTP status: 503 Service Unavailable"), true, false),
            (refused(500, "Get \"https://r/v2/\": dial tcp: lookup r: no such host"), false, false),
            (refused(500, "unexpected EOF"), true, false),
        ];
        for (error, again, nothing) in table {
            assert_eq!((may_pass(&error), has_nothing(&error)), (again, nothing), "{error}");
        }
    }
}
