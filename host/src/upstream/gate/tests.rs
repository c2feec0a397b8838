#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::LazyLock;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, poll};

use super::*;

static ME: LazyLock<Whose> = LazyLock::new(|| Whose::Key("ci".to_owned()));

fn limits(concurrent: u32, queued: u32) -> CallLimits {
    CallLimits {
        max_concurrent: concurrent,
        max_queued: queued,
        // Longer than any test: what ends a wait is told by the test.
        queue_ms: 60_000,
        ..CallLimits::default()
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_its_pass_is_dropped() {
    let gates = Gates::default();
    let enter = || {
        gates
            .enter(&ME, limits(2, 0), 0, true)
            .now_or_never()
            .unwrap()
    };
    let (first, second) = (enter().unwrap(), enter().unwrap());
    let full = enter().unwrap_err();
    assert_eq!(full.whose, *ME);
    let text = full.to_string();
    assert!(
        text.contains("the key ci") && text.contains("2 calls at once") && text.contains("1 s"),
        "{text}"
    );
    drop(first);
    let third = enter().unwrap();
    assert!(enter().is_err());
    drop((second, third));
    assert!(enter().is_ok());
}

#[tokio::test]
async fn whoever_waited_longest_is_let_in_first_and_the_line_is_bounded() {
    let gates = Gates::default();
    let enter = || gates.enter(&ME, limits(1, 2), 0, true);
    let inside = enter().await.unwrap();
    let (mut first, mut second, mut third) =
        (Box::pin(enter()), Box::pin(enter()), Box::pin(enter()));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert!(
        third.as_mut().now_or_never().unwrap().is_err(),
        "two may wait"
    );
    drop(inside);
    assert!(poll!(&mut second).is_pending(), "not out of turn");
    assert!(
        enter().now_or_never().is_none_or(|r| r.is_err()),
        "nor from outside"
    );
    let passed = first.await.unwrap();
    assert!(poll!(&mut second).is_pending());
    drop(passed);
    second.await.unwrap();
}

#[tokio::test]
async fn a_wait_is_bounded_and_leaving_the_line_lets_the_next_one_up() {
    let gates = Gates::default();
    let enter = || gates.enter(&ME, limits(1, 9), 0, true);
    let inside = enter().await.unwrap();
    let brief = CallLimits {
        queue_ms: 50,
        ..limits(1, 9)
    };
    let begun = Instant::now();
    assert!(gates.enter(&ME, brief, 0, true).await.is_err());
    assert!(begun.elapsed() >= Duration::from_millis(50), "it waited");
    let (mut leaves, mut stays) = (Box::pin(enter()), Box::pin(enter()));
    assert!(poll!(&mut leaves).is_pending() && poll!(&mut stays).is_pending());
    drop((leaves, inside));
    stays.await.unwrap();
    assert!(
        gates.enter(&ME, limits(1, 0), 0, true).await.is_ok(),
        "nobody is left in the line"
    );
}

#[tokio::test]
async fn who_may_not_wait_is_told_at_once() {
    let gates = Gates::default();
    let _inside = gates.enter(&ME, limits(1, 9), 0, true).await.unwrap();
    let refused = gates.enter(&ME, limits(1, 9), 0, false).now_or_never();
    assert!(refused.unwrap().is_err());
}

#[tokio::test]
async fn a_rate_is_waited_for_if_it_comes_in_time() {
    let gates = Gates::default();
    let limits = CallLimits {
        requests_per_minute: 600,
        max_queued: 100,
        queue_ms: 250,
        ..CallLimits::default()
    };
    let all = join_all((0..700).map(|_| gates.enter(&ME, limits, 0, true))).await;
    let passed = all.iter().filter(|r| r.is_ok()).count();
    assert!(
        (601..690).contains(&passed),
        "a minute's worth, and ten a second: {passed}"
    );
    let full = gates.enter(&ME, limits, 0, false).await.unwrap_err();
    assert!(full.after <= Duration::from_millis(100), "{full:?}");
    assert!(full.to_string().contains("600 calls a minute"), "{full}");
}

#[tokio::test]
async fn tokens_are_corrected_when_a_call_ends_and_given_back_when_it_did_not_take_place() {
    let gates = Gates::default();
    let limits = CallLimits {
        tokens_per_minute: 1000,
        ..CallLimits::default()
    };
    let enter = |tokens| {
        gates
            .enter(&ME, limits, tokens, true)
            .now_or_never()
            .unwrap()
    };
    let mut pass = enter(400).unwrap();
    enter(600).unwrap().cancel();
    enter(600).unwrap().cancel();
    let mut charge = pass.charge();
    drop(pass);
    charge.settle(900);
    assert!(enter(200).is_err(), "900 were used, not 400");
    charge.settle(100);
    enter(900).unwrap();
    let full = enter(1).unwrap_err();
    assert!(full.to_string().contains("1000 tokens a minute"), "{full}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_more_are_inside_than_the_limit() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let (gates, inside) = (Arc::new(Gates::default()), Arc::new(AtomicU32::new(0)));
    let call = |_| {
        let (gates, inside) = (Arc::clone(&gates), Arc::clone(&inside));
        tokio::spawn(async move {
            let pass = gates.enter(&ME, limits(3, 1000), 0, true).await.unwrap();
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(pass);
            now
        })
    };
    let most = join_all((0..500).map(call))
        .await
        .into_iter()
        .map(Result::unwrap)
        .max();
    assert!(most <= Some(3), "{most:?}");
}

#[tokio::test]
async fn gates_keep_apart_whose_limit_they_are() {
    let gates = Gates::default();
    let _inside = gates.enter(&ME, limits(1, 0), 0, true).await.unwrap();
    let other = Whose::Tenant("ci".to_owned());
    assert!(gates.enter(&other, limits(1, 0), 0, true).await.is_ok());
}
