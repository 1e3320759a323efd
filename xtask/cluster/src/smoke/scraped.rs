//! Which pods of a revision Prometheus scrapes, by its own list of targets. Pure.
//!
//! Must not: ask anybody.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::rollout::Pod;

/// How many pods of a revision Prometheus must scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enough {
    /// One, right after a rollout. All pods of a revision are made from one template, so one shows that this revision is
    /// discovered, let through by the network policies and tells what Prometheus can read. The last pod would keep every
    /// deployment waiting: Prometheus hands what it discovers over to its scrapes every 5 s only.
    One,
    /// All of them, where there is time to see each.
    All,
}

/// How many pods of a revision Prometheus scrapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scraped {
    pods: usize,
    of: usize,
}

impl fmt::Display for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prometheus scrapes {} of {} pods of this revision", self.pods, self.of)
    }
}

/// Whether enough pods of the newest template are targets that are up, by what Prometheus answers of its targets.
///
/// # Errors
/// What is seen instead, and of one pod that is missing why.
pub(super) fn scraped(targets: &Value, pods: &[Pod], enough: Enough) -> Result<Scraped, String> {
    let known = known(targets);
    let target = |pod: &Pod| pod.address.as_deref().and_then(|address| known.get(address));
    let is_up = |pod: &Pod| target(pod).is_some_and(Result::is_ok);
    let of_revision: Vec<&Pod> = pods.iter().filter(|pod| pod.current && pod.ready && !pod.leaving).collect();
    let up = of_revision.iter().filter(|pod| is_up(pod)).count();
    let seen = Scraped { pods: up, of: of_revision.len() };
    let Some(missing) = of_revision.iter().find(|pod| !is_up(pod)) else {
        return if up > 0 { Ok(seen) } else { Err("no pod of this revision is ready".to_owned()) };
    };
    if enough == Enough::One && up > 0 {
        return Ok(seen);
    }
    let older = match pods.iter().filter(|pod| !pod.current && is_up(pod)).count() {
        0 => String::new(),
        older => format!(" and {older} of an older one"),
    };
    let why = match target(missing) {
        Some(Err(why)) => why,
        _ => "not among its targets",
    };
    Err(format!("{seen}{older}; {}: {why}", missing.name))
}

/// The job of the service's own metrics (prometheus.yml): a pod may have other targets, by which nothing is known of it.
const JOB: &str = "service";

/// The service's targets by address: up, or why not.
fn known(targets: &Value) -> BTreeMap<&str, Result<(), &str>> {
    let active = targets.pointer("/data/activeTargets").and_then(Value::as_array);
    let of_service = active.into_iter().flatten().filter(|target| target["labels"]["job"] == JOB);
    let known = of_service.filter_map(|target| {
        let (address, _) = target.pointer("/labels/instance")?.as_str()?.rsplit_once(':')?;
        let text = |name: &str| target.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let up = match text("health") {
            Some("up") => Ok(()),
            health => Err(text("lastError").or(health).unwrap_or("not scraped yet")),
        };
        // An address of version 6 stands in brackets before a port.
        Some((address.trim_matches(['[', ']']), up))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, address: &str, current: bool) -> Pod {
        let address = Some(address.to_owned());
        Pod { name: name.to_owned(), address, current, ready: true, ..Pod::default() }
    }

    fn targets(all: &[(&str, &str, &str)]) -> Value {
        let target = |(instance, health, error): &(&str, &str, &str)| json!({"labels": {"job": JOB, "instance": instance}, "health": health, "lastError": error});
        json!({"data": {"activeTargets": all.iter().map(target).collect::<Vec<_>>()}})
    }

    type Row<'a> = (&'a [Pod], &'a [(&'a str, &'a str, &'a str)], Enough, Result<&'a str, &'a str>);

    #[test]
    fn one_pod_of_the_revision_is_enough_after_a_rollout_and_an_older_one_is_not() {
        let (new, old) = (pod("new", "10.0.0.2", true), pod("old", "10.0.0.1", false));
        let both = [new.clone(), pod("newer", "10.0.0.3", true), old.clone()];
        let leaving = [new.clone(), Pod { leaving: true, ..pod("newer", "10.0.0.3", true) }];
        let first = ("10.0.0.1:8000", "up", "");
        let second = ("10.0.0.2:8000", "up", "");
        let refused = ("10.0.0.2:8000", "down", "connection refused");
        let unknown = ("10.0.0.2:8000", "unknown", "");
        let one = Ok("Prometheus scrapes 1 of 2 pods of this revision");
        let all = Ok("Prometheus scrapes 1 of 1 pods of this revision");
        let table: [Row<'_>; 10] = [
            (&both, &[first, second], Enough::One, one),
            (
                &both,
                &[first, second],
                Enough::All,
                Err(
                    "Prometheus scrapes 1 of 2 pods of this revision and 1 of an older one; newer: not among its targets",
                ),
            ),
            (
                &both,
                &[first],
                Enough::One,
                Err(
                    "Prometheus scrapes 0 of 2 pods of this revision and 1 of an older one; new: not among its targets",
                ),
            ),
            (
                &both,
                &[],
                Enough::One,
                Err("Prometheus scrapes 0 of 2 pods of this revision; new: not among its targets"),
            ),
            (
                &both,
                &[refused],
                Enough::One,
                Err("Prometheus scrapes 0 of 2 pods of this revision; new: connection refused"),
            ),
            (
                &both,
                &[unknown],
                Enough::One,
                Err("Prometheus scrapes 0 of 2 pods of this revision; new: unknown"),
            ),
            (&leaving, &[second], Enough::All, all),
            (&[new], &[first, second], Enough::All, all),
            (&[old], &[first], Enough::One, Err("no pod of this revision is ready")),
            (&[], &[first], Enough::One, Err("no pod of this revision is ready")),
        ];
        for (pods, seen, enough, expected) in table {
            let found = scraped(&targets(seen), pods, enough);
            let found = found.map(|scraped| scraped.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{seen:?} {enough:?}");
        }
    }

    #[test]
    fn what_else_a_pod_tells_says_nothing_of_the_service() {
        let pods = [pod("new", "10.0.0.2", true)];
        let mut seen = targets(&[("10.0.0.2:8000", "down", "it is no text"), ("10.0.0.2:9100", "up", "")]);
        seen["data"]["activeTargets"][1]["labels"]["job"] = json!("sidecar");
        assert!(scraped(&seen, &pods, Enough::One).is_err_and(|why| why.ends_with("new: it is no text")));
    }

    #[test]
    fn a_target_may_have_an_address_of_version_6() {
        let pods = [pod("new", "fd00::2", true)];
        assert!(scraped(&targets(&[("[fd00::2]:8000", "up", "")]), &pods, Enough::All).is_ok());
    }
}
