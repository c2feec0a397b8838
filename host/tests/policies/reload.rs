//! Changes of the policy directory, by real files and real notices: whatever goes wrong, what served goes on serving.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use airlock::policy::{
    FaultKind, Grants, Mode, Move, Moved, OnFailure, Policies, PolicyEvent, PolicySettings,
    PolicySpec, Seat, Services, State,
};
use tempfile::TempDir;

use crate::guests::Guest;
use crate::support::*;

fn version(version: &'static str) -> Vec<u8> {
    Guest {
        version,
        ..Guest::default()
    }
    .build()
}

fn put(dir: &Path, file: &str, bytes: impl AsRef<[u8]>) {
    fs::write(dir.join(file), bytes).unwrap();
}

/// A directory with `guard.wasm` 1.0.0, and a registry that serves it.
fn guarded() -> (TempDir, std::sync::Arc<Policies>) {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "guard.wasm", version("1.0.0"));
    let policies = watching(dir.path(), BTreeMap::new());
    assert_eq!(serves(&policies), "1.0.0");
    (dir, policies)
}

fn serves(policies: &Policies) -> String {
    policies
        .current()
        .get("guard")
        .map(|g| g.description.version.clone())
        .unwrap_or_default()
}

/// Something is refused, for a reason that contains this, and 1.0.0 goes on serving.
fn refused(policies: &Policies, reason: &str) {
    eventually(&format!("refused with `{reason}`"), || {
        last_error(policies, "guard").contains(reason)
    });
    assert_eq!(serves(policies), "1.0.0", "the old generation goes on");
    assert_eq!(observe(&mut seat(policies, "guard")).unwrap(), 1);
    assert_eq!(serving(policies, "guard").number, 1);
}

#[test]
fn a_dropped_file_loads_with_the_directory_s_grants() {
    let dir = tempfile::tempdir().unwrap();
    let policies = watching(dir.path(), BTreeMap::new());
    let mut events = policies.events();
    let wants_more = Guest {
        actions: vec!["annotate", "block"],
        asks: vec!["judge"],
        ..Guest::default()
    };
    put(dir.path(), "guard.wasm", wants_more.build());
    eventually("it serves", || serves(&policies) == "1.0.0");
    let guard = serving(&policies, "guard");
    assert!(guard.may("annotate") && !guard.may("block"));
    assert_eq!(guard.ungranted, ["block", "ask judge"]);
    assert_eq!(
        guard.on_failure,
        OnFailure::Open,
        "it may not block, so it must not block by failing"
    );
    eventually("the event says so loudly", || {
        told(&mut events)
            .iter()
            .any(|e| matches!(e, PolicyEvent::Loaded { ungranted, .. } if *ungranted == ["block", "ask judge"]))
    });
    // The file beside it grants, and reloads.
    put(
        dir.path(),
        "guard.toml",
        "mode = \"observe\"\n[grants]\nsees = [\"text\"]\nactions = [\"block\"]\n",
    );
    eventually("the grants took", || {
        serving(&policies, "guard").may("block")
    });
    let guard = serving(&policies, "guard");
    assert_eq!(
        (guard.number, guard.mode, guard.enforces()),
        (2, Mode::Observe, false)
    );
    fs::remove_file(dir.path().join("guard.toml")).unwrap();
    eventually("the grants went with the file", || {
        !serving(&policies, "guard").may("block")
    });
}

#[test]
fn a_replacement_takes_over() {
    let (dir, policies) = guarded();
    let before = policies.current();
    put(dir.path(), "guard.wasm", version("2.0.0"));
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    let guard = serving(&policies, "guard");
    assert_eq!((guard.number, guard.state()), (2, State::Probation));
    assert_eq!(guard.previous().unwrap().number, 1);
    assert_eq!(
        before.get("guard").unwrap().number,
        1,
        "who holds the old set keeps it whole"
    );
    assert!(policies.current().version > before.version);
}

