//! A release from the first comparison to the last smoke test, and back when it fails. The same for every cluster.
//!
//! Must not: know where a cluster comes from or how images get there.

use xtask::failure::{Code, Failure};

use crate::api::{Aim, Changes, Cluster, Revisions, Scope, Watched, await_rollout, ensure_secrets, evidence};
use crate::object::Object;
use crate::revision::{self, Revision, State};
use crate::rollout::{Problem, Workload, WorkloadKind};
use crate::smoke::{Enough, Gate, Smoke};
use crate::steps::{Finished, Steps};

/// The label that marks what the manifests hold; pruning goes by it.
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "homeport");

/// What is to be there.
#[derive(Debug)]
pub struct Release {
    /// The service's version.
    pub version: String,
    /// The architecture.
    pub objects: Vec<Object>,
    /// What the cluster itself lacks (metrics-server); not a part of the release, not rolled back.
    pub platform: Vec<Object>,
}

/// Where it is to be.
#[derive(Debug)]
pub struct Place<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The way in.
    pub gate: &'a Gate,
    /// Whether others' fields are overwritten.
    pub force: bool,
    /// Where steps are told.
    pub steps: &'a Steps,
}

/// What the comparison found.
#[derive(Debug)]
pub struct Comparison {
    /// Of the architecture.
    pub release: Changes,
    /// Of the cluster itself.
    pub platform: Changes,
}

impl Release {
    /// The namespace that it lives in.
    ///
    /// # Errors
    /// When the manifests hold none.
    pub fn namespace(&self) -> Result<&str, Failure> {
        namespace(&self.objects)
    }

    fn scope(&self) -> Result<Scope, Failure> {
        let label = (PART_OF.0.to_owned(), PART_OF.1.to_owned());
        Ok(Scope { namespace: self.namespace()?.to_owned(), label })
    }
}

fn namespace(objects: &[Object]) -> Result<&str, Failure> {
    let namespace = objects.iter().find(|object| object.kind() == "Namespace");
    namespace.map(Object::name).ok_or_else(|| {
        Failure::new(Code::ProjectInvalid, "the manifests hold no Namespace, which a release is kept in")
    })
}

/// The workloads among objects.
fn watched(objects: &[Object]) -> Vec<Watched> {
    let mut watched: Vec<Watched> = objects
        .iter()
        .filter_map(|object| {
            Some(Watched {
                namespace: object.key().namespace.unwrap_or_else(|| "default".to_owned()),
                kind: WorkloadKind::parse(object.kind())?,
                name: object.name().to_owned(),
            })
        })
        .collect();
    watched.sort();
    watched
}

