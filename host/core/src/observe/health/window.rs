//! How calls under one name went in the last five minutes, in bounded memory.
//!
//! Durations are counted in slots that are an eighth of an octave wide, so a quantile is exact to 6 % whatever its size.
//! Thirty buckets of ten seconds are kept, and their sum; a bucket that ends leaves the sum, so reading costs one pass
//! over it (about 100 ns). At most 13 KiB a name, and next to nothing for one that is rarely called.

use std::collections::VecDeque;

use crate::event::Micros;

/// Length of the window, us.
pub const WINDOW_US: u64 = 300 * 1_000_000;

/// Length of a bucket, us: the grain in which the past is forgotten.
const BUCKET_US: u64 = 10 * 1_000_000;

/// Durations below this share the first slot: nothing that is measured here takes less.
const LEAST_US: u64 = 64;

/// 26 octaves above [`LEAST_US`], to 71 minutes, and the first slot.
const SLOTS: usize = 26 * 8 + 1;

/// What a window says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Calls in the last five minutes.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Median duration, us; `None` if none is known.
    pub p50: Option<f64>,
    /// 99th percentile of the durations, us.
    pub p99: Option<f64>,
}

impl Summary {
    /// Share of the calls that failed, 0..1; `None` without calls.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        // A call may have turned bad in the window and begun before it.
        (self.calls > 0).then(|| (f64::from(self.failed) / f64::from(self.calls)).min(1.0))
    }
}

/// The last five minutes.
#[derive(Debug)]
pub(super) struct Window {
    buckets: VecDeque<Bucket>,
    calls: u32,
    failed: u32,
    durations: Box<[u32; SLOTS]>,
}

#[derive(Debug)]
struct Bucket {
    number: u64,
    calls: u32,
    failed: u32,
    // Of one kind of duration in ten seconds no more than 65,535 are counted.
    durations: [u16; SLOTS],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            buckets: VecDeque::new(),
            calls: 0,
            failed: 0,
            durations: Box::new([0; SLOTS]),
        }
    }
}

impl Window {
    /// A call ended.
    pub(super) fn add(&mut self, duration: Option<u64>, failed: bool, at: Micros) {
        self.calls += 1;
        self.failed += u32::from(failed);
        let slot = duration.map(slot);
        let Some(bucket) = self.bucket(at) else {
            return;
        };
        bucket.calls += 1;
        bucket.failed += u32::from(failed);
        if let Some(counted) = slot.and_then(|slot| bucket.durations.get_mut(slot))
            && *counted < u16::MAX
        {
            *counted += 1;
            if let Some(sum) = slot.and_then(|slot| self.durations.get_mut(slot)) {
                *sum += 1;
            }
        }
    }

    /// A call that was added as a good one failed after all.
    pub(super) fn turned_bad(&mut self, at: Micros) {
        self.failed += 1;
        if let Some(bucket) = self.bucket(at) {
            bucket.failed += 1;
        }
    }

    /// The bucket of this moment.
    fn bucket(&mut self, at: Micros) -> Option<&mut Bucket> {
        self.forget(at);
        let number = at / BUCKET_US;
        // A clock that was set back adds to the newest bucket: time does not run backwards here.
        if self.buckets.back().is_none_or(|b| b.number < number) {
            self.buckets.push_back(Bucket {
                number,
                calls: 0,
                failed: 0,
                durations: [0; SLOTS],
            });
        }
        self.buckets.back_mut()
    }

    /// What it says now.
    pub(super) fn summary(&mut self, at: Micros) -> Summary {
        self.forget(at);
        let known: u32 = self.durations.iter().sum();
        // The rank is 1 at least, so that one call is its own median.
        let rank = |share: f64| (f64::from(known) * share).ceil().max(1.0) as u32;
        let (half, most) = (rank(0.5), rank(0.99));
        let mut summary = Summary {
            calls: self.calls,
            failed: self.failed,
            ..Summary::default()
        };
        let mut below = 0;
        for (slot, count) in self.durations.iter().enumerate().filter(|(_, n)| **n > 0) {
            below += count;
            if below >= half && summary.p50.is_none() {
                summary.p50 = Some(middle(slot));
            }
            if below >= most {
                summary.p99 = Some(middle(slot));
                break;
            }
        }
        summary
    }

