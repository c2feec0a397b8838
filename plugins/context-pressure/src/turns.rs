//! The conversation as far as room can be made in it: what may leave, in which order.
//!
//! A tool call and its results are one step, which leaves whole. Instructions, the user's first message and everything from
//! the user's latest message on stay; of the latter, long results of tools can be cut. The host refuses anything else.

use std::collections::VecDeque;

use airlock_sdk::prelude::*;

use crate::settings::Settings;

/// Steps that are remembered, and bytes of excerpts from them: together below the contract's 64 KiB of saved state, since
/// a byte of text takes at most two in it. The oldest step beyond that stays in the conversation for good.
const STEPS: usize = 200;
const EXCERPTS: usize = 12_288;

/// Bytes of one message that are kept for a summary, as long as there is room.
const EXCERPT: usize = 600;

/// An answer's bytes are not told, its tokens are. English prose has some four bytes a token.
const BYTES_PER_TOKEN: u64 = 4;

/// Results of tools that are shorter are not worth cutting: the note in their place is as long.
const SHORT_RESULT: u64 = 400;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    System,
    User,
    Agent,
}

/// One message, or a tool call with its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Step {
    /// Identities of its first and last message. Of an answer that was only generated, and not told as a message, the
    /// identity is not known: then it is that of the message before, and `known` is false. The host takes a tool call
    /// along with its results, so with those the step is known.
    first: u64,
    last: u64,
    known: bool,
    /// Index in the request of its last message.
    index: u32,
    messages: u32,
    who: Who,
    bytes: u64,
    /// Results of tools that are still whole: id of the call, and bytes.
    results: Vec<(String, u64)>,
    said: String,
    gone: bool,
}

/// The conversation. It is the session's state.
#[derive(Default, Serialize, Deserialize)]
pub struct Turns {
    steps: VecDeque<Step>,
    /// What was said of steps that are gone.
    summary: String,
}

/// What is done at once to make room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relief {
    /// First and last message of each range that leaves, and how many messages that are.
    pub ranges: Vec<(u64, u64, u32)>,
    /// Calls whose results are cut.
    pub results: Vec<String>,
}

impl Turns {
    /// The client sent a message.
    pub fn message(&mut self, message: &Message, said: String) {
        // A request that was blocked is told again when the client repeats it.
        self.rewritten(message.index);
        let who = match message.role {
            Role::System | Role::Developer => Who::System,
            Role::User => Who::User,
            Role::Assistant | Role::Tool | Role::Other => Who::Agent,
        };
        self.push(Step {
            first: message.message,
            last: message.message,
            known: true,
            index: message.index,
            messages: 1,
            who,
            bytes: message.content.length,
            results: Vec::new(),
            said,
            gone: false,
        });
    }

    /// The model answered. The client will send that back, and it will not be told as a message.
    pub fn answer(&mut self, tokens: u32, said: String) {
        let before = self.steps.back();
        let (id, index) = before.map_or((0, 0), |step| (step.last, step.index + 1));
        self.push(Step {
            first: id,
            last: id,
            known: false,
            index,
            messages: 1,
            who: Who::Agent,
            bytes: u64::from(tokens) * BYTES_PER_TOKEN,
            results: Vec::new(),
            said,
            gone: false,
        });
    }

    /// The client sent the result of a tool call, in a message of its own.
    pub fn result(&mut self, result: &ToolResult, said: &str) {
        if !self
            .steps
            .back()
            .is_some_and(|step| step.who == Who::Agent && !step.gone)
        {
            self.answer(0, String::new());
        }
        let Some(step) = self.steps.back_mut() else {
            return;
        };
        if step.results.iter().any(|(call, _)| *call == result.call) {
            return;
        }
        if !step.known {
            (step.first, step.known) = (result.message, true);
        }
        if step.last != result.message {
            (step.last, step.index) = (result.message, step.index + 1);
            step.messages += 1;
        }
        step.bytes += result.content.length;
        step.results
            .push((result.call.clone(), result.content.length));
        step.said.push_str(said);
        self.bound();
    }

    /// The client changed what it had sent, from this index on: what is new there is told again.
    pub fn rewritten(&mut self, at: u32) {
        while self.steps.back().is_some_and(|step| step.index >= at) {
            self.steps.pop_back();
        }
    }

    fn push(&mut self, step: Step) {
        self.steps.push_back(step);
        self.bound();
    }

    fn bound(&mut self) {
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
        loop {
            let all: usize = self.steps.iter().map(|step| step.said.len()).sum();
            let longest = self.steps.iter_mut().max_by_key(|step| step.said.len());
            match longest {
                Some(step) if all > EXCERPTS => {
                    let half = step.said.floor_char_boundary(step.said.len() / 2);
                    step.said.truncate(half);
                }
                _ => return,
            }
        }
    }

