//! The architecture on a real kind cluster: `cargo xtask test cluster`. One story after the other on one cluster, which the
//! first of them makes and the end deletes. Each story brings the first version there before it begins, so any of them can
//! be run alone.
//!
//! Must not: judge time. What is waited for is a condition.

mod image;
mod load;
mod program;
mod site;
mod stories;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use site::Site;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // There is one cluster.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, stories(&Arc::default())).exit_code();
    }
    let site = Arc::new(Mutex::new(None));
    let conclusion = libtest_mimic::run(&arguments, stories(&site));
    let site = site.lock().unwrap_or_else(PoisonError::into_inner).take();
    let cleared = catch_unwind(AssertUnwindSafe(|| site.map(Site::clear)));
    if cleared.is_err() { ExitCode::FAILURE } else { conclusion.exit_code() }
}

type Story = (&'static str, fn(&mut Site));

type Shared = Arc<Mutex<Option<Site>>>;

fn stories(site: &Shared) -> Vec<Trial> {
    let all: &[Story] = &[
        ("from_nothing", stories::birth::from_nothing),
        ("a_second_run_changes_nothing", stories::birth::a_second_run_changes_nothing),
        ("prometheus_sees_the_stores", stories::birth::prometheus_sees_the_stores),
        ("pods_are_unprivileged", stories::safety::pods_are_unprivileged),
        ("no_secret_leaks", stories::safety::no_secret_leaks),
        ("a_new_version_fails_no_request", stories::rollouts::a_new_version_fails_no_request),
        ("bad_images_are_rolled_back", stories::rollouts::bad_images_are_rolled_back),
        (
            "what_prometheus_cannot_scrape_is_rolled_back",
            stories::rollouts::what_prometheus_cannot_scrape_is_rolled_back,
        ),
        ("rollback_goes_back_and_forth", stories::rollouts::rollback_goes_back_and_forth),
        ("deploy_by_context", stories::rollouts::deploy_by_context),
        ("productions_manifests_are_accepted", stories::production::manifests_are_accepted),
        ("verify_tries_and_proves", stories::verified::verify_tries_and_proves),
        ("verify_on_a_named_cluster_plants_nothing", stories::verified::a_named_cluster_gets_no_fault),
        ("verify_sees_what_is_wrong", stories::verified::what_is_wrong_is_seen),
        ("killed_runs_converge", stories::kills::killed_runs_converge),
        ("a_rollout_outlives_the_api_server", stories::kills::a_rollout_outlives_the_api_server),
        ("a_person_s_edit_is_a_conflict", stories::changes::a_person_s_edit_is_a_conflict),
        ("what_the_manifests_drop_is_pruned", stories::changes::what_the_manifests_drop_is_pruned),
        (
            "a_cluster_that_is_not_ours_is_left_alone",
            stories::safety::a_cluster_that_is_not_ours_is_left_alone,
        ),
        ("data_outlives_postgres_pod", stories::safety::data_outlives_postgres_pod),
    ];
    let mut trials: Vec<Trial> = all.iter().map(|(name, story)| trial(site, name, *story)).collect();
    // Last: the autoscaler takes minutes to come down again.
    trials.push(trial(site, "the_autoscaler_answers_load", stories::scaling::the_autoscaler_answers_load));
    trials
}

fn trial(site: &Shared, name: &str, story: fn(&mut Site)) -> Trial {
    let site = Arc::clone(site);
    Trial::test(name, move || {
        let mut site = site.lock().unwrap_or_else(PoisonError::into_inner);
        let site = site.get_or_insert_with(Site::new);
        catch_unwind(AssertUnwindSafe(|| story(site))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failed::from(text.unwrap_or_else(|| "it panicked".to_owned()))
        })
    })
}