    fn forget(&mut self, at: Micros) {
        let oldest = (at / BUCKET_US + 1).saturating_sub(WINDOW_US / BUCKET_US);
        while self.buckets.front().is_some_and(|b| b.number < oldest) {
            let Some(gone) = self.buckets.pop_front() else {
                return;
            };
            self.calls -= gone.calls;
            self.failed -= gone.failed;
            for (sum, count) in self.durations.iter_mut().zip(gone.durations) {
                *sum -= u32::from(count);
            }
        }
    }
}

fn slot(duration: u64) -> usize {
    if duration < LEAST_US {
        return 0;
    }
    let octave = duration.ilog2();
    let eighth = (duration >> (octave - 3)) & 7;
    let slot = 1 + (octave - LEAST_US.ilog2()) as usize * 8 + eighth as usize;
    slot.min(SLOTS - 1)
}

/// The middle of a slot, us.
fn middle(slot: usize) -> f64 {
    let Some(above) = slot.checked_sub(1) else {
        return LEAST_US as f64 / 2.0;
    };
    let octave = LEAST_US << (above / 8);
    let width = octave as f64 / 8.0;
    octave as f64 + width * ((above % 8) as f64 + 0.5)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn close(found: Option<f64>, wanted: f64) {
        let found = found.unwrap();
        assert!(
            (found - wanted).abs() <= wanted * 0.063,
            "{found} is not near {wanted}"
        );
    }

    #[test]
    fn quantiles_are_near_the_truth_at_every_size() {
        for scale in [1, 37, 1000, 30_000] {
            let mut window = Window::default();
            for n in 1..=1000 {
                window.add(Some(n * 100 * scale), n % 10 == 0, 0);
            }
            let summary = window.summary(0);
            close(summary.p50, 50_000.0 * scale as f64);
            close(summary.p99, 99_000.0 * scale as f64);
            assert_eq!(summary.error_rate(), Some(0.1));
        }
    }

    #[test]
    fn one_call_is_its_own_median_and_none_has_none() {
        let mut window = Window::default();
        assert_eq!(window.summary(0), Summary::default());
        assert_eq!(window.summary(0).error_rate(), None);
        window.add(Some(250_000), false, 0);
        close(window.summary(0).p50, 250_000.0);
        close(window.summary(0).p99, 250_000.0);
        window.add(None, true, 0);
        assert_eq!((window.summary(0).calls, window.summary(0).failed), (2, 1));
        close(window.summary(0).p50, 250_000.0);
    }

    #[test]
    fn what_is_older_than_five_minutes_is_forgotten_and_the_rest_is_not() {
        let mut window = Window::default();
        let start = 1_700_000_000 * SECOND;
        for n in 0..60 {
            window.add(Some(1000), true, start + n * 10 * SECOND);
            assert!(window.buckets.len() <= 30);
        }
        let end = start + 590 * SECOND;
        assert_eq!(window.summary(end).calls, 30);
        assert_eq!(window.summary(end + 150 * SECOND).calls, 15);
        assert_eq!(window.summary(end + WINDOW_US), Summary::default());
        assert!(window.durations.iter().all(|n| *n == 0));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut window = Window::default();
        window.add(Some(1000), false, 1000 * SECOND);
        window.add(Some(1000), false, 900 * SECOND);
        assert_eq!(window.summary(900 * SECOND).calls, 2);
    }

    #[test]
    fn extremes_have_a_slot() {
        for duration in [0, 1, 63, 64, 65, 1 << 31, u64::MAX] {
            assert!(slot(duration) < SLOTS);
        }
        let mut last = 0.0;
        for n in 0..SLOTS {
            assert!(middle(n) > last);
            last = middle(n);
        }
        for duration in [64, 100, 12_345, 7_000_000] {
            close(Some(middle(slot(duration))), duration as f64);
        }
    }
}
