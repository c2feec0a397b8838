//! What an exchange uses: tokens and money over all its legs.

use crate::event::Usage;

/// Who speaks for the session's budget.
pub const LEDGER: &str = "ledger";

/// What an exchange has taken and used.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Tokens of output that were taken from the session's account.
    pub leased: u64,
    /// Tokens that the session's budget left for the answer, if it has one.
    pub room: Option<u64>,
    /// Tokens of output that were let through, once the session's budget has cut the generation.
    pub cut_at: Option<u32>,
    /// Usage of the legs before the present one.
    pub prior: Usage,
    /// What they cost, each at the model that it went to, microdollars.
    pub prior_cost: Option<u64>,
    /// Tokens of output counted until the present leg began.
    pub prior_output: u32,
    /// Tokens of output counted until the usage was stated last.
    pub stated_at: u32,
}
