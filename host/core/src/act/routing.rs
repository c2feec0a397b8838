//! The family "routing": where the call goes, with which parameters, and what the session may use.

use super::scene::{Done, Scene, done, refused};
use crate::event::phase::Phase;
use crate::prompt::Prompt;
use crate::prompt::changes::RESERVED;
use crate::session::ledger::Limits;
use airlock_policy::contract::types::{self as wit, Scope};

/// Sets fields of the request.
pub fn set_parameters(
    scene: &mut Scene<'_>,
    prompt: &mut Prompt,
    parameters: &wit::Parameters,
) -> Done {
    for (name, value) in &parameters.fields {
        if RESERVED.contains(&name.as_str()) {
            return refused(format!("`{name}` has an action of its own"));
        }
        if serde_json::from_str::<serde_json::Value>(value).is_err() {
            return refused(format!("the value of `{name}` is not JSON: {value}"));
        }
    }
    match parameters.scope {
        Scope::Session => {
            let mut state = scene.facts.session.state();
            state.overlay.set_parameters(&parameters.fields);
        }
        Scope::Exchange => {
            let set = parameters.fields.iter().cloned();
            prompt.changes.parameters.extend(set);
        }
    }
    done()
}

/// Sends the call elsewhere.
pub fn route(scene: &mut Scene<'_>, prompt: &mut Prompt, route: &wit::Route) -> Done {
    if route.upstream.is_empty() && route.model.is_empty() {
        return refused("neither an upstream nor a model is named");
    }
    if route.scope == Scope::Session {
        let mut state = scene.facts.session.state();
        state.overlay.upstream.clone_from(&route.upstream);
        state.overlay.model.clone_from(&route.model);
    }
    if scene.phase == Phase::Request {
        prompt.changes.upstream.clone_from(&route.upstream);
        prompt.changes.model.clone_from(&route.model);
    }
    done()
}

/// Tightens the session's limits.
pub fn allocate(scene: &mut Scene<'_>, allocation: &wit::Allocation) -> Done {
    if allocation.scope == Scope::Exchange {
        return refused("limits of a single exchange are not available in this version of Airlock");
    }
    let mut limits = Limits::default();
    for (name, most) in &allocation.limits {
        match name.as_str() {
            "tokens" => limits.tokens = Some(*most),
            "cost" => limits.cost = Some(*most),
            _ => {
                return refused(format!(
                    "`{name}` has no limit in this version of Airlock: `tokens` and `cost` have"
                ));
            }
        }
    }
    let session = &scene.facts.session;
    session.ledger.allocate(limits);
    scene.vitals.session = session.vitals();
    done()
}