    /// What to do when this share of the window is used. Nothing if nothing may leave.
    pub fn relief(&self, settings: &Settings, share: f64) -> Option<Relief> {
        let there = || self.steps.iter().enumerate().filter(|(_, step)| !step.gone);
        let all: u64 = there().map(|(_, step)| step.bytes).sum();
        let mut too_much = (all as f64 * (1.0 - settings.target / share)).max(1.0);
        let of_user = |(at, step): (usize, &Step)| (step.who == Who::User).then_some(at);
        let first_user = there().find_map(of_user)?;
        let newest_turn = there().filter_map(of_user).next_back()?;

        let mut leave = vec![false; self.steps.len()];
        let mut between = 0.0;
        for (at, step) in there().take_while(|(at, _)| *at < newest_turn) {
            if step.who == Who::System || at == first_user {
                continue;
            }
            let bytes = step.bytes as f64;
            if !step.known {
                // It leaves with what stands before and after it, or not at all.
                let before = at.checked_sub(1);
                leave[at] = before.is_some_and(|before| leave[before] || self.steps[before].gone);
                between = if leave[at] { bytes } else { 0.0 };
            } else if too_much > 0.0 {
                leave[at] = true;
                too_much -= bytes + std::mem::take(&mut between);
            }
        }
        let mut results = Vec::new();
        let newest_steps = self
            .steps
            .len()
            .saturating_sub(settings.keep_steps as usize);
        for (_, step) in there().filter(|(at, _)| (newest_turn..newest_steps).contains(at)) {
            for (call, bytes) in step
                .results
                .iter()
                .filter(|(_, bytes)| *bytes > SHORT_RESULT)
            {
                if too_much > 0.0 {
                    results.push(call.clone());
                    too_much -= *bytes as f64;
                }
            }
        }
        let relief = Relief {
            ranges: self.ranges(&leave),
            results,
        };
        (relief != Relief::default()).then_some(relief)
    }

    /// Neighbours that leave are one range, together with what left there before: so one note says it all.
    fn ranges(&self, leave: &[bool]) -> Vec<(u64, u64, u32)> {
        let steps: Vec<(&Step, bool)> = self.steps.iter().zip(leave.iter().copied()).collect();
        steps
            .split(|(step, leaves)| !leaves && !step.gone)
            .filter(|run| run.iter().any(|(step, leaves)| *leaves && step.known))
            .filter_map(|run| {
                let known = || run.iter().map(|(step, _)| *step).filter(|step| step.known);
                let (first, last) = (known().next()?.first, known().next_back()?.last);
                let range = (first, last, 0);
                let within = run.iter().filter(|(step, _)| step.is_in(&range));
                let messages = within.map(|(step, _)| step.messages).sum();
                Some((first, last, messages))
            })
            .collect()
    }

    /// What a model needs to summarise the ranges that leave: what was said of those before, and excerpts.
    pub fn to_summarise(&self, relief: &Relief) -> String {
        let mut text = String::new();
        if !self.summary.is_empty() {
            text = format!("Summary of what came before:\n{}\n\n", self.summary);
        }
        for step in self.within(relief).filter(|step| !step.gone) {
            let who = if step.who == Who::User {
                "user"
            } else {
                "agent"
            };
            text.push_str(&format!("{who}: {}\n", step.said));
        }
        text
    }

    fn within(&self, relief: &Relief) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| relief.takes(step))
    }

    /// It is done.
    pub fn relieved(&mut self, relief: &Relief, summary: Option<&str>) {
        for step in &mut self.steps {
            if relief.takes(step) {
                step.gone = true;
                step.said.clear();
                step.results.clear();
            }
            for (_, bytes) in step
                .results
                .iter()
                .filter(|(call, _)| relief.results.contains(call))
            {
                step.bytes = step.bytes.saturating_sub(*bytes);
            }
            step.results
                .retain(|(call, _)| !relief.results.contains(call));
        }
        if let Some(summary) = summary {
            self.summary = summary.into();
        }
    }
}

impl Step {
    /// Identities grow with the conversation, so a range of them is a range of it. A step that has none of its own stands
    /// between its neighbours.
    fn is_in(&self, (first, last, _): &(u64, u64, u32)) -> bool {
        let before_end = if self.known {
            self.first <= *last
        } else {
            self.first < *last
        };
        *first <= self.first && before_end
    }
}

impl Relief {
    fn takes(&self, step: &Step) -> bool {
        self.ranges.iter().any(|range| step.is_in(range))
    }

    /// How many messages leave.
    pub fn messages(&self) -> u32 {
        self.ranges.iter().map(|(_, _, messages)| messages).sum()
    }
}

