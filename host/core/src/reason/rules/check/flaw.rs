//! What is wrong with a condition, and where.

use cel::common::ast::IdedExpr;

/// What is wrong, and with which node.
#[derive(Debug, PartialEq)]
pub struct Flaw {
    /// Id of the node.
    pub node: u64,
    /// What is wrong and what to do.
    pub message: String,
}

pub(super) fn flaw(at: &IdedExpr, message: impl Into<String>) -> Flaw {
    Flaw {
        node: at.id,
        message: message.into(),
    }
}
