//! A component is what its file or its entry says it is, or what the operator says that it calls itself.

use super::*;

/// A component that calls itself `x`.
fn x() -> Vec<u8> {
    Guest::default().named("x").build()
}

fn calls_itself(policies: &Policies, name: &str) -> String {
    serving(policies, name).description.name.clone()
}

#[test]
fn a_renamed_file_is_refused_with_both_ways_out() {
    let (dir, policies) = guarded();
    put(dir.path(), "guard.wasm", x());
    refused(&policies, "it calls itself `x`");
    let why = last_error(&policies, "guard");
    assert!(why.starts_with("describe: "), "{why}");
    assert!(why.contains("name its file `x.wasm`"), "{why}");
    assert!(why.contains("`component = \"x\"` for `guard`"), "{why}");
    // The second way out. The first is `x.wasm`, below.
    put(dir.path(), "guard.toml", "component = \"x\"\n");
    eventually("the operator says so, and it serves", || {
        serving(&policies, "guard").number == 2
    });
    assert_eq!(calls_itself(&policies, "guard"), "x");
    put(dir.path(), "x.wasm", x());
    eventually("it has the name of its file", || {
        policies.current().get("x").is_some()
    });
}

#[test]
fn what_the_operator_says_it_calls_itself_must_be_so() {
    let (dir, policies) = guarded();
    put(dir.path(), "guard.toml", "component = \"x\"\n");
    refused(
        &policies,
        "it calls itself `guard` where `component = \"x\"`",
    );
}

#[test]
fn an_entry_with_a_file_of_another_name_takes_that_name() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "x.wasm", x());
    put(dir.path(), "y.wasm", x());
    let entry = |file: &str, component: Option<&str>| PolicySpec {
        file: Some(dir.path().join(file)),
        component: component.map(Into::into),
        ..trusting()
    };
    let specs = [
        ("strict".to_owned(), entry("x.wasm", None)),
        ("x".to_owned(), entry("y.wasm", None)),
        ("stated".to_owned(), entry("y.wasm", Some("x"))),
        ("wrong".to_owned(), entry("y.wasm", None)),
    ];
    let policies = Policies::start(PolicySettings {
        specs: specs.into(),
        ..settings()
    })
    .unwrap();
    for name in ["strict", "x", "stated"] {
        assert_eq!(calls_itself(&policies, name), "x", "{name}");
    }
    assert!(policies.current().get("wrong").is_none());
    let why = last_error(&policies, "wrong");
    assert!(
        why.contains("`x`") && why.contains("component = \"x\""),
        "{why}"
    );
}

#[test]
fn a_built_in_policy_has_the_name_of_its_entry() {
    let start = |component: Option<&str>| {
        let spec = PolicySpec {
            component: component.map(Into::into),
            ..trusting()
        };
        Policies::start(PolicySettings {
            builtins: vec![("strict".into(), x().into())],
            specs: [("strict".to_owned(), spec)].into(),
            ..settings()
        })
        .unwrap()
    };
    assert!(last_error(&start(None), "strict").contains("component = \"x\""));
    assert_eq!(calls_itself(&start(Some("x")), "strict"), "x");
}
