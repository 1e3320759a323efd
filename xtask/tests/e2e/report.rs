//! What Prometheus has seen, told: by `status`, and by `report` as a page that a real browser opens from the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::browser::{Browser, Scheme};
use crate::checkout::{Checkout, until};
use crate::engine;
use crate::http;
use crate::traffic::Traffic;

/// A phone held upright, and a laptop's window.
const WIDTHS: [u32; 2] = [360, 1280];

/// Every picture of a stack with traffic. Whether an alert fires while the stack is made is left to chance.
const PICTURES: [&str; 12] = [
    "cache",
    "errors",
    "heat",
    "in-flight",
    "latency",
    "memory",
    "pool",
    "processor",
    "starts",
    "startup",
    "traffic",
    "visitors",
];

/// The names behind an attribute, wherever it is.
fn named(page: &str, attribute: &str) -> BTreeSet<String> {
    let start = format!("{attribute}=\"");
    let found = page.split(&start).skip(1);
    found.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

/// The figures of the last minute, as `status` has them.
fn last_minute(checkout: &Checkout) -> Value {
    checkout.run(&["status", "--format", "json"]).expect(0).event("last-minute")["figures"].clone()
}

/// Makes a report and reads it.
fn report(checkout: &Checkout, path: &Path) -> String {
    let path = path.display().to_string();
    let ended = checkout.run(&["report", "--since", "10m", "--output", &path]).expect(0);
    assert_eq!(ended.stdout().trim_end(), path, "the path is what it answers with");
    fs::read_to_string(&path).expect("it was written")
}

fn status_tells_the_last_minute(checkout: &Checkout) {
    let figures = until("Prometheus has a minute's figures", || {
        let figures = last_minute(checkout);
        // A rate wants a second look at the counter, the latency's is there after the first.
        let has_rate = figures["requests_per_second"].as_f64() > Some(0.0);
        (has_rate && figures["p95_seconds"].is_f64()).then_some(figures)
    });
    let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {figures}"));
    assert_eq!(figures["result"], "measured");
    assert!(number("requests_per_second") > 0.0 && number("p95_seconds") > 0.0, "{figures}");
    assert!((0.0..=1.0).contains(&number("error_ratio")), "{figures}");
    // One answer of Prometheus may come too late for a person.
    until("a person is told them", || {
        let human = checkout.run(&["status"]).expect(0).stdout();
        let line = human.lines().last().expect("lines");
        let told =
            line.starts_with("last minute: ") && line.contains(" requests/s, ") && line.contains("p95 ");
        told.then_some(())
    });
}

/// While nobody looks, somebody asks.
fn what_came_before_the_first_look_counts(checkout: &Checkout, base: &str, path: &Path) {
    let prometheus = format!("{}-prometheus", checkout.name());
    engine::stop_container(&prometheus, 30);
    for _ in 0..7 {
        assert_eq!(http::get(&format!("{base}/api/visitors")).status, 200);
    }
    engine::start_container(&prometheus);
    until("the page counts them", || {
        report(checkout, path)
            .contains("<th scope=\"row\">Requests</th><td class=\"figure\">7</td>")
            .then_some(())
    });
}

fn a_browser_shows_all_of_it(browser: &Browser, page: &Path) {
    let (document, complaints) = browser.open(page, &[]);
    assert_eq!(complaints, Vec::<String>::new(), "whatever is fetched or run is refused, and told here");
    assert!(document.contains("default-src 'none'"), "by the page's own policy");
    let light = browser.measure(page, &WIDTHS, Scheme::Light);
    let dark = browser.measure(page, &WIDTHS, Scheme::Dark);
    for width in WIDTHS {
        let seen = &light[width.to_string()];
        assert_eq!(seen["needed"], seen["width"], "nothing is wider than {width} pixels");
        assert_ne!(seen["background"], dark[width.to_string()]["background"], "dark is another scheme");
        assert_eq!(seen["requested"], Value::Array(Vec::new()), "nothing is fetched");
        let pictures = seen["pictures"].as_object().expect("an object");
        for name in PICTURES {
            let picture = pictures.get(name).unwrap_or_else(|| panic!("no {name} in {pictures:?}"));
            assert!(picture["drawn"].as_u64() > Some(0), "{name} is empty: {picture}");
        }
        for (name, picture) in pictures {
            let told = |key: &str| picture[key].as_str().is_some_and(|text| !text.is_empty());
            assert_eq!(picture["drawn"], picture["values"], "{name} at {width}");
            assert_eq!(picture["overlapping"], Value::Array(Vec::new()), "{name} at {width}");
            assert_eq!(picture["outside"], Value::Array(Vec::new()), "{name} at {width}");
            assert!(told("title") && told("description"), "{name}: {picture}");
            assert!(picture["smallest"].as_f64() > Some(10.5), "letters of {name} at {width}: {picture}");
        }
    }
}

#[test]
fn what_prometheus_has_seen_is_told_by_status_and_shown_by_a_page() {
    let checkout = Checkout::full("report");
    checkout.up();
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo's directory for tests");
    let path = directory.path().join("report.html");
    let base = format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_SERVICE_PORT"));

    http::until_ready(&base);
    what_came_before_the_first_look_counts(&checkout, &base, &path);
    let traffic = Traffic::start(&base, 2);
    status_tells_the_last_minute(&checkout);
    until("every picture has data", || {
        let page = report(&checkout, &path);
        let shown = named(&page, "data-picture");
        PICTURES.iter().all(|picture| shown.contains(*picture)).then_some(())
    });
    drop(traffic);
    let page = fs::read_to_string(&path).expect("it is there");
    for told in [checkout.name(), "10m", "Version of the service: dev", "Worst minute"] {
        assert!(page.contains(told), "{told}");
    }
    if let Some(browser) = Browser::find() {
        a_browser_shows_all_of_it(&browser, &path);
    }

    // Without Prometheus both say so, and what it does not know is told all the same.
    engine::stop_container(&format!("{}-prometheus", checkout.name()), 30);
    let figures = last_minute(&checkout);
    assert_eq!(figures["result"], "unknown");
    assert!(
        figures["why"].as_str().is_some_and(|why| why.contains("service prometheus is stopped")),
        "{figures}"
    );
    let page = report(&checkout, &path);
    assert!(page.contains("No data: Prometheus cannot be asked: service prometheus is stopped."));
    assert_eq!(named(&page, "data-picture"), BTreeSet::from(["startup".to_owned()]));
}
