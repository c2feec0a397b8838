//! What tokens cost: a small table of list prices in the binary, under the entries of the configuration.
//!
//! Guarantees: an entry of the configuration wins over the table; a model without an entry has no price, rather than a
//! guessed one. Not guaranteed: that the list prices are today's, or yours. Writing to a provider's cache, long prompts,
//! batch and priority tiers are not priced apart.

use std::collections::HashMap;

use anyhow::Context;
use serde::Deserialize;

use crate::event::Usage;

const SNAPSHOT: &str = include_str!("prices.toml");

/// What a model costs, in US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Prompt tokens.
    pub input: f64,
    /// Generated tokens, reasoning included.
    pub output: f64,
    /// Prompt tokens from the provider's cache; without it, as `input`.
    pub cached_input: Option<f64>,
    /// Size of the context window in tokens; 0 if not known.
    #[serde(default)]
    pub context_window: u32,
}

/// What tokens of a model cost: microdollars for a million of them. All zero when the price is not known; a limit of cost
/// cannot hold such a model back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
}

/// Prices by model name.
#[derive(Debug, Clone)]
pub struct PriceTable {
    models: HashMap<String, Price>,
}

impl PriceTable {
    /// The list prices in the binary, replaced and extended by `configured`.
    ///
    /// # Errors
    /// Only if the table in the binary is broken.
    pub fn new(configured: &[(String, Price)]) -> anyhow::Result<Self> {
        let mut models: HashMap<String, Price> =
            toml::from_str(SNAPSHOT).context("the table of list prices in this program")?;
        models.extend(configured.iter().cloned());
        Ok(Self { models })
    }

    /// The entry for a model as a request or an answer names it: the longest name in the table of which this is the same
    /// model. Dates, `-latest` and a vendor's prefix (`openai/gpt-4o`) do not matter, unless an entry has them.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<&Price> {
        let bare = model.rsplit_once('/').map_or(model, |(_, name)| name);
        [model, bare].into_iter().find_map(|name| {
            let releases = name.rmatch_indices(['-', '@']).map(|(at, _)| at);
            let mut ends = std::iter::once(name.len())
                .chain(releases.filter(|at| name.get(*at..).is_some_and(is_release)));
            ends.find_map(|end| self.models.get(name.get(..end)?))
        })
    }

    /// What `usage` costs in microdollars, rounded up; `None` without a price.
    #[must_use]
    pub fn cost_microdollars(&self, model: &str, usage: &Usage) -> Option<u64> {
        let price = self.price(model)?;
        let cached = usage.cached.min(usage.input);
        // Dollars per million tokens are microdollars per token.
        let cost = f64::from(usage.input - cached) * price.input
            + f64::from(cached) * price.cached_input.unwrap_or(price.input)
            + f64::from(usage.output) * price.output;
        // A millionth less, so that 0.1 + 0.2 is not rounded up to the next dollar's millionth.
        Some((cost - 1e-6).ceil().max(0.0) as u64)
    }

    /// Tokens that fit into a model's prompt and answer; `None` if not known.
    #[must_use]
    pub fn context_window(&self, model: &str) -> Option<u32> {
        let window = self.price(model)?.context_window;
        (window > 0).then_some(window)
    }

    /// What the ledger reserves by, before the usage is known: nothing is taken for cached.
    #[must_use]
    pub fn ledger_prices(&self, model: &str) -> Prices {
        let per_million = |dollars: f64| (dollars * 1e6).round() as u64;
        self.price(model)
            .map(|price| Prices {
                input: per_million(price.input),
                output: per_million(price.output),
            })
            .unwrap_or_default()
    }
}

