//! Changes of the policy directory, by real files and real notices: whatever goes wrong, what served goes on serving.

mod entries;
mod moves;
mod names;
mod refusals;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use airlock_policy::{
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
