//! Notes stand in for a disk that has not answered yet: nothing waits, and the death of the process forgets nothing.

use futures_util::FutureExt as _;

use super::*;

fn resumed(disk: &Arc<Disk>, limit: u64, row: LedgerRow) -> (Arc<Ledger>, Spend) {
    let store = Arc::new(Account1(Arc::clone(disk)));
    let saved = saved(Some(row), Counters::default());
    Ledger::resume(store, Operator::new(tokens(limit)), &saved)
}

#[tokio::test]
async fn neither_a_first_call_nor_its_chunks_wait_for_the_disk_and_a_kill_forgets_none_of_it() {
    let disk = Arc::new(Disk::slow().with_notes());
    let ledger = ledger(&disk, tokens(10_000));
    let room = ledger.reserve_input(1, 100, FREE).now_or_never();
    assert_eq!(room, Some(Ok(Some(9_900))));
    for _ in 0..1_000 {
        let leased = ledger.lease(1, 1).now_or_never();
        assert_eq!(leased, Some(Ok(1)), "the disk has not answered once");
    }
    assert_eq!(disk.row(), LedgerRow::default());
    let (after, _) = resumed(&disk, 10_000, disk.with_note());
    assert!(after.spent().tokens >= 1_100, "{:?}", after.spent());
    assert!(after.spent().tokens <= 1_100 + LEASE, "{:?}", after.spent());

    // Once the disk has it, the note is gone, and the row alone covers the same.
    disk.turn();
    assert!(disk.row().reserved_tokens >= 1_100);
    assert_eq!(disk.with_note(), disk.row());
    ledger.settle(1, usage(90, 1_000), None);
    disk.turn();
    assert_eq!(disk.with_note().reserved_tokens, 1_090);
}

#[tokio::test]
async fn a_note_is_cleared_when_nobody_needs_the_ledger_any_more() {
    let disk = Arc::new(Disk::slow().with_notes());
    let ledger = ledger(&disk, tokens(10_000));
    assert!(
        ledger
            .reserve_input(1, 100, FREE)
            .now_or_never()
            .unwrap()
            .is_ok()
    );
    ledger.settle(1, usage(100, 0), None);
    drop(ledger);
    disk.turn();
    assert_eq!(disk.with_note().reserved_tokens, 100);
}

#[tokio::test]
async fn an_answer_leased_beforehand_is_as_long_as_it_likes() {
    let disk = Arc::new(Disk::slow().with_notes());
    let ledger = ledger(&disk, tokens(1_000_000));
    for call in 1..=3 {
        assert!(
            ledger
                .reserve_input(call, 5_000, FREE)
                .now_or_never()
                .unwrap()
                .is_ok()
        );
        let leased = ledger.lease(call, 50_000).now_or_never();
        assert_eq!(leased, Some(Ok(50_000)));
        ledger.settle(call, usage(5_000, 10), None);
    }
    assert_eq!(ledger.spent().tokens, 3 * 5_010);
    disk.turn();
    assert_eq!(disk.with_note().reserved_tokens, 3 * 5_010);
}

#[tokio::test]
async fn a_disk_that_is_silent_for_too_long_is_waited_for() {
    let disk = Arc::new(Disk::slow().with_notes());
    let ledger = ledger(&disk, tokens(u64::MAX >> 1));
    ledger.reserve_input(1, 1, FREE).await.unwrap();
    let begun = std::time::Instant::now();
    let waits = loop {
        let mut lease = Box::pin(ledger.lease(1, 1_000));
        if (&mut lease).now_or_never().is_none() {
            break lease;
        }
        assert!(begun.elapsed() < COMMIT_WAIT, "it never waits");
    };
    disk.turn();
    assert_eq!(waits.await, Ok(1_000));
    assert!(
        ledger.lease(1, 1_000).now_or_never().is_some(),
        "it answers again"
    );
}

#[tokio::test]
async fn once_the_disk_fails_a_note_is_no_excuse() {
    let disk = Arc::new(Disk::slow().with_notes());
    let ledger = ledger(&disk, tokens(1_000));
    assert!(
        ledger
            .reserve_input(1, 100, FREE)
            .now_or_never()
            .unwrap()
            .is_ok()
    );
    assert_eq!(ledger.lease(1, 200).now_or_never(), Some(Ok(200)));
    disk.fail();
    // Neither what comes, nor what was leased and has not left yet.
    for wanted in [1, 0] {
        let lease = ledger.lease(1, wanted);
        tokio::pin!(lease);
        assert!((&mut lease).now_or_never().is_none());
        disk.fail();
        let refused = lease.await;
        assert!(
            matches!(refused, Err(LedgerError::NotDurable(_))),
            "{refused:?}"
        );
    }
    let lease = ledger.lease(1, 1);
    tokio::pin!(lease);
    assert!((&mut lease).now_or_never().is_none());
    disk.turn();
    assert_eq!(lease.await, Ok(1), "the disk is there again");
}

#[tokio::test]
async fn other_limits_of_the_operator_hold_at_once_and_those_of_policies_stay() {
    let disk = Arc::new(Disk::default());
    let operator = Operator::new(tokens(1_000));
    let store = Arc::new(Account1(Arc::clone(&disk)));
    let ledger = Ledger::new(key().id(), store, operator.clone());
    ledger.reserve_input(1, 100, FREE).await.unwrap();
    operator.set(tokens(150));
    assert_eq!(ledger.lease(1, 100).await.unwrap(), 50);
    operator.set(tokens(5_000));
    assert_eq!(ledger.remaining().tokens, Some(4_850));
    ledger.allocate(tokens(200));
    operator.set(Limits::default());
    assert_eq!(
        ledger.lease(1, 100).await.unwrap(),
        50,
        "a policy's limit stays"
    );
}

#[test]
fn many_at_once_on_a_disk_that_is_behind_pass_no_limit_and_are_all_remembered() {
    let disk = Arc::new(Disk::slow().with_notes());
    let ledger = ledger(&disk, tokens(3_000));
    let passed = Arc::new(AtomicU64::new(0));
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (disk, done) = (Arc::clone(&disk), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::SeqCst) {
                disk.turn();
                std::thread::yield_now();
            }
        })
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks = (1..=8).map(|call| {
            let (ledger, passed, disk) =
                (Arc::clone(&ledger), Arc::clone(&passed), Arc::clone(&disk));
            tokio::spawn(async move {
                // The others may have taken all of it.
                if ledger.reserve_input(call, 1, FREE).await.is_err() {
                    return;
                }
                passed.fetch_add(1, Ordering::SeqCst);
                loop {
                    let granted = ledger.lease(call, 7).await.unwrap();
                    let so_far = passed.fetch_add(granted, Ordering::SeqCst) + granted;
                    assert!(so_far <= 3_000, "{so_far} of 3000");
                    let known = disk.with_note().reserved_tokens;
                    assert!(
                        known >= so_far,
                        "{so_far} passed, and {known} would be known"
                    );
                    if granted < 7 {
                        return;
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    done.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    assert_eq!(passed.load(Ordering::SeqCst), 3_000);
    assert_eq!(ledger.spent().tokens, 3_000);
}
