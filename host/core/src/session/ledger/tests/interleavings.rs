//! Any order of calls, answers of the disk, failures, other limits and crashes: what leaves never passes the limit, no token
//! is counted twice, and what a crash forgets or counts too much is what the ledger's page says.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        call: u32,
        tokens: u64,
    },
    Lease {
        call: u32,
        tokens: u64,
    },
    /// At a part of what was reserved and leased, in hundredths.
    Settle {
        call: u32,
        part: u64,
    },
    Abandon(u32),
    Release(u32),
    /// The disk answers.
    Turn,
    Fail,
    Reload(u64),
    Allocate(u64),
    Kill,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let call = || 1..4_u32;
    prop_oneof![
        4 => (call(), 0..600_u64).prop_map(|(call, tokens)| Step::Reserve { call, tokens }),
        8 => (call(), 1..400_u64).prop_map(|(call, tokens)| Step::Lease { call, tokens }),
        3 => (call(), 0..=100_u64).prop_map(|(call, part)| Step::Settle { call, part }),
        1 => call().prop_map(Step::Abandon),
        1 => call().prop_map(Step::Release),
        5 => Just(Step::Turn),
        1 => Just(Step::Fail),
        1 => (100..9_000_u64).prop_map(Step::Reload),
        1 => (3_000..9_000_u64).prop_map(Step::Allocate),
        1 => Just(Step::Kill),
        1 => Just(Step::PowerCut),
    ]
}

/// What really happened, told apart from the ledger.
#[derive(Default)]
struct Truth {
    /// Prompt and output of each call under way.
    open: HashMap<u32, (u64, u64)>,
    ended: u64,
    operator: u64,
    allocated: u64,
    /// Taken since the disk answered last.
    since_answer: u64,
    /// The most that was in use or wanted at once since the disk knows that nothing was under way, how many calls were
    /// beside each other then, and the longest answer.
    most: u64,
    calls: u64,
    longest: u64,
    /// The last call ended, and none has come since.
    idle: bool,
}

impl Truth {
    fn used(&self) -> u64 {
        let open = self.open.values().map(|(input, output)| input + output);
        self.ended + open.sum::<u64>()
    }

    fn limit(&self) -> u64 {
        self.operator.min(self.allocated)
    }

    /// A call wants more.
    fn wants(&mut self, tokens: u64) {
        self.most = self.most.max(self.used() + tokens);
        self.calls = self.calls.max(self.open.len() as u64 + 1);
        let longest = self.open.values().map(|(_, output)| *output).max();
        self.longest = self.longest.max(longest.unwrap_or_default() + tokens);
        self.idle = false;
    }

    fn ended(&mut self, spent: u64) {
        self.ended += spent;
        self.idle = self.open.is_empty();
    }

    fn answered(&mut self) {
        self.since_answer = 0;
        if self.idle {
            (self.most, self.calls, self.longest) = (self.used(), 0, 0);
        }
    }

    /// The most that may count as spent after a crash.
    fn bound(&self) -> u64 {
        self.most.max(self.used()) + self.calls * LEASE.max(self.longest / 4)
    }

    fn crashed(&mut self, counted: u64) {
        self.open.clear();
        (self.ended, self.idle) = (counted, true);
        self.answered();
    }
}

fn run(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let disk = Arc::new(Disk::slow().with_notes());
    let store: Arc<dyn Store> = Arc::new(Account1(Arc::clone(&disk)));
    let operator = Operator::new(tokens(4_000));
    let mut ledger = Ledger::new(key().id(), Arc::clone(&store), operator.clone());
    let mut truth = Truth {
        operator: 4_000,
        allocated: u64::MAX,
        ..Truth::default()
    };
    for step in steps {
        match step {
            Step::Reserve { call, tokens } => {
                let before = truth.open.get(&call).copied().unwrap_or_default();
                truth.wants(tokens);
                if let Some(Ok(room)) = ledger.reserve_input(call, tokens, FREE).now_or_never() {
                    let input = before.0.max(tokens);
                    truth.open.insert(call, (input, before.1));
                    truth.since_answer += input - before.0;
                    assert_eq!(room, Some(truth.limit() - truth.used()));
                }
            }
            Step::Lease { call, tokens } if truth.open.contains_key(&call) => {
                let room = truth.limit().saturating_sub(truth.used());
                truth.wants(tokens);
                if let Some(Ok(granted)) = ledger.lease(call, tokens).now_or_never() {
                    assert_eq!(granted, tokens.min(room));
                    truth.open.entry(call).or_default().1 += granted;
                    truth.since_answer += granted;
                }
            }
            Step::Settle { call, part } => {
                if let Some((input, output)) = truth.open.remove(&call) {
                    let (input, output) = (input * part / 100, output * part / 100);
                    let billed = usage(input as u32, output as u32);
                    assert_eq!(
                        ledger.settle(call, billed, None).spent.tokens,
                        input + output
                    );
                    truth.ended(input + output);
                }
                // Nothing is open any more: a second end costs nothing.
                assert_eq!(ledger.abandon(call, 0), Settlement::default());
            }
            Step::Abandon(call) => {
                let known = truth.open.remove(&call);
                let (input, output) = known.unwrap_or_default();
                assert_eq!(ledger.abandon(call, 0).spent.tokens, input + output);
                known.inspect(|_| truth.ended(input + output));
            }
            Step::Release(call) => {
                ledger.release(call);
                truth.open.remove(&call).inspect(|_| truth.ended(0));
            }
            Step::Turn => {
                if disk.turn() > 0 {
                    truth.answered();
                }
            }
            Step::Fail => {
                disk.fail();
            }
            Step::Reload(limit) => {
                operator.set(tokens(limit));
                truth.operator = limit;
            }
            Step::Allocate(limit) => {
                ledger.allocate(tokens(limit));
                truth.allocated = truth.allocated.min(limit);
            }
            Step::Kill | Step::PowerCut => {
                let killed = matches!(step, Step::Kill);
                let row = if killed { disk.with_note() } else { disk.row() };
                disk.restart(row);
                truth.allocated = row.max_tokens.unwrap_or(u64::MAX);
                let saved = saved(Some(row), Counters::default());
                (ledger, _) = Ledger::resume(Arc::clone(&store), operator.clone(), &saved);
                let counted = ledger.spent().tokens;
                let forgotten = truth.used().saturating_sub(counted);
                let most = if killed { 0 } else { truth.since_answer };
                assert!(
                    forgotten <= most,
                    "{forgotten} forgotten, and at most {most} may be"
                );
                assert!(
                    counted <= truth.bound(),
                    "{counted} counted, at most {}",
                    truth.bound()
                );
                truth.crashed(counted);
            }
            Step::Lease { .. } => {}
        }
        assert_eq!(ledger.spent().tokens, truth.used());
        assert!(
            disk.with_note().reserved_tokens >= truth.used(),
            "used before it was remembered"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaves_beyond_the_limit_and_nothing_counts_twice(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        run(steps);
    }
}
