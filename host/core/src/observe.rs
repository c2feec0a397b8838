//! From frames to events: what an exchange has seen, its tokens, its tools, its measured state.

pub mod health;
pub mod log;
pub mod machine;
pub mod prices;
pub mod tokens;
pub mod tools;
pub mod vitals;
