//! What rollouts look like, and what is made of each look: tables.

use std::time::Duration;

use super::*;

/// `(generation, observed, wanted, replicas, updated, available)`
fn workload(numbers: (i64, i64, i32, i32, i32, i32)) -> Workload {
    let (generation, observed_generation, wanted, replicas, updated, available) = numbers;
    Workload {
        name: "hello".to_owned(),
        generation,
        observed_generation,
        wanted,
        replicas,
        updated,
        available,
        ..Workload::default()
    }
}

#[test]
fn a_rollout_is_judged_as_kubectl_judges_it() {
    let waits = |what: &str| Standing::Waits(what.to_owned());
    let table = [
        ((2, 1, 3, 3, 3, 3), waits("its controller to see the change")),
        ((2, 2, 3, 3, 0, 3), waits("0 of 3 pods are new")),
        ((2, 2, 3, 4, 3, 3), waits("1 old pods to leave")),
        ((2, 2, 3, 3, 3, 2), waits("2 of 3 new pods are ready")),
        ((2, 2, 3, 3, 3, 3), Standing::Done),
        ((1, 1, 0, 0, 0, 0), Standing::Done),
    ];
    for (numbers, expected) in table {
        assert_eq!(workload(numbers).standing(), expected, "{numbers:?}");
    }
    let expired = Workload { deadline_exceeded: true, ..workload((2, 2, 3, 4, 1, 3)) };
    assert_eq!(expired.standing(), Standing::Expired);
    // The deadline is that of the template before, as long as the controller has not seen the new one.
    let old = Workload { generation: 3, ..expired };
    assert_eq!(old.standing(), waits("its controller to see the change"));
    assert!(old.problems().is_empty());
}

fn waiting(reason: &str) -> ContainerState {
    ContainerState::Waiting { reason: reason.to_owned(), message: "m".to_owned() }
}

fn with_container(container: Container) -> Workload {
    let pod =
        Pod { name: "hello-1-a".to_owned(), current: true, containers: vec![container], ..Pod::default() };
    Workload { pods: vec![pod], ..workload((2, 2, 3, 4, 1, 3)) }
}

#[test]
fn what_cannot_get_better_is_told_from_what_can() {
    use ProblemKind::{
        ConfigurationMissing, Crashing, ImageMissing, ImageUnpullable, NeverReady, NeverStarted,
    };
    let container = Container { name: "c".to_owned(), ..Container::default() };
    let running = |started| ContainerState::Running { started };
    let crashed = Some((1, "Error".to_owned()));
    let table = [
        (Container { state: waiting("PodInitializing"), ..container.clone() }, None),
        (Container { state: waiting("ContainerCreating"), ..container.clone() }, None),
        (Container { state: waiting("CrashLoopBackOff"), restarts: 1, ..container.clone() }, None),
        (
            Container {
                state: waiting("CrashLoopBackOff"),
                restarts: 2,
                last_end: crashed,
                ..container.clone()
            },
            Some((Crashing, "pod hello-1-a: c ended 2 times, the last time with status 1 (Error)")),
        ),
        (Container { state: running(true), restarts: 2, ready: true, ..container.clone() }, None),
        (
            Container { state: waiting("ErrImageNeverPull"), ..container.clone() },
            Some((ImageMissing, "pod hello-1-a: c: ErrImageNeverPull: m")),
        ),
        (
            Container { state: waiting("ImagePullBackOff"), ..container.clone() },
            Some((ImageUnpullable, "pod hello-1-a: c: ImagePullBackOff: m")),
        ),
        (
            Container { state: waiting("CreateContainerConfigError"), ..container.clone() },
            Some((ConfigurationMissing, "pod hello-1-a: c: CreateContainerConfigError: m")),
        ),
        (
            Container { state: running(false), may_start_for: Duration::from_secs(60), ..container.clone() },
            Some((
                NeverStarted(Duration::from_secs(60)),
                "pod hello-1-a: c runs and has not passed its startup probe for 60 s",
            )),
        ),
        (
            Container { state: running(true), ..container.clone() },
            Some((NeverReady, "pod hello-1-a: c runs and has not become ready for 60 s")),
        ),
        (Container { state: running(true), initialises: true, ..container }, None),
    ];
    for (container, expected) in table {
        let found: Vec<(ProblemKind, String)> = with_container(container.clone())
            .problems()
            .iter()
            .map(|problem| (problem.kind, problem.to_string()))
            .collect();
        let expected: Vec<(ProblemKind, String)> =
            expected.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect();
        assert_eq!(found, expected, "{container:?}");
    }
}

#[test]
fn pods_are_judged_once_the_controller_knows_which_are_old() {
    let crashing = Container { name: "c".to_owned(), restarts: 5, ..Container::default() };
    let mut put_back = with_container(crashing);
    assert_eq!(put_back.problems().len(), 1);
    put_back.generation += 1;
    assert!(put_back.problems().is_empty());
}

#[test]
fn pods_that_leave_or_are_old_are_no_problem() {
    let crashing = Container { name: "c".to_owned(), restarts: 5, ..Container::default() };
    for change in [|pod: &mut Pod| pod.leaving = true, |pod: &mut Pod| pod.current = false] {
        let mut workload = with_container(crashing.clone());
        workload.pods.iter_mut().for_each(change);
        assert!(workload.problems().is_empty());
    }
}

