//! What policies order: whether it may be done, which of several orders wins, and how each is carried out.
//!
//! One file for each family of actions. Each is a function over the parts of an exchange that it changes.

pub mod alert;
pub mod context;
pub mod fate;
pub mod name;
pub mod output;
pub mod people;
pub mod record;
pub mod routing;
pub mod scene;
pub mod slots;
pub mod tools;