#[test]
fn an_editor_s_rename_takes_over() {
    let (dir, policies) = guarded();
    for new in ["2.0.0", "3.0.0"] {
        put(
            dir.path(),
            ".guard.wasm.swp",
            version(if new == "2.0.0" { "2.0.0" } else { "3.0.0" }),
        );
        fs::rename(
            dir.path().join(".guard.wasm.swp"),
            dir.path().join("guard.wasm"),
        )
        .unwrap();
        eventually("the renamed file serves", || serves(&policies) == new);
    }
}

#[test]
fn a_symlink_swap_takes_over() {
    // As a mounted ConfigMap: guard.wasm -> ..data/guard.wasm, ..data -> ..v1, and ..data is swapped.
    let dir = tempfile::tempdir().unwrap();
    for (folder, v) in [("..v1", "1.0.0"), ("..v2", "2.0.0")] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        put(
            &dir.path().join(folder),
            "guard.wasm",
            Guest {
                version: v,
                ..Guest::default()
            }
            .build(),
        );
    }
    symlink("..v1", dir.path().join("..data")).unwrap();
    symlink("..data/guard.wasm", dir.path().join("guard.wasm")).unwrap();
    let policies = watching(dir.path(), BTreeMap::new());
    assert_eq!(
        serves(&policies),
        "1.0.0",
        "{}",
        last_error(&policies, "guard")
    );
    symlink("..v2", dir.path().join("..new")).unwrap();
    fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
    eventually("the other folder serves", || serves(&policies) == "2.0.0");
}

#[test]
fn a_symlink_that_leaves_the_directory_is_refused() {
    let (dir, policies) = guarded();
    let elsewhere = tempfile::tempdir().unwrap();
    put(elsewhere.path(), "guard.wasm", version("2.0.0"));
    symlink(elsewhere.path().join("guard.wasm"), dir.path().join("new")).unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("guard.wasm")).unwrap();
    refused(&policies, "leaves its directory");
}

#[test]
fn an_invalid_file_is_refused() {
    let (dir, policies) = guarded();
    put(dir.path(), "guard.wasm", "this is no component");
    refused(&policies, "validate");
    // And the old content again: no new generation, and the error is gone.
    put(dir.path(), "guard.wasm", version("1.0.0"));
    eventually("the error is gone", || {
        last_error(&policies, "guard").is_empty()
    });
    assert_eq!(serving(&policies, "guard").number, 1);
}

#[test]
fn a_core_module_is_refused() {
    let (dir, policies) = guarded();
    put(
        dir.path(),
        "guard.wasm",
        wat::parse_str("(module)").unwrap(),
    );
    refused(&policies, "core module");
}

#[test]
fn a_truncated_file_is_refused_but_not_at_once() {
    let (dir, policies) = guarded();
    let mut events = policies.events();
    let whole = version("2.0.0");
    put(dir.path(), "guard.wasm", &whole[..whole.len() - 7]);
    policies.rescan();
    assert_eq!(
        last_error(&policies, "guard"),
        "",
        "the first time it is probably still being written"
    );
    refused(&policies, "ends too early");
    assert_eq!(told(&mut events).len(), 1, "said once");
    put(dir.path(), "guard.wasm", whole);
    eventually("the whole file serves", || serves(&policies) == "2.0.0");
    assert_eq!(last_error(&policies, "guard"), "");
}

