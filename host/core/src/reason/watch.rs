//! One reasoner's place in one exchange: what it has been told, and whether it is due.

use super::patterns::Match;
use super::plan::Wants;
use crate::event::{Channel, Micros, Place};
use crate::observe::vitals::{Vitals, is_polled};
use airlock_policy::contract::types::{self as wit, EventKind, PatternMatch, ReleaseMark};

/// Between two looks at a vital that nobody can foretell: as often as the machine is sampled.
const POLL_US: u64 = 1_000_000;

/// Places that one reasoner may have marked. More than any answer has; text at others stays held.
const MAX_MARKED: usize = 1024;

/// A reasoner's place.
#[derive(Debug)]
pub struct Watcher {
    /// Index of the policy in the plan.
    pub entry: usize,
    /// First item of the log that it was not told.
    pub cursor: usize,
    /// Whether one of its conditions holds.
    pub woken: bool,
    /// Which thresholds were crossed and not yet fallen below.
    pub fired: Vec<bool>,
    tokens: u32,
    /// Whether this generation has said anything.
    spoken: bool,
    last_call: Micros,
    last_look: Micros,
    untold_since: Option<Micros>,
    matches: Vec<PatternMatch>,
    marks: Vec<(Place, u32)>,
}

impl Watcher {
    /// A reasoner that was told nothing yet.
    pub fn new(entry: usize, cursor: usize, fired: Vec<bool>, now: Micros) -> Watcher {
        Watcher {
            entry,
            cursor,
            woken: false,
            fired,
            tokens: 0,
            spoken: false,
            last_call: now,
            last_look: now,
            untold_since: None,
            matches: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// An event that is not generated text.
    pub fn event(&mut self, wants: &Wants, kind: EventKind) {
        self.woken |= wants.wakes_on.has(kind);
    }

    /// Generated text.
    pub fn text(&mut self, wants: &Wants, channel: Channel, tokens: u32, at: Micros) {
        self.tokens = self.tokens.saturating_add(tokens);
        self.spoken = true;
        if wants
            .holds
            .get(channel as usize)
            .is_some_and(Option::is_some)
        {
            self.untold_since.get_or_insert(at);
        }
        // A chunk may hold less than a token; a policy that asks at every token is asked at every chunk.
        self.woken |= wants
            .every_tokens
            .is_some_and(|n| self.tokens >= n || n == 1);
    }

    /// One of its patterns matched.
    pub fn matched(&mut self, place: Place, found: &Match) {
        self.woken = true;
        self.matches.push(PatternMatch {
            pattern: found.index,
            span: wit::Span {
                place: place.into(),
                offset: found.offset,
                length: found.len,
            },
        });
    }

    /// The generation ended: whoever counts tokens or holds text sees the rest.
    pub fn ended(&mut self, wants: &Wants) {
        let waits = wants.every_tokens.is_some() && self.spoken;
        self.woken |= waits || self.untold_since.is_some();
    }

    /// Looks at thresholds and clocks.
    pub fn measure(&mut self, wants: &Wants, vitals: &Vitals, generating: bool, now: Micros) {
        self.last_look = now;
        for ((vital, above), fired) in wants.thresholds.iter().zip(&mut self.fired) {
            let over = vitals
                .value(*vital, now)
                .is_some_and(|value| value > *above);
            self.woken |= over && !*fired;
            *fired = over;
        }
        self.woken |= generating && self.clock(wants).is_some_and(|due| due <= now);
    }

    /// When it has to be looked at again though nothing happens.
    pub fn due(&self, wants: &Wants, vitals: &Vitals, generating: bool) -> Option<Micros> {
        let thresholds = wants
            .thresholds
            .iter()
            .zip(&self.fired)
            .filter(|(_, fired)| !**fired)
            .filter_map(|((vital, above), _)| vitals.crosses_at(*vital, *above));
        // Also when it was crossed: it may fall below and rise again.
        let poll = wants.thresholds.iter().any(|(vital, _)| is_polled(*vital));
        thresholds
            .chain(poll.then_some(self.last_look + POLL_US))
            .chain(self.clock(wants).filter(|_| generating))
            .min()
    }

    fn clock(&self, wants: &Wants) -> Option<Micros> {
        let hold = wants
            .holds
            .iter()
            .flatten()
            .min()
            .and_then(|max| Some(self.untold_since? + max));
        let every = wants.every_us.map(|every| self.last_call + every);
        hold.into_iter().chain(every).min()
    }

    /// It is called now with everything up to `cursor`; gives the matches that it was woken by.
    pub fn told(&mut self, cursor: usize, now: Micros) -> Vec<PatternMatch> {
        self.cursor = cursor;
        self.woken = false;
        self.tokens = 0;
        self.last_call = now;
        self.untold_since = None;
        std::mem::take(&mut self.matches)
    }

    /// The generation begins anew: nothing of the former one counts.
    pub fn start_over(&mut self) {
        self.marks.clear();
        self.matches.clear();
        self.tokens = 0;
        self.spoken = false;
        self.untold_since = None;
    }

    /// Its marks move; never backwards. In channels that it does not hold they mean nothing.
    pub fn mark(&mut self, wants: &Wants, marks: &[ReleaseMark]) {
        for mark in marks {
            let Some(place) = Place::from_wit(mark.place) else {
                continue;
            };
            let room = self.marks.len() < MAX_MARKED && wants.holds_at(place);
            match self.marks.iter_mut().find(|(p, _)| *p == place) {
                Some((_, upto)) => *upto = (*upto).max(mark.upto),
                None if room => self.marks.push((place, mark.upto)),
                None => {}
            }
        }
    }

    /// How far a place may be released as far as this reasoner is concerned.
    pub fn limit(&self, wants: &Wants, place: Place) -> u32 {
        match wants.holds_at(place) {
            true => self
                .marks
                .iter()
                .find(|(p, _)| *p == place)
                .map_or(0, |(_, upto)| *upto),
            false => u32::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::Kinds;
    use crate::observe::vitals::{SessionVitals, id};
    use airlock_policy::contract::types;

    const OUT: Place = Place::new(Channel::Output, 0, 0);

    fn wants() -> Wants {
        Wants {
            sees: Kinds::ALL,
            wakes_on: Kinds::default(),
            every_tokens: None,
            every_us: None,
            thresholds: vec![],
            holds: [None; 5],
        }
    }

    #[test]
    fn tokens_add_up_over_chunks() {
        let wants = Wants {
            every_tokens: Some(3),
            ..wants()
        };
        let mut w = Watcher::new(0, 0, vec![], 0);
        w.text(&wants, Channel::Output, 2, 10);
        assert!(!w.woken);
        w.text(&wants, Channel::Output, 1, 20);
        assert!(w.woken);
        w.told(2, 30);
        w.text(&wants, Channel::Output, 2, 40);
        assert!(!w.woken);
        w.ended(&wants);
        assert!(w.woken);
    }

    #[test]
    fn a_threshold_wakes_once_per_crossing() {
        let wants = Wants {
            thresholds: vec![(id::ELAPSED, 1000.0)],
            ..wants()
        };
        let vitals = Vitals::new(0, SessionVitals::default());
        let mut w = Watcher::new(0, 0, vec![false], 0);
        assert_eq!(w.due(&wants, &vitals, true), Some(1001));
        w.measure(&wants, &vitals, true, 1000);
        assert!(!w.woken);
        w.measure(&wants, &vitals, true, 1001);
        assert!(w.woken);
        w.told(0, 1001);
        w.measure(&wants, &vitals, true, 5000);
        assert!(!w.woken);
        assert_eq!(w.due(&wants, &vitals, true), None);
    }

    #[test]
    fn what_nobody_can_foretell_is_looked_at_again_and_again() {
        let wants = Wants {
            thresholds: vec![(id::HOST_MEMORY, 0.5)],
            ..wants()
        };
        let vitals = Vitals::new(0, SessionVitals::default());
        let machine = |host_memory| {
            vitals
                .around
                .machine
                .take(&crate::observe::machine::Sample {
                    host_memory,
                    ..Default::default()
                });
        };
        let mut w = Watcher::new(0, 0, vec![false], 0);
        for (second, value, woken) in [
            (1, None, false),
            (2, Some(0.5), false),
            (3, Some(0.6), true),
            (4, Some(0.7), false),
            (5, Some(0.1), false),
            (6, Some(0.9), true),
        ] {
            let at = second * POLL_US;
            assert_eq!(w.due(&wants, &vitals, true), Some(at));
            machine(value);
            w.measure(&wants, &vitals, true, at);
            assert_eq!(w.woken, woken, "second {second}");
            w.told(0, at);
        }
    }

    #[test]
    fn held_text_forces_a_wake() {
        let mut wants = wants();
        wants.holds[Channel::Output as usize] = Some(200);
        let vitals = Vitals::new(0, SessionVitals::default());
        let mut w = Watcher::new(0, 0, vec![], 0);
        w.text(&wants, Channel::Output, 1, 100);
        assert_eq!(w.due(&wants, &vitals, true), Some(300));
        w.measure(&wants, &vitals, true, 300);
        assert!(w.woken);
    }

    #[test]
    fn marks_never_move_backwards() {
        let mut wants = wants();
        wants.holds[Channel::Output as usize] = Some(200);
        let mut w = Watcher::new(0, 0, vec![], 0);
        let mark = |upto| types::ReleaseMark {
            place: OUT.into(),
            upto,
        };
        assert_eq!(w.limit(&wants, OUT), 0);
        w.mark(&wants, &[mark(7), mark(3)]);
        assert_eq!(w.limit(&wants, OUT), 7);
        assert_eq!(
            w.limit(
                &wants,
                Place {
                    channel: Channel::Reasoning,
                    ..OUT
                }
            ),
            u32::MAX
        );
    }
}
