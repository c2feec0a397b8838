//! The family "output": what policies change in generated text before it leaves.
//!
//! What is put in is judged by the others' patterns, by itself and joined with what stands around it. In the arguments of a call
//! that was judged whole it is a rewrite of the call, and judged like one.

use super::scene::{Done, Scene, done, refused};
use super::tools;
use crate::event::{Outcome, Span};
use crate::release::Hold;
use crate::release::stretch::Unreplaced;
use airlock_policy::contract::types as wit;

/// Replaces a range of generated text.
pub fn replace(scene: &mut Scene<'_>, hold: &mut Hold, replacement: &wit::Replacement) -> Done {
    let Some(span) = Span::from_wit(replacement.span) else {
        return refused("it names no text");
    };
    let (channel, text) = (span.place.channel, &replacement.text);
    if hold.is_sealed_call(span.place) {
        return rewrite(scene, hold, &span, text);
    }
    let before = hold.around(&span);
    if let Err(why) = hold.replace(span.place, span.offset, span.length, text.clone()) {
        return undone(why);
    }
    let after = hold.around(&span);
    let alone = scene.panel.offends(scene.by, channel, text);
    let joined = || scene.panel.offends_anew(scene.by, channel, &before, &after);
    let Some(policy) = alone.or_else(joined) else {
        return done();
    };
    // Nothing is put in at all.
    hold.empty(&span);
    let why =
        format!("the new text matches a pattern of `{policy}`: the range was removed instead");
    (Outcome::Failed, why)
}

/// A range of the arguments of a call that was judged whole: the call with the range replaced is judged in its place.
fn rewrite(scene: &mut Scene<'_>, hold: &mut Hold, span: &Span, text: &str) -> Done {
    let (call, content) = match hold.rewritten(span, text) {
        Ok(rewritten) => rewritten,
        Err(why) => return undone(why),
    };
    let rewrite = wit::ToolRewrite { call, content };
    let done = tools::rewrite(scene, hold, &rewrite);
    if done.0 == Outcome::Applied {
        // Further ranges are replaced beside this one. It was possible a moment ago.
        let _ = hold.replace(span.place, span.offset, span.length, text.to_owned());
    }
    done
}

fn undone(why: Unreplaced) -> Done {
    match why {
        Unreplaced::TooLate => {
            let why = "the client has a part of the range".to_owned();
            (Outcome::TooLate, why)
        }
        Unreplaced::Impossible(reason) => refused(reason),
    }
}
