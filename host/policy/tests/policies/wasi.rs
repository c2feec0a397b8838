//! Policies whose runtime insists on a WASI: what they print reaches the operator, and they find nothing else there.

use airlock_policy::{FaultKind, PolicySpec};

use crate::guests::Guest;
use crate::support::*;

/// As much of WASI as it takes to print.
const IO: &str = "package wasi:io@0.2.0;
    interface error { resource error; }
    interface streams {
      use error.{error};
      variant stream-error { last-operation-failed(error), closed }
      resource output-stream {
        blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
      }
    }";
const CLI: &str = "package wasi:cli@0.2.0;
    interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
    interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }";

/// A guest that imports WASI. `$hello` prints a line to the standard output, `$traceback` many lines to the standard error.
pub fn printing(observe: &'static str) -> Guest {
    Guest {
        contract: vec![(
            "world policy {",
            "world policy { import wasi:cli/stdout@0.2.0; import wasi:cli/stderr@0.2.0;",
        )],
        packages: vec![IO, CLI],
        extra: r#"
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (data (i32.const 30000) "hello\n  at line\nValueError: no\n")
  (func $hello (call $write (call $stdout) (i32.const 30000) (i32.const 6) (i32.const 16)))
  (func $traceback (local $stream i32) (local $line i32)
    (local.set $stream (call $stderr))
    (loop $more
      (call $write (local.get $stream) (i32.const 30006) (i32.const 10) (i32.const 16))
      (local.set $line (i32.add (local.get $line) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $line) (i32.const 100))))
    (call $write (local.get $stream) (i32.const 30016) (i32.const 15) (i32.const 16)))"#,
        ..Guest::observing(observe)
    }
}

fn with_wasi() -> PolicySpec {
    let mut spec = trusting();
    if let Some(grants) = &mut spec.grants {
        grants.wasi = true;
    }
    spec
}

#[test]
fn what_it_prints_reaches_its_log() {
    let guest = printing("(call $hello) (call $traceback)");
    let policies = with_policies(&[("python", &guest, with_wasi())]);
    let mut seat = seat(&policies, "python");
    let (count, log) = logged(|| observe(&mut seat).unwrap());
    assert_eq!(count, 1);
    let trace = ["  at line"; 100].join("\n");
    assert_eq!(
        log,
        [
            "INFO hello".to_owned(),
            format!("WARN {trace}\nValueError: no")
        ]
    );
}

#[test]
fn what_it_printed_last_says_why_it_failed() {
    let guest = printing(
        "(call $hello) (call $traceback) (if (i32.eq (global.get $count) (i32.const 2)) (then unreachable))",
    );
    let policies = with_policies(&[("python", &guest, with_wasi())]);
    let mut seat = seat(&policies, "python");
    observe(&mut seat).unwrap();
    let (fault, log) = logged(|| observe(&mut seat).unwrap_err());
    assert_eq!(fault.kind, FaultKind::Trap, "{fault}");
    assert!(fault.message.contains("its last words: "), "{fault}");
    assert!(fault.message.ends_with("\nValueError: no"), "{fault}");
    assert!(
        fault.message.len() < 1024,
        "the end of a traceback, not all of it"
    );
    assert_eq!(log.len(), 2);
    // The next call begins with the first one told again, which prints nothing a second time.
    let (_, log) = logged(|| observe(&mut seat).unwrap_err());
    assert_eq!(log.len(), 2, "{log:?}");
}

/// The runtime's WASI blocks on an async runtime, which panics on that runtime's own threads: such a policy's calls must
/// work from there all the same.
#[tokio::test]
async fn uses_a_wasi_with_nothing_behind_it() {
    let policies = with_policies(&[
        ("wasi", &Guest::default(), with_wasi()),
        ("bad", &Guest::observing("(loop $l (br $l))"), with_wasi()),
    ]);
    let mut seat = seat(&policies, "wasi");
    assert_eq!(observe(&mut seat).unwrap(), 1);
    assert_eq!(observe(&mut seat).unwrap(), 2);
    let fault = observe(&mut crate::support::seat(&policies, "bad")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
}
