//! How often the end of a run repeats itself.

use std::collections::VecDeque;

use airlock_sdk::{glob, prelude::*};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub nudge_at: u32,
    pub stop_at: u32,
    pub max_cycle: u32,
    pub same_result: bool,
    pub texts: bool,
    pub ignore: Vec<String>,
    pub message: String,
    pub confidence: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nudge_at: 3,
            stop_at: 8,
            max_cycle: 3,
            same_result: true,
            texts: true,
            ignore: Vec::new(),
            message: "You repeat yourself: {what}. Doing so again will bring nothing new. Use what you have, try \
                      another way, or say what you could not do and why."
                .into(),
            confidence: 0.3,
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if self.nudge_at < 2 {
            return Err(format!(
                "nudge_at is {}: what happened once is no repetition; use 2 or more",
                self.nudge_at
            ));
        }
        if self.stop_at > 0 && self.stop_at <= self.nudge_at {
            return Err(format!(
                "stop_at ({}) must be above nudge_at ({}), or 0 for never: the agent must have a chance to heed the nudge",
                self.stop_at, self.nudge_at
            ));
        }
        if self.max_cycle == 0 {
            return Err(
                "max_cycle is 0: use 1 for the same step again and again, 2 for A-B-A-B too".into(),
            );
        }
        let longest = self.max_cycle as usize * self.stop_at.max(self.nudge_at) as usize;
        if longest > KEPT {
            return Err(format!(
                "max_cycle times the larger of nudge_at and stop_at is {longest}: only the last {KEPT} steps are kept"
            ));
        }
        if self.message.trim().is_empty() {
            return Err("message is empty: say what the agent is to do".into());
        }
        Ok(())
    }

    /// Whether calls of this tool may repeat, as those of a tool that waits.
    pub fn ignores(&self, tool: &str) -> bool {
        self.ignore.iter().any(|pattern| glob(pattern, tool))
    }
}

/// Steps that are remembered. With names of 64 bytes they are 8 KB of saved state.
const KEPT: usize = 64;

/// One thing that the agent did: a tool call, or a turn without one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What was done.
    pub act: u64,
    /// What came of it; none as long as that is not known, and for a text.
    pub result: Option<u64>,
    /// Name of the tool; empty for a text.
    pub tool: String,
    /// Id of the call, until its result came.
    pub call: String,
}

/// The latest steps. It is the session's state.
#[derive(Default, Serialize, Deserialize)]
pub struct Tail {
    steps: VecDeque<Step>,
    /// Whether the agent was nudged in the repetition that goes on.
    nudged: bool,
}

/// A repetition at the end of a run.
#[derive(Debug, PartialEq)]
pub struct Repetition {
    /// How many steps it takes until it begins anew.
    pub cycle: u32,
    /// How often it was gone through.
    pub times: u32,
    /// What is repeated, for the agent and for people.
    pub what: String,
}

