//! What an exchange used so far: of the present leg as stated or counted, and of all legs.

use super::model_call::ModelCall;
use crate::event::Usage;
use crate::observe::prices::PriceTable;
use crate::observe::vitals::Vitals;
use crate::session::facts::Facts;

/// The present leg ends, and its usage is put to that of those before it. `exact` says whether that can be relied on.
pub fn close_leg(call: &mut ModelCall, vitals: &Vitals, prices: &PriceTable, exact: bool) {
    let usage = usage(call, vitals);
    let cost = cost(call, vitals, prices);
    let account = &mut call.account;
    account.prior_cost = cost;
    account.prior = Usage {
        exact: exact && usage.exact,
        ..usage
    };
    account.prior_output = vitals.output_tokens;
}

/// What all legs cost, each by the prices of the model that it went to; `None` if nobody knows a price.
pub fn cost(call: &ModelCall, vitals: &Vitals, prices: &PriceTable) -> Option<u64> {
    let now = prices.cost_microdollars(&call.legs.model, &usage_of_leg(call, vitals));
    call.account
        .prior_cost
        .map_or(now, |prior| Some(prior + now.unwrap_or_default()))
}

/// Tokens of all legs, as the provider stated them, else as they were counted.
pub fn usage(call: &ModelCall, vitals: &Vitals) -> Usage {
    let prior = call.account.prior;
    let now = usage_of_leg(call, vitals);
    if prior == Usage::default() {
        return now;
    }
    Usage {
        input: prior.input.saturating_add(now.input),
        output: prior.output.saturating_add(now.output),
        cached: prior.cached.saturating_add(now.cached),
        reasoning: prior.reasoning.saturating_add(now.reasoning),
        exact: prior.exact && now.exact,
    }
}

/// No more comes, and nobody stated a usage: what was estimated while it went is counted.
pub fn count_unstated(call: &mut ModelCall, facts: &Facts, vitals: &mut Vitals) {
    if call.release.usage.is_some() || !call.prompt.counter.is_rough() {
        return;
    }
    call.prompt.count_exactly(facts, vitals);
    let generated = call.release.recounted(&call.prompt.counter);
    vitals.output_tokens = call.account.prior_output.saturating_add(generated);
}

/// Tokens of the present leg: as stated, and what was generated since, as servers state their usage in mid-stream too; else
/// as counted.
pub fn usage_of_leg(call: &ModelCall, vitals: &Vitals) -> Usage {
    let account = &call.account;
    if let Some(stated) = call.release.usage {
        let since = vitals.output_tokens.saturating_sub(account.stated_at);
        return Usage {
            output: stated.output.saturating_add(since),
            exact: stated.exact && since == 0,
            ..stated
        };
    }
    Usage {
        input: match call.legs.stage().is_spent() {
            false => 0,
            true => call.prompt.tokens(&call.legs.steps),
        },
        // The token at which a budget ends was generated and is withheld: the account does not hold it.
        output: account
            .cut_at
            .unwrap_or(vitals.output_tokens)
            .saturating_sub(account.prior_output),
        exact: false,
        ..Usage::default()
    }
}
