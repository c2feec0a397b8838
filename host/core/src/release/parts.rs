//! Which part belongs to which call, and what a call is called: read so that no client can read it otherwise. Every call
//! leaves with an index of its own, and where clients would still differ ([`Call::unclear`]) the call is denied.

use super::call::{Call, Part, Sealed};
use super::frame::Span;
use super::hold::Hold;
use super::stretch::{Patterns, Stretch};
use crate::dialect::{CallKind, CallPart, Slot, made_id};
use crate::event::{Channel, Place};
use crate::observe::tokens::TokenCounter;
use crate::reason::patterns::Match;
use airlock_policy::contract::SMALL;

/// A call that parts may be added to.
struct OpenCall<'h>(&'h mut Stretch);

impl OpenCall<'_> {
    /// Adds a part. Matches that are now certain are added to `found`. Gives what of it was said before, where its
    /// arguments begin, and their tokens.
    fn add(self, part: &CallPart, found: &mut Vec<Match>) -> (bool, bool, u32, u32) {
        let (mut id_said, mut name_said) = (false, false);
        let stretch = self.0;
        if let Some(call) = &mut stretch.call {
            if let Some(id) = &part.id {
                id_said = call.shown == *id;
                if call.shown.is_empty() {
                    call.shown.clone_from(id);
                }
            }
            if let Some(name) = &part.name {
                name_said = call.name == *name;
                if call.name.is_empty() {
                    call.name.clone_from(name);
                } else if !name_said {
                    call.unclear = Some(format!("it is called `{}` and then `{name}`", call.name));
                }
            }
            if call.kind == CallKind::Unsaid {
                call.kind = part.kind;
            } else if part.kind != CallKind::Unsaid && part.kind != call.kind {
                let what = "it is the call of a function and then of a custom tool";
                call.unclear = Some(what.to_owned());
            }
        }
        let (start, tokens) = stretch.append(&part.arguments, true, found);
        (id_said, name_said, start, tokens)
    }
}

impl Hold {
    /// A part of a call of a leg: added to the call that it belongs to, which begins now if it is new. Gives what the
    /// frame bears of it, the place of its text, and its tokens.
    ///
    /// # Errors
    /// [`Sealed`]; nothing was added.
    pub fn call_part(
        &mut self,
        part: &CallPart,
        leg: u32,
        patterns: &Patterns,
        tokens: &TokenCounter,
        found: &mut Vec<Match>,
    ) -> Result<(Part, Span, u32), Sealed> {
        let index = match self.belongs(part, leg) {
            Some(index) => index,
            None => {
                let calls = self.calls_of(part.choice).count();
                let place = Place::new(
                    Channel::ToolArguments,
                    part.choice,
                    u32::try_from(calls).unwrap_or(SMALL),
                );
                let mut stretch = Stretch::new(place, patterns, tokens);
                let mut call = Call::new(part, leg);
                let bare = part.slot == Slot::Unnumbered && part.id.is_none();
                let numbered = |slot: Slot| std::mem::discriminant(&slot);
                let clash = self
                    .calls_of(part.choice)
                    .filter(|(_, other)| other.leg == leg)
                    .any(|(_, other)| {
                        // Clients that go by ids alone take a part without one for more of the last call.
                        let joins = part.id.is_none() && !other.shown.is_empty();
                        let counted = numbered(other.slot) == numbered(part.slot);
                        part.slot != Slot::Whole && (bare || joins || !counted)
                    });
                if clash {
                    let what = "it is not named or numbered as another call of the answer is, and clients join the two";
                    call.unclear = Some(what.to_owned());
                }
                stretch.call = Some(call);
                self.stretches.push(stretch);
                self.stretches.len() - 1
            }
        };
        let (id_said, name_said, start, tokens) = self.open(index)?.add(part, found);
        self.name(index);
        let end = self
            .stretches
            .get(index)
            .map_or(start, |s| s.text.len() as u32);
        let said = Part {
            stretch: index,
            start,
            end,
            slot: part.slot,
            id_said,
            name_said,
        };
        let span = Span {
            stretch: index,
            start,
            end,
        };
        Ok((said, span, tokens))
    }

    fn open(&mut self, index: usize) -> Result<OpenCall<'_>, Sealed> {
        let sealed = |name: &str| {
            Err(Sealed {
                name: name.to_owned(),
            })
        };
        match self.stretches.get_mut(index) {
            None => sealed(""),
            Some(stretch) => match &stretch.call {
                Some(call) if !call.is_open() => sealed(&call.name),
                _ => Ok(OpenCall(stretch)),
            },
        }
    }

    fn calls_of(&self, choice: u16) -> impl Iterator<Item = (usize, &Call)> {
        let of_choice = move |(index, s)| -> Option<(usize, &Call)> {
            let stretch: &Stretch = s;
            let call = stretch.call.as_ref()?;
            (stretch.place.choice == choice).then_some((index, call))
        };
        self.stretches.iter().enumerate().filter_map(of_choice)
    }

    /// The call to which a part belongs; `None`: it begins one. An id that is new at its index is a new call: servers that
    /// number all calls alike do exist, and clients differ on what they then run.
    fn belongs(&self, part: &CallPart, leg: u32) -> Option<usize> {
        let same = |call: &&Call| call.leg == leg;
        let mut at_slot = self
            .calls_of(part.choice)
            .filter(|(_, call)| same(call))
            .filter(|(_, call)| call.slot == part.slot);
        match part.slot {
            Slot::Whole => None,
            Slot::Single => at_slot.last().map(|(index, _)| index),
            Slot::Index(_) => match &part.id {
                None => at_slot.last().map(|(index, _)| index),
                Some(id) => {
                    let all: Vec<(usize, &Call)> = at_slot.collect();
                    let known = all.iter().rev().find(|(_, call)| call.shown == *id);
                    let last = all.last().filter(|(_, call)| call.shown.is_empty());
                    known.or(last).map(|(index, _)| *index)
                }
            },
            Slot::Unnumbered => match &part.id {
                Some(id) => at_slot.find(|(_, call)| call.shown == *id).map(|(i, _)| i),
                // A name begins a call; without one it goes on with the last.
                None if part.name.is_some() => None,
                None => {
                    let calls = self.calls_of(part.choice);
                    calls.filter(|(_, call)| same(call)).last().map(|(i, _)| i)
                }
            },
        }
    }

    /// Gives a call the id by which policies know it. They name a call by it, and must mean one.
    fn name(&mut self, index: usize) {
        let Some((place, call)) = self
            .stretches
            .get(index)
            .and_then(|s| Some((s.place, s.call.as_ref()?)))
        else {
            return;
        };
        let taken = self.stretches.iter().enumerate().any(|(at, s)| {
            let other = s.call.as_ref().filter(|_| at != index);
            other.is_some_and(|other| other.leg == call.leg && other.id == call.shown)
        });
        // In a list of whole calls each stands for itself; parts of calls with one id are joined by clients that go by it.
        let joined = call.slot != Slot::Whole
            && !call.shown.is_empty()
            && self.calls_of(place.choice).any(|(at, other)| {
                at < index && other.leg == call.leg && other.shown == call.shown
            });
        let id = if call.shown.is_empty() || taken {
            made_id(place.choice, place.item as usize)
        } else {
            call.shown.clone()
        };
        if let Some(call) = self.stretches.get_mut(index).and_then(|s| s.call.as_mut()) {
            call.id = id;
            if joined {
                call.unclear = Some("its id is that of another call of the answer".to_owned());
            }
        }
    }
}
