//! The ledger under concurrency, under a slow and a failing store, and after a crash.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disk;
mod interleavings;
mod notes;

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::event::key::SessionKey;
use crate::store::{Counters, LedgerRow, SessionRow};
use disk::{Account1, Disk};

fn key() -> SessionKey {
    SessionKey {
        tenant: "t".into(),
        principal: "p".into(),
        source: "s".into(),
        value: "v".into(),
    }
}

fn ledger(disk: &Arc<Disk>, limits: Limits) -> Arc<Ledger> {
    let store = Arc::new(Account1(Arc::clone(disk)));
    Ledger::new(key().id(), store, Operator::new(limits))
}

fn tokens(limit: u64) -> Limits {
    Limits {
        tokens: Some(limit),
        cost: None,
    }
}

fn saved(row: Option<LedgerRow>, counters: Counters) -> SavedSession {
    SavedSession {
        row: SessionRow {
            id: key().id(),
            key: key(),
            parent: None,
            opened: 0,
            last_seen: 0,
            model: String::new(),
            counters,
            replayable: true,
        },
        seed: 0,
        next_seq: 1,
        state: None,
        seats: Vec::new(),
        ledger: row,
    }
}

fn usage(input: u32, output: u32) -> Usage {
    Usage {
        input,
        output,
        exact: true,
        ..Usage::default()
    }
}

const FREE: Prices = Prices {
    input: 0,
    output: 0,
};

