//! What `cargo xtask test` says of tests that fail, did not run or do not compile: in its exit status, as `JUnit` XML and as
//! JSON. The tests are those of a workspace of two files.

use crate::checkout::Checkout;

/// A stack that the tests of the workspace do not need.
const STACK: &str = include_str!("stacks/single.yaml");

/// A workspace whose package `service` has this program of tests.
fn workspace(test: &str, source: &str) -> Checkout {
    let checkout = Checkout::small(test, STACK);
    checkout.write("Cargo.toml", "[workspace]\nmembers = [\"service\"]\nresolver = \"3\"\n");
    let manifest = "[package]\nname = \"service\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    checkout.write("service/Cargo.toml", manifest);
    checkout.write("service/src/lib.rs", "");
    checkout.write("service/tests/story.rs", source);
    // As cargo would write it: there are no dependencies.
    let lock = "version = 4\n\n[[package]]\nname = \"service\"\nversion = \"1.0.0\"\n";
    checkout.write("Cargo.lock", lock);
    checkout
}

fn junit(checkout: &Checkout) -> String {
    let path = checkout.root().join("target/homeport/tests/junit.xml");
    std::fs::read_to_string(path).expect("it was written")
}

#[test]
fn a_failing_test_is_named_wherever_results_are_read() {
    // What a test prints itself, the harness catches; what left out tests print comes from beside it.
    let source = "#[test] fn calm() {}\n#[test] fn bad() { assert_eq!(1, 2, \"so it is\") }\n\
                  #[test] fn calm_too() { std::io::Write::write_all(&mut std::io::stdout(), \
                  b\"not run: calm_too: there is no moon\\n\").unwrap() }\n";
    let checkout = workspace("reporting", source);
    let ended = checkout.run(&["test", "integration", "--format", "json"]).expect(8);
    let tested = ended.event("tested");
    let cases = tested["suites"][0]["programs"][0]["cases"].as_array().expect("cases").clone();
    let outcome = |name: &str| {
        cases.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("no {name}"))["outcome"]
            .clone()
    };
    assert_eq!(["calm", "bad", "calm_too"].map(outcome), ["passed", "failed", "skipped"]);
    let xml = junit(&checkout);
    assert!(xml.contains("name=\"bad\"") && xml.contains("so it is"), "{xml}");
    assert!(xml.contains("failures=\"1\""), "{xml}");
    // A pipeline's word is for all tests.
    let left_out = ["test", "integration", "calm"];
    checkout.xtask(&left_out).env("CI", "false").run().expect(0);
    let ended = checkout.xtask(&left_out).env("CI", "true").run().expect(8);
    assert!(ended.stderr().contains("1 left out"), "{}", ended.stderr());
    assert!(!junit(&checkout).contains("bad"), "an earlier run's results are not this one's");
}

#[test]
fn tests_that_do_not_compile_are_a_failure_with_the_compilers_words() {
    let checkout = workspace("uncompiled", "#[test] fn good() { no_such_function() }\n");
    let ended = checkout.run(&["test", "integration"]).expect(8);
    assert!(ended.stderr().contains("no_such_function"), "{}", ended.stderr());
    let xml = junit(&checkout);
    assert!(xml.contains("<failure") || xml.contains("<error"), "{xml}");
}
