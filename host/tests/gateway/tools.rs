//! Tool calls before the client sees them: denied and spliced, rewritten, answered by an open circuit; and results before the
//! model sees them.

mod calls;
mod denied;
mod rewritten;
mod rounds;
