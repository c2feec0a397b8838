//! What is refused before it serves: its world, its imports, its settings, its content, its golden cases.

use super::*;
use crate::wasi::printing;

#[test]
fn a_wrong_world_is_refused() {
    let (dir, policies) = guarded();
    put(
        dir.path(),
        "guard.wasm",
        wat::parse_str("(component)").unwrap(),
    );
    refused(&policies, "not a policy");
}

#[test]
fn an_ungranted_import_is_refused() {
    let (dir, policies) = guarded();
    put(dir.path(), "guard.wasm", printing("").build());
    refused(&policies, "wasi = true");
    put(dir.path(), "guard.toml", "[grants]\nwasi = true\n");
    eventually("granted, it serves", || {
        serving(&policies, "guard").number == 2
    });
}

#[test]
fn bad_settings_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let schema = r#"{"type":"object","properties":{"limit":{"type":"integer"}},"additionalProperties":false}"#;
    put(
        dir.path(),
        "guard.wasm",
        Guest {
            schema,
            ..Guest::default()
        }
        .build(),
    );
    put(dir.path(), "guard.toml", "[settings]\nlimit = 3\n");
    let policies = watching(dir.path(), BTreeMap::new());
    assert_eq!(&*serving(&policies, "guard").settings, r#"{"limit":3}"#);
    put(dir.path(), "guard.toml", "[settings]\nlimit = \"three\"\n");
    refused(&policies, "settings.limit");
    put(dir.path(), "guard.toml", "modus = \"enforce\"\n");
    refused(&policies, "modus");
    put(dir.path(), "guard.toml", "[limits]\ncpu_ms = 0\n");
    refused(&policies, "cpu_ms");
    put(
        dir.path(),
        "guard.toml",
        "[grants]\nactions = [\"explode\"]\n",
    );
    refused(&policies, "explode");
    // Valid under the schema, but not to the policy itself.
    put(dir.path(), "guard.toml", "[settings]\nlimit = 3\n");
    eventually("the error is gone", || {
        last_error(&policies, "guard").is_empty()
    });
    put(
        dir.path(),
        "guard.wasm",
        Guest {
            configure: "(return {error})",
            error: "`limit` must be even".into(),
            ..Guest::default()
        }
        .build(),
    );
    refused(&policies, "must be even");
}

#[test]
fn a_pinned_digest_is_kept() {
    let (dir, policies) = guarded();
    let digest = serving(&policies, "guard").digest.clone();
    put(
        dir.path(),
        "guard.toml",
        format!("digest = \"sha256:{digest}\"\n"),
    );
    eventually("it is pinned", || serving(&policies, "guard").number == 2);
    put(dir.path(), "guard.wasm", version("2.0.0"));
    eventually("it is refused", || {
        last_error(&policies, "guard").contains("trust")
    });
    assert_eq!(serves(&policies), "1.0.0");
}

#[test]
fn golden_cases_that_fail_are_refused() {
    let (dir, policies) = guarded();
    let case = |summary: &str| {
        format!(
            r#"[{{"name":"says it","calls":[{{"checkpoint":"stream","events":[{{"kind":"text","channel":"output","text":"x"}}],
                "expect":{{"findings":[{{"kind":"guest.seen","summary":"{summary}"}}]}}}}]}}]"#
        )
    };
    let golden = |summary| {
        Guest {
            golden: Some(case(summary)),
            version: "2.0.0",
            ..Guest::default()
        }
        .build()
    };
    put(dir.path(), "guard.wasm", golden("something else"));
    refused(&policies, "says it");
    put(dir.path(), "guard.wasm", golden("x"));
    eventually("cases that hold are no obstacle", || {
        serves(&policies) == "2.0.0"
    });
}

#[test]
fn what_was_said_last_is_rehearsed() {
    let (dir, policies) = guarded();
    // Dies at what the old generation was told: four events at once.
    let mut old = seat(&policies, "guard");
    old.observe(&batch(4)).unwrap();
    let dies =
        Guest::observing("(if (i32.eq (local.get 9) (i32.const 40)) (then unreachable))").build();
    put(dir.path(), "guard.wasm", dies);
    refused(&policies, "rehearse");
}

#[test]
fn a_name_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "Mein Wächter.wasm", version("1.0.0"));
    let policies = watching(dir.path(), BTreeMap::new());
    assert!(policies.current().entries.is_empty());
    assert!(last_error(&policies, "Mein Wächter").contains("rename it"));
}