#[test]
fn refusals_and_lack_of_room_are_problems() {
    let refused = Workload { refused: Some("exceeded quota".to_owned()), ..workload((2, 2, 3, 3, 0, 3)) };
    assert_eq!(refused.problems()[0].to_string(), "deployment hello: no pod may be made: exceeded quota");
    let mut full = with_container(Container { ready: true, ..Container::default() });
    full.pods[0].unschedulable = Some("Insufficient cpu".to_owned());
    assert_eq!(full.problems()[0].to_string(), "pod hello-1-a: no node has room: Insufficient cpu");
}

#[test]
fn patience_ends_and_begins_anew_when_a_problem_went() {
    let seconds = Duration::from_secs;
    let problem = |kind| Problem {
        owner: WorkloadKind::Deployment,
        workload: "w".to_owned(),
        pod: None,
        kind,
        seen: String::new(),
    };
    let full = [problem(ProblemKind::Unschedulable)];
    let mut patience = Patience::default();
    assert!(patience.overdue(&full, seconds(5)).is_empty());
    assert!(patience.overdue(&full, seconds(94)).is_empty());
    assert_eq!(patience.overdue(&full, seconds(95)).len(), 1);
    assert!(patience.overdue(&[], seconds(96)).is_empty());
    assert!(patience.overdue(&full, seconds(200)).is_empty(), "seen anew");
    assert_eq!(patience.overdue(&[problem(ProblemKind::Crashing)], seconds(1)).len(), 1, "at once");
    let starting = [problem(ProblemKind::NeverStarted(seconds(60)))];
    assert!(patience.overdue(&starting, seconds(300)).is_empty());
    assert!(patience.overdue(&starting, seconds(359)).is_empty());
    assert_eq!(patience.overdue(&starting, seconds(360)).len(), 1, "as long as its own probe allows");
}

#[test]
fn a_line_says_what_each_pod_waits_for() {
    let migrate = Container {
        name: "migrate".to_owned(),
        initialises: true,
        state: ContainerState::Running { started: true },
        ..Container::default()
    };
    let mut workload = with_container(migrate);
    workload.pods.push(Pod { name: "hello-1-b".to_owned(), ready: true, ..Pod::default() });
    workload.pods.push(Pod {
        name: "hello-1-c".to_owned(),
        unschedulable: Some(String::new()),
        ..Pod::default()
    });
    assert_eq!(workload.told(), "1 of 3 pods are new · a migrate: running · c waits for room on a node");
}

#[test]
fn a_start_may_take_what_its_probe_allows() {
    let pod = |probe: serde_json::Value| -> k8s_openapi::api::core::v1::Pod {
        let pod = serde_json::json!({
            "metadata": {"name": "p", "labels": {"controller-revision-hash": "new"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "u"}]},
            "spec": {"containers": [{"name": "c", "startupProbe": probe}]},
            "status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
                "restartCount": 0, "started": false, "state": {"running": {}}}]},
        });
        serde_json::from_value(pod).expect("a pod")
    };
    let set = |replicas: i32, updated: i32| -> k8s_openapi::api::apps::v1::StatefulSet {
        let set = serde_json::json!({
            "metadata": {"name": "s", "uid": "u", "generation": 2},
            "spec": {"replicas": 3, "serviceName": "s", "selector": {}, "template": {}},
            "status": {"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
                "availableReplicas": updated, "updateRevision": "new"},
        });
        serde_json::from_value(set).expect("a StatefulSet")
    };
    let table = [
        (serde_json::json!({"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 30}), 60),
        (serde_json::json!({"initialDelaySeconds": 5}), 38),
        (serde_json::Value::Null, 0),
    ];
    for (probe, expected) in table {
        let seen = observe_set(&set(3, 1), &[pod(probe)]);
        assert_eq!(seen.standing(), Standing::Waits("1 of 3 pods are new".to_owned()));
        let container = &seen.pods[0].containers[0];
        assert_eq!(container.may_start_for, Duration::from_secs(expected));
        assert!(seen.pods[0].current);
    }
    assert_eq!(observe_set(&set(3, 3), &[]).standing(), Standing::Done);
}

#[test]
fn what_lacks_only_room_serves_with_the_rest() {
    let pod = |current: bool, ready: bool, room: bool| Pod {
        current,
        ready,
        unschedulable: (!room).then(String::new),
        ..Pod::default()
    };
    let (serves, waits, old_waits) =
        (pod(true, true, true), pod(true, false, false), pod(false, false, false));
    let table = [
        (vec![serves.clone(), waits.clone(), old_waits.clone()], true),
        (vec![serves.clone(), waits.clone(), pod(false, true, true)], false),
        (vec![serves.clone(), waits.clone(), pod(true, false, true)], false),
        (vec![serves.clone(), serves.clone()], false),
    ];
    for (pods, expected) in table {
        let workload = Workload { pods: pods.clone(), ..workload((2, 2, 8, 9, 7, 5)) };
        assert_eq!(workload.lacks_only_room(), expected, "{pods:?}");
    }
    let full = Workload { pods: vec![serves, waits], ..workload((2, 2, 2, 2, 2, 1)) };
    let unseen = Workload { observed_generation: 1, ..full.clone() };
    let none_serves = Workload { available: 0, pods: vec![old_waits], ..full.clone() };
    assert!(full.lacks_only_room() && !unseen.lacks_only_room() && !none_serves.lacks_only_room());
}
