//! Every bound of the cluster commands, each with its reason. A wait without a bound is a bug.

use std::time::Duration;

/// How long `kind create cluster` may take: half a minute on two idle cores, some minutes where the node's image is still
/// to be pulled.
pub const KIND_CREATE: Duration = Duration::from_secs(900);

/// How long another of kind's or the engine's commands may take; they take fractions of a second.
pub const KIND_COMMAND: Duration = Duration::from_secs(60);

/// How long a cluster that is there may take to answer: seconds after its node was started.
pub const CLUSTER_ANSWER: Duration = Duration::from_secs(20);

/// How long a new cluster's API may take to be ready after kind has ended.
pub const CLUSTER_READY: Duration = Duration::from_secs(120);

/// How long a connection to the API server may take: milliseconds, seconds on a busy laptop.
pub const API_CONNECT: Duration = Duration::from_secs(30);

/// How long one request to the API server may take: milliseconds, half a minute where etcd waits for a busy disk. The server
/// itself gives one up after 60 s (`--request-timeout`) and says so with 504, upon which the client asks again; this is
/// for a server that says nothing at all.
pub const API_REQUEST: Duration = Duration::from_secs(75);

/// How long the API server may refuse to say how a rollout stands before that is taken for its end. It is restarted within
/// half a minute, and what it was told goes on meanwhile.
pub const UNTOLD: Duration = Duration::from_secs(90);

/// How long images may take to reach the node: as reading an archive into the engine (`xtask::limits::IMAGE_LOAD`).
pub const NODE_IMPORT: Duration = Duration::from_secs(300);

/// How long the node's containerd may take to list its images: milliseconds. `crictl` itself would wait for 2 s, which is too
/// short on a machine that also compiles.
pub const NODE_LISTING: Duration = Duration::from_secs(45);

/// How many requests to the API server are under way at once: it gives one client some hundred a second.
pub const REQUESTS_AT_ONCE: usize = 8;

/// The pause between two looks at a rollout: what a person waits at; a look is four lists of a namespace.
pub const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// How long a rollout may take in all. Each Deployment has a deadline of its own (`progressDeadlineSeconds`, 300 s), which
/// restarts with every step forward; this bounds the sum.
pub const ROLLOUT: Duration = Duration::from_secs(900);

/// How long a pod may be without room on a node: in a rollout on a full laptop it waits for a leaving one, whose grace
/// is 35 s (`terminationGracePeriodSeconds`) at most, twice in a row.
pub const UNSCHEDULABLE: Duration = Duration::from_secs(90);

/// How long a started container may be not ready: readiness is asked for every 5 s and needs stores that answer within
/// seconds; a store that restarts takes some 20 s on a busy machine. Three times that.
pub const NEVER_READY: Duration = Duration::from_secs(60);

/// How long an image may fail to be pulled: the kubelet's own second attempt comes after 10 s, its third after 20 s more.
pub const IMAGE_UNPULLABLE: Duration = Duration::from_secs(25);

/// How long what a pod refers to (a ConfigMap, a Secret) may be missing: it was applied before the pod, and the kubelet
/// learns of it within seconds.
pub const CONFIGURATION_MISSING: Duration = Duration::from_secs(20);

/// How long a controller may be refused new pods (quota, admission): a new namespace's default account is made within a
/// second.
pub const PODS_REFUSED: Duration = Duration::from_secs(15);

/// How often a container may have been restarted before it is called crashing. One restart may be bad luck, or a store
/// that came later; the second one comes 10 s after it (the kubelet's back-off).
pub const RESTARTS: i32 = 2;

/// How long a smoke test may be repeated until it passes: Prometheus asks for new pods each second, hands them to its scrapes
/// every 5 s and scrapes within 2 s more, but right after its own start it looks half a minute later (a first DNS answer
/// without pods is kept by the cluster's DNS for 30 s).
pub const SMOKE: Duration = Duration::from_secs(60);

/// How long the answer to one request of a smoke test may take.
pub const SMOKE_REQUEST: Duration = Duration::from_secs(10);

/// The pause before a smoke test is repeated.
pub const SMOKE_PAUSE: Duration = Duration::from_millis(250);

/// How many revisions are kept: as many as a Deployment keeps here (`revisionHistoryLimit`).
pub const REVISIONS: usize = 5;

/// How many last lines of each failing container are shown.
pub const LAST_LINES: i64 = 20;

/// How many events of each failing pod are shown.
pub const EVENTS: usize = 8;

/// How many requests of a load are under way at once; more would measure the queue before the loader.
pub const LOAD_AT_ONCE: usize = 256;

/// How long a request of a load may take before it counts as failed.
pub const LOAD_REQUEST: Duration = Duration::from_secs(5);

/// How long connections are used before new ones are made, so that pods that the autoscaler adds get their share: a
/// NodePort chooses the pod when a connection begins.
pub const LOAD_CONNECTIONS: Duration = Duration::from_secs(2);

/// How often the view of a load is renewed, and the autoscaler asked.
pub const LOAD_VIEW: Duration = Duration::from_secs(1);