/// The beginning of a text, without characters that JSON writes with six.
pub fn excerpt(text: &str) -> String {
    text[..text.floor_char_boundary(EXCERPT)]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn text_of(length: u64) -> ContentRef {
        ContentRef { content: 0, length }
    }

    /// A conversation from letters: `s`ystem, `u`ser, `a`nswer, `t`ool call with a result; each has 1,000 bytes. A message
    /// has the identity 10 x (index + 1).
    fn conversation(letters: &str) -> Turns {
        let mut turns = Turns::default();
        let mut index = 0;
        for letter in letters.chars() {
            let message = |role| Message {
                message: 10 * (u64::from(index) + 1),
                role,
                index,
                content: text_of(1_000),
                extra: Vec::new(),
            };
            match letter {
                's' => turns.message(&message(Role::System), "rule".into()),
                'u' => turns.message(&message(Role::User), "ask".into()),
                'a' => turns.answer(250, "say".into()),
                _ => {
                    turns.answer(0, "call".into());
                    index += 1;
                    let result = ToolResult {
                        call: format!("call_{index}"),
                        name: "read".into(),
                        duration: 0,
                        failed: false,
                        message: 10 * (u64::from(index) + 1),
                        content: text_of(1_000),
                        extra: Vec::new(),
                    };
                    turns.result(&result, " [read] found");
                }
            }
            index += 1;
        }
        turns
    }

    /// Identities that must leave, as `first-last/messages`, and calls whose results are cut.
    fn relief(letters: &str, share: f64) -> String {
        relief_of(&conversation(letters), share)
    }

    fn relief_of(turns: &Turns, share: f64) -> String {
        let Some(relief) = turns.relief(&Settings::default(), share) else {
            return "nothing".into();
        };
        let ranges = relief
            .ranges
            .iter()
            .map(|(first, last, messages)| format!("{first}-{last}/{messages}"));
        ranges.chain(relief.results).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_oldest_turns_leave_down_to_the_target_and_no_further() {
        // 10 messages: at 0.8 a quarter must go, at 0.9 a third. An answer leaves with what stands around it.
        assert_eq!(relief("suauauauau", 0.8), "40-60/3");
        assert_eq!(relief("suuuuuuuuu", 0.9), "30-60/4");
        assert_eq!(relief("suuuuuuuuu", 0.61), "30-30/1");
    }

    #[test]
    fn instructions_the_task_and_the_newest_turn_stay() {
        assert_eq!(relief("su", 0.99), "nothing");
        assert_eq!(relief("suaaa", 0.99), "nothing");
        assert_eq!(relief("ssss", 0.99), "nothing");
        assert_eq!(relief("uusuuu", 0.99), "20-20/1 40-50/2");
    }

    #[test]
    fn a_call_leaves_with_its_results() {
        // u:10, calls with results at 30, 50, 70; then the newest turn.
        assert_eq!(relief("utttuaa", 0.8), "30-50/4");
    }

    #[test]
    fn in_an_agents_one_long_turn_old_results_are_cut_and_the_newest_steps_are_not() {
        assert_eq!(relief("uttttttttt", 0.9), "call_2 call_4 call_6 call_8");
        assert_eq!(relief("utttt", 0.99), "call_2");
        assert_eq!(relief("uttt", 0.99), "nothing");
    }

    #[test]
    fn what_left_before_is_in_the_next_range_and_does_not_count() {
        let mut turns = conversation("suuuuuuuuu");
        let first = turns.relief(&Settings::default(), 0.9).unwrap();
        assert_eq!(first.messages(), 4);
        turns.relieved(&first, Some("they met"));
        assert!(turns.to_summarise(&first).contains("they met"));
        // Six are left, of which two must go.
        assert_eq!(relief_of(&turns, 0.89), "30-80/6");
        let second = turns.relief(&Settings::default(), 0.89).unwrap();
        let text = turns.to_summarise(&second);
        assert_eq!(
            text,
            "Summary of what came before:\nthey met\n\nuser: ask\nuser: ask\n"
        );
    }

    #[test]
    fn cut_results_are_not_cut_again() {
        let mut turns = conversation("utttttttttt");
        let first = turns.relief(&Settings::default(), 0.9).unwrap();
        turns.relieved(&first, None);
        assert_eq!(relief_of(&turns, 0.61), "call_10");
    }

    #[test]
    fn a_rewritten_history_is_told_anew() {
        let mut turns = conversation("suuuu");
        turns.rewritten(2);
        assert_eq!(turns.steps.len(), 2);
        turns.rewritten(0);
        assert!(turns.steps.is_empty());
    }

    #[test]
    fn what_is_told_again_counts_once() {
        let mut turns = conversation("suut");
        let message = Message {
            message: 30,
            role: Role::User,
            index: 2,
            content: text_of(1_000),
            extra: Vec::new(),
        };
        turns.message(&message, String::new());
        assert_eq!(turns.steps.len(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let mut turns = Turns::default();
        for n in 0..5_000 {
            let message = Message {
                message: 1_000_000 + n,
                role: Role::Assistant,
                index: n as u32,
                content: text_of(1_000_000),
                extra: Vec::new(),
            };
            turns.message(&message, excerpt(&"\"\n".repeat(5_000)));
            let result = ToolResult {
                call: format!("call_{n:024}"),
                name: "read".into(),
                duration: 0,
                failed: false,
                message: 1_000_000 + n,
                content: text_of(1_000_000),
                extra: Vec::new(),
            };
            turns.result(&result, &excerpt(&"\"\n".repeat(5_000)));
        }
        assert_eq!(turns.steps.len(), STEPS);
        let saved = serde_json::to_vec(&turns).unwrap().len();
        assert!(saved < 65_536, "{saved}");
    }
}
