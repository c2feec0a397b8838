//! A tool call as Airlock sees it in any dialect.

/// A tool call in the conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallView {
    /// The vendor's id.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as the model wrote them.
    pub arguments: String,
    /// The whole call as its server wrote it, as JSON, where Airlock puts back one of the model's own: what else stands in
    /// it (the signature of a thought) goes back with it. `None` in a conversation that was read.
    pub own: Option<String>,
    /// Its place among the calls of its turn, for a call that is put back; `None`: after the others.
    pub at: Option<u32>,
}

/// What every id begins with that Airlock made.
const MADE: &str = "airlock-";

/// The id of a call to which its upstream gave none: by it whoever judges knows the call, and its result in the next request.
pub fn made_id(choice: u16, number: usize) -> String {
    format!("{MADE}{choice}-{number}")
}

/// The same where results name the tool: of the tool's name, and of how many calls of that name its turn has before it.
pub fn made_up(name: &str, before: usize) -> String {
    format!("{MADE}{name}-{before}")
}

/// Whether no vendor gave the id. It means a call within its turn, and says nothing of which conversation that is of; no
/// upstream is told of it.
pub fn is_made_up(id: &str) -> bool {
    id.starts_with(MADE)
}

/// The id that somebody else gave; empty if Airlock made it. No client and no model has that one.
pub(super) fn stated_id(id: &str) -> &str {
    if is_made_up(id) { "" } else { id }
}