impl Place<'_> {
    /// Asks what the release would change.
    ///
    /// # Errors
    /// A conflict, or what else the cluster refuses.
    pub async fn compare(&self, release: &Release) -> Result<Comparison, Failure> {
        let scope = release.scope()?;
        let (architecture, platform) = tokio::join!(
            self.cluster.compare(&release.objects, Some(&scope), self.force),
            self.cluster.compare(&release.platform, None, self.force),
        );
        Ok(Comparison { release: architecture?, platform: platform? })
    }

    /// Brings the release into the cluster, waits for it, tries it; puts the previous revision back when it fails.
    /// `before` is what must have ended before anything is applied, such as the images' way into the node; the comparison
    /// does not wait for it. Returns the workloads as they stand then, and whether anything was changed.
    ///
    /// # Errors
    /// [`Code::RolledBack`] when it failed and the previous revision serves; the cause when there is none to put back.
    pub async fn deploy(
        &self,
        release: &Release,
        before: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(Vec<Workload>, bool), Failure> {
        let namespace = release.namespace()?;
        let store = Revisions::new(self.cluster, namespace);
        let compare = self.steps.run("compare with the cluster", async |_| {
            let (revisions, comparison) = tokio::join!(store.all(), self.compare(release));
            let (revisions, comparison) = (revisions?, comparison?);
            let told = comparison.release.told();
            Ok(Finished::changed((revisions, comparison), told))
        });
        let (before, compared) = tokio::join!(before, compare);
        before?;
        let (revisions, comparison) = compared?;
        let known = revisions.iter().rev().find(|revision| revision.objects == release.objects);
        let changed = !comparison.release.is_empty() || !comparison.platform.is_empty();
        let number = match known {
            Some(known) if comparison.release.is_empty() => known.number,
            _ => revision::next(&revisions),
        };
        let proven = known.is_some_and(|known| known.number == number && known.state == State::Deployed);
        let applied = self.apply(release, &store, &revisions, number, &comparison).await;
        let ended = match applied {
            Ok(()) => self.see_it_serve(release).await,
            Err(failure) => Err((failure, Vec::new())),
        };
        match ended {
            Ok(workloads) => {
                store.end(number, State::Deployed).await?;
                let (forgotten, stands) = tokio::join!(store.forget_surplus(), self.await_platform(release));
                forgotten?;
                stands?;
                Ok((workloads, changed))
            }
            Err((cause, problems)) => {
                let cause = cause.details(evidence(self.cluster, &problems).await);
                if proven {
                    // It went well before, and this run has changed nothing of it: what fails now is no fault of the
                    // revision, and one before it would fare no better.
                    return Err(cause);
                }
                // Whatever comes of the rest: this one is not to be built upon.
                let marked = store.end(number, State::Failed).await;
                let cause = cause.details(marked.err().map(|error| error.to_string()));
                Err(self.put_back(cause, number, &revisions).await)
            }
        }
    }

    async fn apply(
        &self,
        release: &Release,
        store: &Revisions,
        revisions: &[Revision],
        number: u64,
        comparison: &Comparison,
    ) -> Result<(), Failure> {
        let namespace = release.namespace()?;
        let begun = revisions.iter().any(|revision| revision.number == number);
        if begun && comparison.release.is_empty() && comparison.platform.is_empty() {
            return Ok(());
        }
        let title = format!("apply revision {number}");
        self.steps
            .run(title, async |reporter| {
                self.cluster.carry_out(&comparison.platform, reporter, async || Ok(())).await?;
                let prepare = async || {
                    if !begun {
                        store.begin(number, &release.version, &release.objects).await?;
                    }
                    let (made, warning) = ensure_secrets(self.cluster, namespace, &release.objects).await?;
                    if !made.is_empty() {
                        self.steps.events().note(format!("made {} in the cluster", made.join(", ")));
                    }
                    if let Some(text) = warning {
                        self.steps.events().warning(text);
                    }
                    Ok(())
                };
                self.cluster.carry_out(&comparison.release, reporter, prepare).await?;
                Ok(Finished::changed((), comparison.release.told()))
            })
            .await
    }

    /// Rolled out and tried.
    async fn see_it_serve(
        &self,
        release: &Release,
    ) -> Result<Vec<Workload>, (Failure, Vec<(String, Problem)>)> {
        let workloads = await_rollout(self.cluster, &watched(&release.objects), Aim::All, self.steps).await?;
        self.try_out(release, Enough::One).await.map_err(|failure| (failure, Vec::new()))?;
        Ok(workloads)
    }

    /// Tries what serves, as its users reach it; `enough` is how many of its pods Prometheus must scrape.
    ///
    /// # Errors
    /// [`Code::NotHealthy`] with the first thing that does not work.
    pub async fn try_out(&self, release: &Release, enough: Enough) -> Result<(), Failure> {
        let smoke = Smoke {
            cluster: self.cluster,
            namespace: release.namespace()?,
            gate: self.gate,
            objects: &release.objects,
            version: &release.version,
            enough,
        };
        let tried = self.steps.run("smoke tests", async |reporter| {
            let passed = smoke.run(reporter).await?;
            Ok(Finished::changed((), passed.to_string()))
        });
        // It holds all that is asked of three servers at once.
        Box::pin(tried).await
    }

    /// The cluster's own parts. They do not concern the release, so nothing is put back for them.
    async fn await_platform(&self, release: &Release) -> Result<(), Failure> {
        match await_rollout(self.cluster, &watched(&release.platform), Aim::All, self.steps).await {
            Ok(_) => Ok(()),
            Err((failure, problems)) => Err(failure.details(evidence(self.cluster, &problems).await)),
        }
    }

    /// The last revision that went well, again. Returns the failure that tells of both.
    async fn put_back(&self, cause: Failure, failed: u64, revisions: &[Revision]) -> Failure {
        let Some(good) = revision::good(revisions).filter(|good| good.number != failed) else {
            return cause
                .hint("no earlier revision went well, so none was put back; mend it and deploy again");
        };
        let back = self.again(&good.objects, &format!("put back revision {}", good.number)).await;
        match back {
            Ok(()) => {
                let (number, version) = (good.number, &good.version);
                let message = format!(
                    "revision {failed} failed and revision {number} ({version}) serves again: {}",
                    cause.message
                );
                let hint = cause.hint.unwrap_or_else(|| "mend it and deploy again".to_owned());
                Failure::new(Code::RolledBack, message).details(cause.details).hint(hint)
            }
            Err(second) => {
                let message = format!(
                    "{}; then revision {} could not be put back: {}",
                    cause.message, good.number, second.message
                );
                Failure { code: cause.code, message, ..cause }
                    .details(second.details)
                    .hint("`cargo xtask rollback` tries that again")
            }
        }
    }

    /// Brings a release back that was there before, without a revision of its own.
    ///
    /// # Errors
    /// When the cluster refuses, or its pods do not get ready.
    pub async fn put_again(&self, release: &Release) -> Result<(), Failure> {
        self.again(&release.objects, &format!("put back {}", release.version)).await
    }

    async fn again(&self, objects: &[Object], title: &str) -> Result<(), Failure> {
        self.steps
            .run(title, async |reporter| {
                let label = (PART_OF.0.to_owned(), PART_OF.1.to_owned());
                let scope = Scope { namespace: namespace(objects)?.to_owned(), label };
                let changes = self.cluster.compare(objects, Some(&scope), self.force).await?;
                self.cluster.carry_out(&changes, reporter, async || Ok(())).await?;
                Ok(Finished::changed((), changes.told()))
            })
            .await?;
        let ready = await_rollout(self.cluster, &watched(objects), Aim::AllThatFit, self.steps).await;
        ready.map(drop).map_err(|(failure, _)| failure)
    }
}
