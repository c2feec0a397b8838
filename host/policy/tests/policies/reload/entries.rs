//! The operator's entries: what they replace, in which order policies serve, what they may see.

use super::*;

#[test]
fn a_file_does_not_replace_a_built_in_policy() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "guard.wasm", version("6.6.6"));
    let start = |spec: Option<PolicySpec>| {
        Policies::start(PolicySettings {
            dir: Some(dir.path().to_owned()),
            builtins: vec![("guard".into(), version("1.0.0").into())],
            specs: spec.map(|s| ("guard".to_owned(), s)).into_iter().collect(),
            ..settings()
        })
        .unwrap()
    };
    let policies = start(None);
    assert_eq!(
        serves(&policies),
        "",
        "no entry: the built-in one does not serve, and the file gets nothing by its name"
    );
    assert!(last_error(&policies, "guard").contains("built in"));
    assert_eq!(serves(&start(Some(trusting()))), "", "said, not guessed");
    let entry = PolicySpec {
        file: Some(dir.path().join("guard.wasm")),
        ..trusting()
    };
    assert_eq!(serves(&start(Some(entry))), "6.6.6");
    fs::remove_file(dir.path().join("guard.wasm")).unwrap();
    let policies = start(Some(PolicySpec::default()));
    assert_eq!(serves(&policies), "1.0.0");
    assert!(
        serving(&policies, "guard").may("annotate"),
        "a built-in policy gets what it asks for"
    );
}

#[test]
fn entries_are_taken_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "guard.wasm", version("1.0.0"));
    put(
        dir.path(),
        "other.wasm",
        Guest::default().named("other").build(),
    );
    let policies = watching(dir.path(), [("guard".to_owned(), trusting())].into());
    let observing = PolicySpec {
        mode: Mode::Observe,
        ..trusting()
    };
    let wrong = PolicySpec {
        digest: Some("00".into()),
        ..trusting()
    };
    let error = policies
        .reconfigure(
            [
                ("guard".to_owned(), observing.clone()),
                ("other".to_owned(), wrong),
            ]
            .into(),
        )
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`other`") && error.contains("digest"),
        "{error}"
    );
    assert_eq!(
        serving(&policies, "guard").mode,
        Mode::Enforce,
        "nothing of it was taken"
    );
    let error = policies
        .reconfigure([("ghost".to_owned(), trusting())].into())
        .unwrap_err()
        .to_string();
    assert!(error.contains("`ghost`"), "{error}");
    policies
        .reconfigure([("guard".to_owned(), observing)].into())
        .unwrap();
    assert_eq!(serving(&policies, "guard").mode, Mode::Observe);
    let off = PolicySpec {
        enabled: false,
        ..trusting()
    };
    policies
        .reconfigure([("guard".to_owned(), off)].into())
        .unwrap();
    assert!(policies.current().get("guard").is_none());
    assert!(policies.current().get("other").is_some());
}

#[test]
fn policies_serve_in_their_order() {
    let at = |order| PolicySpec {
        order,
        ..trusting()
    };
    let guest = Guest::default();
    let policies = with_policies(&[
        ("b", &guest, at(0)),
        ("a", &guest, at(0)),
        ("z", &guest, at(-1)),
    ]);
    let names: Vec<String> = policies
        .current()
        .entries
        .iter()
        .map(|g| g.name.to_string())
        .collect();
    assert_eq!(names, ["z", "a", "b"]);
}

#[test]
fn a_policy_sees_what_it_was_granted() {
    let spec = PolicySpec {
        grants: Some(Grants {
            sees: vec!["text".into()],
            ..Grants::default()
        }),
        ..PolicySpec::default()
    };
    let policies = with_policies(&[("guard", &Guest::default(), spec)]);
    use airlock_policy::contract::types::EventKind;
    let guard = serving(&policies, "guard");
    assert!(guard.sees(EventKind::Text) && !guard.sees(EventKind::Message));
}