#[test]
fn a_slow_write_never_serves_half() {
    let (dir, policies) = guarded();
    let mut events = policies.events();
    let whole = version("2.0.0");
    let mut file = fs::File::create(dir.path().join("guard.wasm")).unwrap();
    for piece in whole.chunks(whole.len() / 8 + 1) {
        file.write_all(piece).unwrap();
        file.sync_all().unwrap();
        assert_eq!(serves(&policies), "1.0.0");
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    drop(file);
    eventually("the whole file serves", || serves(&policies) == "2.0.0");
    assert!(
        !told(&mut events)
            .iter()
            .any(|e| matches!(e, PolicyEvent::Refused { .. })),
        "a write that pauses less than the debounce is never complained about"
    );
}

#[test]
fn a_deleted_file_retires_its_policy() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    observe(&mut seat).unwrap();
    fs::remove_file(dir.path().join("guard.wasm")).unwrap();
    eventually("it is retired", || {
        policies.current().get("guard").is_none()
    });
    assert_eq!(seat.generation().state(), State::Retired);
    assert_eq!(observe(&mut seat).unwrap(), 2, "who holds it may end on it");
    put(dir.path(), "guard.wasm", version("1.0.0"));
    eventually("it is back", || policies.current().get("guard").is_some());
    assert_eq!(
        serving(&policies, "guard").number,
        2,
        "numbers are not used twice"
    );
}

#[test]
fn deleting_a_required_policy_does_not_disarm_it() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "guard.wasm", version("1.0.0"));
    let required = PolicySpec {
        required: true,
        ..trusting()
    };
    let policies = watching(dir.path(), [("guard".to_owned(), required.clone())].into());
    let mut events = policies.events();
    fs::remove_file(dir.path().join("guard.wasm")).unwrap();
    eventually("it says so", || {
        last_error(&policies, "guard").contains("no file")
    });
    assert_eq!(serves(&policies), "1.0.0");
    assert!(policies.ready().is_ok());
    assert_eq!(
        told(&mut events),
        [PolicyEvent::Kept {
            name: "guard".into(),
            generation: 1
        }]
    );
    // The operator's word removes it.
    policies.reconfigure(BTreeMap::new()).unwrap();
    assert!(policies.current().entries.is_empty());
}

#[test]
fn a_required_policy_that_never_loaded_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let required = PolicySpec {
        required: true,
        ..trusting()
    };
    let policies = watching(dir.path(), [("guard".to_owned(), required)].into());
    let missing = policies.ready().unwrap_err();
    assert!(missing[0].contains("`guard`"), "{missing:?}");
    put(dir.path(), "guard.wasm", version("1.0.0"));
    eventually("it is ready", || policies.ready().is_ok());
}

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
    let asks = Guest {
        extra: r#"(import "airlock:policy/asking@0.1.0" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        ..Guest::default()
    };
    put(dir.path(), "guard.wasm", asks.build());
    refused(&policies, "link");
    put(dir.path(), "guard.toml", "[grants]\nasks = [\"judge\"]\n");
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
            settings_error: "`limit` must be even",
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
        Guest::observing("(if (i32.eq (local.get 9) (i32.const 4)) (then unreachable))").build();
    put(dir.path(), "guard.wasm", dies);
    refused(&policies, "rehearse");
}

#[test]
fn a_session_moves_with_its_memory() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    for n in 1..=3 {
        assert_eq!(observe(&mut seat).unwrap(), n);
    }
    put(dir.path(), "guard.wasm", version("2.0.0"));
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    assert_eq!(
        observe(&mut seat).unwrap(),
        4,
        "until it moves, it goes on where it is"
    );
    assert_eq!(seat.move_to(serving(&policies, "guard")), Moved::Migrated);
    assert_eq!(seat.generation().number, 2);
    assert_eq!(observe(&mut seat).unwrap(), 5);
    // Into another process.
    seat.settle().unwrap();
    let saved = serde_json::to_string(seat.saved().unwrap()).unwrap();
    let mut elsewhere = Seat::new(serving(&policies, "guard"), facts("s1"), Services::none());
    elsewhere.restore_from(serde_json::from_str(&saved).unwrap());
    assert_eq!(observe(&mut elsewhere).unwrap(), 6);
}

#[test]
fn a_session_stays_where_its_memory_is_understood() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    observe(&mut seat).unwrap();
    put(
        dir.path(),
        "guard.wasm",
        Guest {
            version: "2.0.0",
            restore: "unreachable",
            ..Guest::default()
        }
        .build(),
    );
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    let moved = seat.move_to(serving(&policies, "guard"));
    assert!(
        matches!(&moved, Moved::Pinned(why) if why.contains("trap")),
        "{moved:?}"
    );
    assert_eq!(seat.generation().number, 1);
    assert_eq!(observe(&mut seat).unwrap(), 2);
}