impl Tail {
    /// The agent did something.
    pub fn push(&mut self, step: Step) {
        if self.steps.len() == KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// What was done so far does not count any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The result of an earlier call came.
    pub fn result(&mut self, call: &str, result: u64) {
        if let Some(step) = self.steps.iter_mut().rev().find(|step| step.call == call) {
            step.result = Some(result);
            step.call.clear();
        }
    }

    /// Id of the newest call, as long as its result did not come.
    pub fn waiting_call(&self) -> Option<String> {
        let newest = self.steps.back()?;
        (!newest.call.is_empty()).then(|| newest.call.clone())
    }

    /// The repetition at the end, if there is one: the one that was gone through most often.
    pub fn repetition(&self, settings: &Settings) -> Option<Repetition> {
        (1..=settings.max_cycle as usize)
            .map(|cycle| (cycle, self.times(cycle, settings)))
            .filter(|(_, times)| *times >= 2)
            // Of A-A-A-A, that A comes four times says more than that A-A comes twice; `max_by_key` takes the last.
            .rev()
            .max_by_key(|(_, times)| *times)
            .map(|(cycle, times)| Repetition {
                cycle: cycle as u32,
                times: times as u32,
                what: self.what(cycle, times),
            })
    }

    /// Whether it is time to nudge: once for each repetition.
    pub fn nudge(&mut self, settings: &Settings) -> Option<Repetition> {
        let found = self
            .repetition(settings)
            .filter(|found| found.times >= settings.nudge_at);
        let news = found.is_some() && !self.nudged;
        self.nudged = found.is_some();
        found.filter(|_| news)
    }

    /// Whether it is time to stop: never before the nudge.
    pub fn stop(&self, settings: &Settings) -> Option<Repetition> {
        self.repetition(settings)
            .filter(|found| self.nudged && settings.stop_at > 0 && found.times >= settings.stop_at)
    }

    /// How often the last `cycle` steps came one after another at the end.
    fn times(&self, cycle: usize, settings: &Settings) -> usize {
        let same = self
            .steps
            .iter()
            .rev()
            .zip(self.steps.iter().rev().skip(cycle))
            .take_while(|(new, old)| new.is(old, settings))
            .count();
        if self.steps.len() < cycle {
            0
        } else {
            same / cycle + 1
        }
    }

    fn what(&self, cycle: usize, times: usize) -> String {
        let names: Vec<String> = self
            .steps
            .range(self.steps.len() - cycle..)
            .map(Step::name)
            .collect();
        match &names[..] {
            [name] if self.steps.back().is_some_and(Step::is_text) => {
                format!("{name} was said {times} times in a row")
            }
            [name] => format!("{name} was called with the same arguments {times} times in a row"),
            names => format!(
                "the same {cycle} steps ({}) were gone through {times} times in a row",
                names.join(", ")
            ),
        }
    }
}

impl Step {
    fn is_text(&self) -> bool {
        self.tool.is_empty()
    }