/// Whether a name's ending tells a release of the same model: `-2024-08-06`, `-20250514`, `-0613`, `-001`, `@20250514`,
/// `-latest`. A short number is a version (`claude-opus-4` and `claude-opus-4-5`) and may cost something else.
fn is_release(ending: &str) -> bool {
    let Some(ending) = ending.strip_prefix(['-', '@']) else {
        return false;
    };
    let mut parts = ending.split('-');
    let first = parts.next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    ending == "latest" || (is_number(first) && first.len() >= 3 && parts.all(is_number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn usage(input: u32, cached: u32, output: u32) -> Usage {
        Usage {
            input,
            cached,
            output,
            ..Usage::default()
        }
    }

    fn table() -> PriceTable {
        PriceTable::new(&[]).unwrap()
    }

    #[test]
    fn every_listed_price_makes_sense() {
        for (model, price) in table().models {
            assert!(price.input > 0.0 && price.input <= price.output, "{model}");
            assert!(
                price.cached_input.is_none_or(|cached| cached < price.input),
                "{model}"
            );
            assert!(price.context_window >= 8192, "{model}");
        }
    }

    #[test]
    fn cost_counts_cached_and_other_tokens_once() {
        let cost = |usage| table().cost_microdollars("gpt-4o", &usage).unwrap();
        assert_eq!(cost(usage(1_000_000, 0, 0)), 2_500_000);
        assert_eq!(cost(usage(1_000_000, 1_000_000, 0)), 1_250_000);
        assert_eq!(cost(usage(1_000, 400, 100)), 1_500 + 500 + 1_000);
        assert_eq!(cost(usage(1, 0, 0)), 3, "rounded up");
        assert_eq!(cost(usage(0, 0, 0)), 0);
        assert_eq!(
            cost(usage(10, 99, 0)),
            13,
            "never more cached than there are"
        );
        let nano = table().cost_microdollars("gpt-4.1-nano", &usage(30, 0, 0));
        assert_eq!(nano, Some(3), "no millionth added by floating point");
        let most = usage(u32::MAX, 0, u32::MAX);
        assert!(table().cost_microdollars("gpt-4", &most).unwrap() > 0);
    }

    #[test]
    fn releases_have_the_price_of_their_model_and_other_models_none() {
        let table = table();
        let input = |model: &str| table.price(model).map(|price| price.input);
        assert_eq!(input("gpt-4o-2024-11-20"), Some(2.5));
        assert_eq!(input("gpt-4o-2024-05-13"), Some(5.0));
        assert_eq!(input("gpt-4o-mini-2024-07-18"), Some(0.15));
        assert_eq!(input("openai/gpt-4o"), Some(2.5));
        assert_eq!(input("claude-opus-4-5-20251101"), Some(5.0));
        assert_eq!(input("claude-opus-4-20250514"), Some(15.0));
        assert_eq!(input("claude-sonnet-4@20250514"), Some(3.0));
        assert_eq!(input("claude-3-7-sonnet-latest"), Some(3.0));
        assert_eq!(input("gemini-2.5-flash-001"), Some(0.3));
        for other in [
            "gpt-5-super",
            "gpt-5.9",
            "gpt-4-32k",
            "claude-opus-4-9",
            "gpt-4o-audio-preview",
            "llama-3",
            "é",
            "",
        ] {
            assert_eq!(input(other), None, "{other}");
        }
    }

    #[test]
    fn the_configuration_wins() {
        let mine = |input| Price {
            input,
            output: 2.0,
            cached_input: None,
            context_window: 0,
        };
        let configured = [
            ("gpt-4o".to_owned(), mine(1.0)),
            ("meta-llama/Llama-3.1-8B".to_owned(), mine(0.5)),
        ];
        let table = PriceTable::new(&configured).unwrap();
        assert_eq!(table.price("gpt-4o-2024-11-20").unwrap().input, 1.0);
        assert_eq!(table.context_window("gpt-4o"), None);
        assert_eq!(table.context_window("gpt-4o-mini"), Some(128_000));
        assert_eq!(table.price("meta-llama/Llama-3.1-8B").unwrap().input, 0.5);
        assert_eq!(
            table.ledger_prices("gpt-4o"),
            Prices {
                input: 1_000_000,
                output: 2_000_000
            }
        );
        assert_eq!(table.ledger_prices("unknown"), Prices::default());
    }
}