#[test]
fn a_pinned_session_stays() {
    let (dir, policies) = guarded();
    let mut seat = seat(&policies, "guard");
    observe(&mut seat).unwrap();
    put(dir.path(), "guard.toml", "on_reload = \"pin\"\n");
    eventually("the spec took", || {
        serving(&policies, "guard").on_reload == Move::Pin
    });
    assert!(matches!(
        seat.move_to(serving(&policies, "guard")),
        Moved::Pinned(_)
    ));
    assert_eq!(observe(&mut seat).unwrap(), 2);
}

#[test]
fn a_generation_that_misbehaves_in_probation_is_rolled_back() {
    let (dir, policies) = guarded();
    let mut events = policies.events();
    let mut old = seat(&policies, "guard");
    observe(&mut old).unwrap();
    // Passes its rehearsal and dies at the fifth call.
    let bad = Guest {
        version: "2.0.0",
        ..Guest::observing("(if (i32.eq (global.get $count) (i32.const 5)) (then unreachable))")
    };
    put(dir.path(), "guard.wasm", bad.build());
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    let mut seat = seat(&policies, "guard");
    assert_eq!(old.move_to(serving(&policies, "guard")), Moved::Migrated);
    for n in 1..=4 {
        assert_eq!(observe(&mut seat).unwrap(), n);
    }
    assert_eq!(observe(&mut seat).unwrap_err().kind, FaultKind::Trap);
    assert_eq!(serves(&policies), "1.0.0", "at once, not at the next look");
    assert!(last_error(&policies, "guard").contains("rolled back"));
    assert_eq!(seat.generation().state(), State::Retired);
    assert!(
        told(&mut events).iter().any(|e| matches!(e, PolicyEvent::RolledBack { from: 2, to: 1, reason, .. } if reason.contains("trap"))),
    );
    assert_eq!(seat.move_to(serving(&policies, "guard")), Moved::Migrated);
    assert_eq!(
        observe(&mut seat).unwrap(),
        5,
        "the killing call did not count, the others did"
    );
    assert_eq!(old.move_to(serving(&policies, "guard")), Moved::Migrated);
    assert_eq!(observe(&mut old).unwrap(), 2);
    // The same content stays refused; another one is tried.
    policies.rescan();
    put(dir.path(), "guard.wasm", bad.build());
    policies.rescan();
    assert_eq!(serves(&policies), "1.0.0");
    put(dir.path(), "guard.wasm", version("3.0.0"));
    eventually("3.0.0 serves", || serves(&policies) == "3.0.0");
    assert_eq!(serving(&policies, "guard").number, 3);
}

#[test]
fn the_operator_can_roll_back() {
    let (dir, policies) = guarded();
    assert!(
        policies
            .rollback("guard")
            .unwrap_err()
            .to_string()
            .contains("no predecessor")
    );
    put(dir.path(), "guard.wasm", version("2.0.0"));
    eventually("2.0.0 serves", || serves(&policies) == "2.0.0");
    assert_eq!(policies.rollback("guard").unwrap(), 1);
    policies.rescan();
    assert_eq!(serves(&policies), "1.0.0");
    assert!(policies.rollback("nobody").is_err());
}

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
    put(dir.path(), "other.wasm", version("1.0.0"));
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
fn a_name_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "Mein Wächter.wasm", version("1.0.0"));
    let policies = watching(dir.path(), BTreeMap::new());
    assert!(policies.current().entries.is_empty());
    assert!(last_error(&policies, "Mein Wächter").contains("rename it"));
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
    use airlock::contract::types::EventKind;
    let guard = serving(&policies, "guard");
    assert!(guard.sees(EventKind::Text) && !guard.sees(EventKind::Message));
}
