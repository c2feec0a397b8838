//! What policies order and what comes of it: slots, modes, grants, the operator's table, cascades, and each action as the
//! client and the upstream see it.

mod endings;
mod orders;
mod requests;
mod slots;
mod text;
mod time;
