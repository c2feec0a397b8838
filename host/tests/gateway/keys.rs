//! Airlock's own keys and limits of calls: who gets in, that nobody reaches another's session, and that no limit is passed.

mod access;
mod callers;
mod places;
mod rates;
