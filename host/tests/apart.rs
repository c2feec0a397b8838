//! Components that are made to keep a loader busy, put before the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

#[allow(
    dead_code,
    reason = "shared with the tests of the crate airlock-policy"
)]
#[path = "../policy/tests/policies/guests.rs"]
mod guests;

use guests::Guest;

/// Far more than any of it takes: what is not there then never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A schema of a few kilobytes under which one value is looked at 2^40 times.
fn multiplying() -> Guest {
    let mut schema = r##"{"$ref":"#/$defs/a40","$defs":{"a0":{"type":"object"}"##.to_owned();
    for n in 1..=40 {
        let below = format!(r##"{{"$ref":"#/$defs/a{}"}}"##, n - 1);
        write!(schema, r#","a{n}":{{"allOf":[{below},{below}]}}"#).unwrap();
    }
    schema.push_str("}}");
    Guest {
        name: "spins",
        schema: schema.leak(),
        ..Guest::default()
    }
}

/// One function with thousands of variables that are alive across thousands of loops.
fn entangled() -> Guest {
    let mut code = "(func $heavy (result i64) (local".to_owned();
    code.push_str(&" i64".repeat(6_000));
    code.push(')');
    for n in 0..9_000 {
        let (a, b, c) = (n % 6_000, n * 7 % 6_000, n * 13 % 6_000);
        write!(
            code,
            "(loop (local.set {a} (i64.add (local.get {b}) (local.get {c}))) (br_if 0 (i32.wrap_i64 (local.get {a}))))"
        )
        .unwrap();
    }
    code.push_str("(local.get 0))");
    Guest {
        name: "swells",
        extra: code.leak(),
        ..Guest::default()
    }
}

struct Airlock {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Airlock {
    fn serve(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_airlock"))
            .arg("serve")
            .arg("--config")
            .arg(dir.join("airlock.toml"))
            .env("NO_COLOR", "1")
            .env("A_SECRET", "swordfish")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, lines) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with all these words.
    fn says(&mut self, words: &[&str]) {
        let fits = |line: &String| words.iter().all(|word| line.contains(word));
        while !self.seen.iter().any(fits) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("{words:?} is not in:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(std::time::Instant::now() < end, "it does not end");
            // Only so that waiting costs little.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Airlock {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn directory(limits: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    std::fs::write(
        dir.path().join("airlock.toml"),
        format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [data]\ndir = \"data\"\n[policies]\ndir = \"policies\"\n\
             [upstream.a]\nbase_url = \"http://127.0.0.1:9/v1\"\n[limits]\n{limits}\n"
        ),
    )
    .unwrap();
    dir
}

fn put(dir: &Path, name: &str, guest: &Guest) {
    let policies = dir.join("policies");
    std::fs::write(
        policies.join(".new"),
        guest.named(name.to_owned().leak()).build(),
    )
    .unwrap();
    std::fs::rename(policies.join(".new"), policies.join(format!("{name}.wasm"))).unwrap();
}

#[test]
fn a_component_that_keeps_the_loader_busy_is_refused_by_name_and_its_neighbours_load() {
    let dir = directory("compile_seconds = 5\ncompile_mib = 512");
    put(dir.path(), "entangled", &entangled());
    put(dir.path(), "multiplying", &multiplying());
    put(dir.path(), "neighbour", &Guest::default());
    let mut airlock = Airlock::serve(dir.path());
    airlock.says(&["policy loaded", "neighbour"]);
    airlock.says(&["refused", "multiplying", "limits.compile_seconds"]);
    airlock.says(&["refused", "entangled", "limits.compile_"]);
    airlock.says(&["gateway"]);
    put(dir.path(), "later", &Guest::default());
    airlock.says(&["policy loaded", "later"]);
    assert!(airlock.stop().success());
}

#[test]
fn while_a_component_is_judged_others_load_and_a_signal_ends_the_process() {
    let dir = directory("compile_seconds = 3600");
    let mut airlock = Airlock::serve(dir.path());
    airlock.says(&["gateway"]);
    put(dir.path(), "multiplying", &multiplying());
    put(dir.path(), "neighbour", &Guest::default());
    airlock.says(&["policy loaded", "neighbour"]);
    assert!(airlock.stop().success());
}
