//! HTTP in. Here: what the wire says (framing and dialects), free of I/O.

pub mod dialect;
pub mod sse;
