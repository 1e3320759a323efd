//! Starts as tables: steps with what they need and when they ran, and where the time went.

use super::*;

/// A plan: title, needs, and the milliseconds in which it ran.
type Row<'a> = (&'a str, &'a [u32], Option<(u64, u64)>);

fn pass(begun: u64, rows: &[Row<'_>]) -> Pass {
    let steps = (1..).zip(rows).map(|(number, (title, needs, during))| Taken {
        step: PlannedStep {
            step: StepId(number),
            title: (*title).to_owned(),
            cause: "missing".to_owned(),
            needs: needs.iter().copied().map(StepId).collect(),
            makes_ready: ["await ", "switch "].iter().any(|verb| title.starts_with(verb)),
        },
        during: during.map(|(began, ended)| (Duration::from_millis(began), Duration::from_millis(ended))),
    });
    Pass { begun: Duration::from_millis(begun), steps: steps.collect() }
}

/// `step worked-until[ waited for step]`, in milliseconds.
fn path(profile: &Profile) -> Vec<String> {
    let told = profile.path.iter().map(|link| {
        let waited =
            link.waited.as_ref().map(|waited| format!(" {} for {}", waited.time.as_millis(), waited.on));
        let (worked, until) = (link.worked.as_millis(), link.until.as_millis());
        format!("{} {worked}-{until}{}", link.step, waited.unwrap_or_default())
    });
    told.collect()
}

/// `step slack`.
fn others(profile: &Profile) -> Vec<String> {
    profile.others.iter().map(|other| format!("{} {}", other.step, other.slack.as_millis())).collect()
}

#[test]
fn the_chain_ends_with_what_was_ready_last() {
    let start = pass(
        100,
        &[
            ("create network", &[], Some((100, 150))),
            ("create db", &[1], Some((150, 200))),
            ("create cache", &[1], Some((150, 220))),
            ("create web", &[1], Some((150, 210))),
            ("start db", &[2], Some((200, 250))),
            ("await db healthy", &[5], Some((250, 2_250))),
            ("start cache", &[3], Some((220, 300))),
            ("await cache healthy", &[7], Some((300, 400))),
            ("start web", &[4, 6, 8], Some((2_260, 2_300))),
            ("await web healthy", &[9], Some((2_300, 2_700))),
            ("remove orphan", &[10], Some((2_700, 9_000))),
        ],
    );
    let profile = Profile::of(&[start]).expect("something was done");
    assert_eq!(
        path(&profile),
        [
            "create network 50-150",
            "create db 50-200",
            "start db 50-250",
            "await db healthy 2000-2250",
            "start web 40-2300 1850 for await db healthy",
            "await web healthy 400-2700",
        ]
    );
    assert_eq!((profile.took.as_millis(), profile.before.as_millis()), (2_700, 100));
    assert_eq!(
        others(&profile),
        ["create cache 1860", "start cache 1860", "await cache healthy 1860", "create web 2050"],
        "what is taken away afterwards is none of it"
    );
}

#[test]
fn what_was_not_begun_is_looked_through() {
    let start = pass(
        10,
        &[
            ("build image", &[], Some((10, 900))),
            ("start db", &[], Some((10, 50))),
            ("create web", &[1], None),
            ("start web", &[3], None),
            ("await web healthy", &[2, 4], Some((900, 1_000))),
        ],
    );
    let profile = Profile::of(&[start]).expect("something was done");
    assert_eq!(path(&profile), ["build image 890-900", "await web healthy 100-1000 850 for build image"]);
}

#[test]
fn a_second_plan_goes_on_where_the_first_ended() {
    let first = pass(0, &[("await db healthy", &[], Some((0, 500)))]);
    let second =
        pass(600, &[("start web", &[], Some((600, 650))), ("await web healthy", &[1], Some((650, 700)))]);
    let profile = Profile::of(&[first, second]).expect("something was done");
    assert_eq!(path(&profile), ["start web 50-650", "await web healthy 50-700"]);
    assert_eq!(others(&profile), ["await db healthy 200"]);
    assert_eq!(profile.before.as_millis(), 600);
}

#[test]
fn nothing_done_has_no_profile() {
    assert_eq!(Profile::of(&[]), None);
    assert_eq!(Profile::of(&[pass(5, &[]), pass(6, &[("start web", &[], None)])]), None);
}

#[test]
fn a_start_is_read_from_its_log() {
    let line = |second: u32, event: &str| {
        format!("{{\"timestamp\":\"2026-11-25T16:00:{second:02}.500Z\",{event}}}\n")
    };
    let began = line(0, r#""event":"run-started","command":"dev","directory":"/x""#);
    let planned = line(
        1,
        r#""event":"planned","steps":[{"step":1,"title":"start a","cause":"created","needs":[]},{"step":2,"title":"await a healthy","cause":"started","needs":[1],"makes_ready":true},{"step":3,"title":"await b healthy","cause":"started","needs":[],"makes_ready":true}]"#,
    );
    let started =
        |second, step: u32| line(second, &format!(r#""event":"step-started","step":{step},"title":"x""#));
    let finished = |second, step: u32| {
        line(
            second,
            &format!(
                r#""event":"step-finished","step":{step},"title":"x","outcome":{{"result":"done"}},"took":1.0"#
            ),
        )
    };
    let steps = [
        started(1, 1),
        started(1, 3),
        finished(2, 1),
        started(2, 2),
        finished(3, 3),
        line(4, r#""event":"log","service":"a","stderr":false,"line":"{}""#),
        finished(9, 2),
    ]
    .concat();
    let up = line(9, r#""event":"summary","services":[]"#);
    let later = line(20, r#""event":"planned","steps":[]"#);

    let start = read(&format!("{began}{planned}{steps}{up}{later}")).expect("a start");
    assert_eq!(start.at, "2026-11-25T16:00:00.500Z");
    assert_eq!(path(&start.profile), ["start a 1000-2000", "await a healthy 7000-9000"]);
    assert_eq!(others(&start.profile), ["await b healthy 6000"]);

    // A step that needs none of those before it is in no log that this program wrote.
    let cut = format!("{began}{}{steps}{up}", planned.replace("[1]", "[0]"));
    for none in
        [format!("{began}{planned}{steps}"), format!("{began}{up}"), cut, String::new(), "no log".to_owned()]
    {
        assert_eq!(read(&none), None, "{none}");
    }
}