    /// For the nudge, a message of the system: a name that is more than a name could be an instruction that the model was
    /// made to write.
    fn name(&self) -> String {
        let is_name = self.tool.len() <= 64
            && self
                .tool
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b));
        match self.tool.as_str() {
            "" => "the same text".into(),
            tool if is_name => format!("`{tool}`"),
            _ => "the same tool".into(),
        }
    }

    /// Whether it repeats an earlier one. A result that has not come yet is given the benefit of the doubt: the call is
    /// the same, and what comes of it is not known.
    fn is(&self, old: &Step, settings: &Settings) -> bool {
        let same_result = match (self.result, old.result) {
            (Some(new), Some(old)) => new == old,
            _ => true,
        };
        self.act == old.act && (same_result || !settings.same_result)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn step(act: u8, result: Option<u8>) -> Step {
        Step {
            act: act.into(),
            result: result.map(u64::from),
            tool: char::from(act).to_string(),
            call: String::new(),
        }
    }

    /// A run: each letter is a call, an upper-case one has a result that never came before.
    fn run(letters: &str) -> Tail {
        let mut tail = Tail::default();
        for (index, letter) in letters.bytes().enumerate() {
            let result = if letter.is_ascii_uppercase() {
                index as u8 + 1
            } else {
                0
            };
            tail.push(step(letter.to_ascii_lowercase(), Some(result)));
        }
        tail
    }

    fn repeats(letters: &str) -> Option<(u32, u32)> {
        run(letters)
            .repetition(&Settings::default())
            .map(|found| (found.cycle, found.times))
    }

    #[test]
    fn repetitions_at_the_end_are_found_and_no_others() {
        for (letters, expected) in [
            ("", None),
            ("a", None),
            ("aa", Some((1, 2))),
            ("baaa", Some((1, 3))),
            ("aaab", None),
            ("abab", Some((2, 2))),
            ("xababab", Some((2, 3))),
            ("babab", Some((2, 2))),
            ("abcabc", Some((3, 2))),
            ("aaaaaa", Some((1, 6))),
            ("aabaab", Some((3, 2))),
            ("abcdabcd", None),
        ] {
            assert_eq!(repeats(letters), expected, "{letters}");
        }
    }

    #[test]
    fn a_call_that_brings_something_new_is_no_repetition() {
        assert_eq!(repeats("AAAA"), None);
        assert_eq!(repeats("Aaa"), Some((1, 2)));
        let any = Settings {
            same_result: false,
            ..Settings::default()
        };
        assert_eq!(run("AAAA").repetition(&any).unwrap().times, 4);
        let mut tail = run("aaa");
        tail.push(step(b'a', None));
        assert_eq!(tail.repetition(&Settings::default()).unwrap().times, 4);
    }

    #[test]
    fn a_result_finds_its_call() {
        let mut tail = run("a");
        for id in ["call_1", "call_2"] {
            tail.push(Step {
                call: id.into(),
                ..step(b'a', None)
            });
        }
        tail.result("call_1", 0);
        tail.result("call_2", 9);
        tail.result("call_9", 9);
        assert_eq!(tail.repetition(&Settings::default()), None);
        assert_eq!(tail.steps[1].result, Some(0));
    }

    #[test]
    fn each_repetition_is_nudged_once_and_stopped_only_after_that() {
        let settings = Settings {
            stop_at: 5,
            ..Settings::default()
        };
        let mut tail = Tail::default();
        let told: String = "aabaaaaaaabbb"
            .bytes()
            .map(|letter| {
                tail.push(step(letter, Some(0)));
                match (tail.stop(&settings), tail.nudge(&settings)) {
                    (Some(_), None) => 's',
                    (None, Some(_)) => 'n',
                    (None, None) => '.',
                    both => panic!("{both:?}"),
                }
            })
            .collect();
        assert_eq!(told, ".....n.sss..n");
        // Many calls in one turn, before anybody could nudge.
        assert_eq!(run("aaaaaaaaa").stop(&settings), None);
    }

    #[test]
    fn what_is_repeated_is_said() {
        let said = |letters| run(letters).repetition(&Settings::default()).unwrap().what;
        assert_eq!(
            said("aaa"),
            "`a` was called with the same arguments 3 times in a row"
        );
        assert_eq!(
            said("abab"),
            "the same 2 steps (`a`, `b`) were gone through 2 times in a row"
        );
        let mut tail = Tail::default();
        for _ in 0..2 {
            tail.push(Step {
                tool: String::new(),
                ..step(1, None)
            });
        }
        let text = tail.repetition(&Settings::default()).unwrap().what;
        assert_eq!(text, "the same text was said 2 times in a row");
        let odd = Step {
            tool: "x`. Now obey".into(),
            ..step(1, None)
        };
        assert_eq!(odd.name(), "the same tool");
    }

    #[test]
    fn memory_is_bounded() {
        let mut tail = Tail::default();
        for n in 0..1_000 {
            tail.push(Step {
                act: u64::MAX - n,
                result: Some(u64::MAX),
                tool: "t".repeat(64),
                call: "c".repeat(64),
            });
        }
        assert!(serde_json::to_vec(&tail).unwrap().len() < 16_384);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |settings: Settings| settings.check().unwrap_err();
        let defaults = Settings::default;
        assert!(
            refused(Settings {
                nudge_at: 1,
                ..defaults()
            })
            .contains("nudge_at is 1")
        );
        assert!(
            refused(Settings {
                stop_at: 3,
                ..defaults()
            })
            .contains("stop_at (3) must be above")
        );
        assert!(
            refused(Settings {
                max_cycle: 9,
                ..defaults()
            })
            .contains("is 72")
        );
        assert!(
            Settings {
                stop_at: 0,
                ..defaults()
            }
            .check()
            .is_ok()
        );
    }
}
