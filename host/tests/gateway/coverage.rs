//! No byte of a response reaches the client before every enforcing policy could judge it: for every channel, streamed and
//! not, whatever the borders between chunks, and however the response came about.

mod forbidden;
mod judged;
mod told;