#[tokio::test]
async fn without_a_limit_nothing_is_written() {
    let disk = Arc::new(Disk::default());
    let ledger = ledger(&disk, Limits::default());
    assert_eq!(ledger.reserve_input(1, 100, FREE).await.unwrap(), None);
    assert_eq!(ledger.lease(1, 5000).await.unwrap(), 5000);
    assert_eq!(ledger.settle(1, usage(100, 4000), None).spent.tokens, 4100);
    assert_eq!(ledger.spent().tokens, 4100);
    assert_eq!(disk.commits.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_stream_ends_at_exactly_the_token_where_the_limit_is() {
    let ledger = ledger(&Arc::default(), tokens(1000));
    assert_eq!(ledger.reserve_input(1, 300, FREE).await.unwrap(), Some(700));
    let mut passed = 0;
    loop {
        let granted = ledger.lease(1, 3).await.unwrap();
        passed += granted;
        if granted < 3 {
            break;
        }
    }
    assert_eq!(passed, 700);
    assert_eq!(ledger.lease(1, 1).await.unwrap(), 0);
    assert!(matches!(
        ledger.reserve_input(2, 1, FREE).await,
        Err(LedgerError::Exhausted { .. })
    ));
    // The provider billed less than was estimated: there is room again.
    ledger.settle(1, usage(250, 700), None);
    assert_eq!(ledger.reserve_input(2, 10, FREE).await.unwrap(), Some(40));
}

#[tokio::test]
async fn a_limit_of_cost_counts_fractions_of_microdollars() {
    let ledger = ledger(
        &Arc::default(),
        Limits {
            tokens: None,
            cost: Some(100),
        },
    );
    // 0.15 microdollars a prompt token, 0.6 a generated one.
    let prices = Prices {
        input: 150_000,
        output: 600_000,
    };
    assert_eq!(
        ledger.reserve_input(1, 100, prices).await.unwrap(),
        Some(141)
    );
    let mut passed = 0;
    while ledger.lease(1, 1).await.unwrap() == 1 {
        passed += 1;
    }
    assert_eq!(passed, 141);
    assert_eq!(ledger.spent().cost, 100);
}

#[tokio::test]
async fn what_is_not_leased_is_billed_all_the_same_and_said() {
    let ledger = ledger(&Arc::default(), tokens(1000));
    ledger.reserve_input(1, 100, FREE).await.unwrap();
    ledger.lease(1, 50).await.unwrap();
    let settlement = ledger.settle(1, usage(100, 1050), None);
    assert_eq!(
        (
            settlement.spent.tokens,
            settlement.hidden,
            settlement.over.tokens
        ),
        (1150, 1000, 150)
    );
    assert_eq!(ledger.remaining().tokens, Some(0));
    assert!(ledger.reserve_input(2, 1, FREE).await.is_err());
}

#[tokio::test]
async fn an_exchange_is_charged_once() {
    let ledger = ledger(&Arc::default(), tokens(1000));
    ledger.reserve_input(1, 100, FREE).await.unwrap();
    ledger.reserve_input(1, 100, FREE).await.unwrap();
    assert_eq!(ledger.spent().tokens, 100);
    ledger.lease(1, 10).await.unwrap();
    assert_eq!(ledger.abandon(1, 0).spent.tokens, 110);
    assert_eq!(ledger.abandon(1, 0), Settlement::default());
    assert_eq!(
        ledger.settle(1, usage(500, 500), None),
        Settlement::default()
    );
    assert_eq!(ledger.spent().tokens, 110);
    ledger.reserve_input(2, 800, FREE).await.unwrap();
    ledger.release(2);
    assert_eq!(ledger.spent().tokens, 110);
}

#[tokio::test]
async fn limits_only_become_tighter_and_do_so_in_mid_stream() {
    let ledger = ledger(&Arc::default(), tokens(1000));
    ledger.reserve_input(1, 10, FREE).await.unwrap();
    ledger.allocate(tokens(5000));
    assert_eq!(ledger.limits().tokens, Some(1000));
    ledger.allocate(tokens(20));
    assert_eq!(ledger.lease(1, 50).await.unwrap(), 10);
    assert_eq!(ledger.lease(1, 50).await.unwrap(), 0);
}

#[test]
fn nothing_is_let_through_before_it_is_durable_and_renewal_runs_ahead() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let disk = Arc::new(Disk::slow());
    let ledger = ledger(&disk, tokens(10_000));
    runtime.block_on(async {
        let reserve = ledger.reserve_input(1, 100, FREE);
        tokio::pin!(reserve);
        assert!(
            futures_util::poll!(&mut reserve).is_pending(),
            "not durable yet"
        );
        assert_eq!(disk.turn(), 1);
        reserve.await.unwrap();
        assert_eq!(disk.row().reserved_tokens, 100 + LEASE);

        // One commit was enough for a whole lease; past half of it the next is asked for, and nobody waits.
        for _ in 0..LEASE {
            assert_eq!(
                futures_util::poll!(Box::pin(ledger.lease(1, 1))),
                std::task::Poll::Ready(Ok(1))
            );
        }
        let lease = ledger.lease(1, 1);
        tokio::pin!(lease);
        assert!(
            futures_util::poll!(&mut lease).is_pending(),
            "the lease is used up and the disk has not answered"
        );
        assert_eq!(disk.turn(), 1);
        assert_eq!(lease.await.unwrap(), 1);
        assert!(disk.row().reserved_tokens >= ledger.spent().tokens);
    });
}

#[tokio::test]
async fn a_long_answer_asks_the_disk_ever_more_rarely() {
    let disk = Arc::new(Disk::default());
    let ledger = ledger(&disk, tokens(1_000_000));
    ledger.reserve_input(1, 100, FREE).await.unwrap();
    let mut commits = Vec::new();
    for half in 0..2 {
        let before = disk.commits.load(Ordering::Relaxed);
        for _ in 0..5_000 {
            assert_eq!(ledger.lease(1, 1).await.unwrap(), 1);
        }
        commits.push(disk.commits.load(Ordering::Relaxed) - before);
        // After a crash at most a quarter more than was used is charged, and what is asked for meanwhile.
        let used = 5_000 * (half + 1);
        let ahead = disk.row().reserved_tokens - 100 - used;
        assert!(ahead <= used / 4 + LEASE, "{ahead} of {used}");
    }
    assert!(commits[1] * 2 <= commits[0], "{commits:?}");
    assert!(commits[0] + commits[1] <= 40, "{commits:?}");
}

#[tokio::test]
async fn a_disk_that_fails_stops_the_stream_and_recovery_resumes() {
    let disk = Arc::new(Disk::default());
    disk.fails.store(true, Ordering::Relaxed);
    let ledger = ledger(&disk, tokens(1000));
    let error = ledger.reserve_input(1, 10, FREE).await.unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
    assert_eq!(ledger.spent().tokens, 0);
    disk.fails.store(false, Ordering::Relaxed);
    ledger.reserve_input(1, 10, FREE).await.unwrap();
}

#[tokio::test]
async fn after_a_crash_what_was_leased_counts_as_spent() {
    let disk = Arc::new(Disk::default());
    let before = ledger(&disk, tokens(1000));
    before.reserve_input(1, 100, FREE).await.unwrap();
    before.settle(1, usage(100, 0), None);
    before.reserve_input(2, 100, FREE).await.unwrap();
    before.lease(2, 40).await.unwrap();
    before.allocate(tokens(900));
    drop(before); // Killed here.

    let store: Arc<dyn Store> = Arc::new(Account1(Arc::clone(&disk)));
    let (after, reconciled) = Ledger::resume(
        Arc::clone(&store),
        Operator::new(tokens(1000)),
        &saved(Some(disk.row()), Counters::default()),
    );
    assert_eq!(
        reconciled.tokens,
        100 + LEASE,
        "the prompt and the open lease"
    );
    assert_eq!(
        after.limits().tokens,
        Some(900),
        "what a policy ordered outlives the process"
    );
    assert_eq!(after.remaining().tokens, Some(900 - 200 - LEASE));
    drop(after);

    // It is reconciled once.
    let (after, reconciled) = Ledger::resume(
        store,
        Operator::new(tokens(1000)),
        &saved(Some(disk.row()), Counters::default()),
    );
    assert_eq!(reconciled, Spend::default());
    assert_eq!(after.spent().tokens, 200 + LEASE);
}

#[tokio::test]
async fn an_orderly_end_charges_nothing_extra() {
    let disk = Arc::new(Disk::default());
    let before = ledger(&disk, tokens(1000));
    before.reserve_input(1, 100, FREE).await.unwrap();
    before.lease(1, 40).await.unwrap();
    before.settle(1, usage(100, 40), None);
    let store: Arc<dyn Store> = Arc::new(Account1(Arc::clone(&disk)));
    let (after, reconciled) = Ledger::resume(
        store,
        Operator::new(tokens(1000)),
        &saved(Some(disk.row()), Counters::default()),
    );
    assert_eq!((reconciled, after.spent().tokens), (Spend::default(), 140));
}

#[test]
fn a_limit_set_later_counts_what_the_timeline_knows() {
    let counters = Counters {
        input_tokens: 300,
        output_tokens: 50,
        cost: 7,
        ..Counters::default()
    };
    let store: Arc<dyn Store> = Arc::new(Account1(Arc::default()));
    let (ledger, reconciled) =
        Ledger::resume(store, Operator::new(tokens(1000)), &saved(None, counters));
    assert_eq!(
        (ledger.spent(), reconciled),
        (
            Spend {
                tokens: 350,
                cost: 7
            },
            Spend::default()
        )
    );
}

/// The property that matters: many exchanges at once, each taking what it can, never pass the limit together, and at
/// every moment the disk knows of at least as much as was let through.
#[test]
fn concurrent_exchanges_never_pass_the_limit_together() {
    for (limit, streams, step) in [
        (10_000, 8, 7),
        (999, 16, 3),
        (257, 2, 1),
        (50_000, 4, 501),
        (5, 8, 2),
    ] {
        let disk = Arc::new(Disk::default());
        let ledger = ledger(&disk, tokens(limit));
        let passed = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> = (1..=streams)
                .map(|exchange| {
                    let (ledger, passed, disk) =
                        (Arc::clone(&ledger), Arc::clone(&passed), Arc::clone(&disk));
                    tokio::spawn(async move {
                        if ledger.reserve_input(exchange, 1, FREE).await.is_err() {
                            return;
                        }
                        passed.fetch_add(1, Ordering::SeqCst);
                        loop {
                            let granted = ledger.lease(exchange, step).await.unwrap();
                            let so_far = passed.fetch_add(granted, Ordering::SeqCst) + granted;
                            assert!(so_far <= limit, "{so_far} of {limit}");
                            assert!(
                                disk.row().reserved_tokens >= so_far,
                                "used before it was durable"
                            );
                            if granted < step {
                                break;
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(
            passed.load(Ordering::SeqCst),
            limit,
            "all of it can be used"
        );
        assert_eq!(ledger.spent().tokens, limit);
    }
}
