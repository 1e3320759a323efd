//! `kill -9` at each phase of a deployment: the next run brings it to its end. While one is under way no other begins.

use crate::site::Site;

/// Where a run is killed.
enum Killed {
    /// Where it stands still: a place of `HOMEPORT_HALT`.
    At(&'static str),
    /// When it says this.
    Saying(&'static str),
}

/// Steps of a run with a changed image, by number: 1 the cluster, 2 the service, 3 the others' images, 4 sending them, 5
/// comparing, 6 applying; then rollouts, one for each workload that is not ready, and the smoke tests.
pub(crate) fn killed_runs_converge(site: &mut Site) {
    use Killed::{At, Saying};
    site.deployed();
    for (number, place) in [
        At("before:4"),
        At("before:6"),
        Saying("start      apply revision"),
        At("after:6"),
        Saying("start      roll out hello-deployment"),
        At("before:smoke tests"),
    ]
    .into_iter()
    .enumerate()
    {
        let image = site.version(&format!("killed-{number}"));
        let arguments = ["deploy-kind", "--image", &image];
        let mut run;
        match place {
            At(halt) => {
                run = site.start_halting(halt, &arguments);
                run.until("halted");
                let busy = format!("cannot change kind cluster {}: cargo xtask deploy-kind", site.name());
                site.run(&["rollback"]).expect(4).says(&["error[project-busy]", &busy]);
            }
            Saying(text) => {
                run = site.start(&arguments);
                run.until(text);
            }
        }
        run.kill();
        site.run(&arguments).expect(0);
        assert_eq!(site.serving(), Site::version_of(&image), "killed at {number}");
        site.run(&arguments).expect(0).says(&["nothing was to be changed"]);
    }
    let bad = site.impostor("crash");
    let mut run = site.start(&["deploy-kind", "--image", &bad]);
    run.until("start      put back revision");
    run.kill();
    site.deployed();
    assert_eq!(site.serving(), Site::version_of(&site.first()));
}

/// The API server ends in the middle of a rollout, as on a machine that is too busy for it; the kubelet starts it again. What
/// could not be watched for a while went on all the same, so nothing is put back.
pub(crate) fn a_rollout_outlives_the_api_server(site: &mut Site) {
    site.deployed();
    let image = site.version("unwatched");
    let mut run = site.start(&["deploy-kind", "--image", &image]);
    run.until("start      roll out hello-deployment");
    site.in_node("crictl --timeout=45s stop $(crictl --timeout=45s ps --quiet --name '^kube-apiserver$')");
    run.end().expect(0).does_not_say(&["put back"]);
    assert_eq!(site.serving(), Site::version_of(&image));
}
