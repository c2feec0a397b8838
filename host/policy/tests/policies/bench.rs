//! What a call costs. Run it by hand:
//! `cargo test --release -p airlock-policy --test policies -- --ignored --nocapture bench`.

use std::time::Instant;

use crate::guests::Guest;
use crate::support::*;

#[test]
#[ignore = "prints numbers; asserts nothing about time"]
fn bench_observe() {
    // Finds nothing: zero bytes are an empty assessment.
    let quiet = Guest::observing("(return (i32.const 32))");
    let policies = with_policies(&[("good", &quiet, trusting())]);
    for events in [1, 16, 50, 64] {
        let (mut seat, batch) = (seat(&policies, "good"), batch(events));
        let mut best = f64::MAX;
        for _ in 0..20 {
            let n = 5_000;
            let start = Instant::now();
            for _ in 0..n {
                seat.observe(&batch).unwrap();
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(n));
        }
        println!("observe x{events}: {best:.3} us a call, with seat, checks and log");
    }
    let start = Instant::now();
    let n = 2_000;
    for _ in 0..n {
        let mut seat = seat(&policies, "good");
        seat.observe(&batch(1)).unwrap();
    }
    println!(
        "open, first call, drop: {:.1} us",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(n)
    );
}
