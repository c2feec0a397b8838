//! A whole answer put together from the stream in which it was judged.

use bytes::Bytes;

use super::Exchange;
use super::next::{Ending, Reply};
use super::words::upstream_failed;
use crate::dialect::Undecodable;
use crate::dialect::framing::{Decoded, Framing};
use crate::dialect::sse::Frame;
use crate::event::FailureKind;

impl Exchange {
    /// The ending of a stream as that of a whole answer, where the client wants one.
    pub(super) fn assembled(&mut self, ending: Ending) -> Ending {
        let Some(assembly) = &mut self.leaving.assembly else {
            return ending;
        };
        let mut stream = std::mem::take(assembly);
        match ending {
            Ending::Done => {}
            Ending::Reply(Reply::Stream(rest)) => stream.extend_from_slice(&rest),
            // It has nothing yet: its SDK raises as it would have.
            other => return other,
        }
        let wire = self.facts.client.outbound().wire();
        let (mut cutter, mut decoded) = (Framing::new(wire), Vec::new());
        let cut = cutter.push(Bytes::from(stream), &mut decoded);
        cutter.finish(&mut decoded);
        let units = decoded.into_iter().filter_map(|part| match part {
            Decoded::Unit(frame) => Some(frame),
            _ => None,
        });
        let frames: Vec<Frame> = units.collect();
        // An error is one, whatever status the upstream gave it.
        let stated = self.call.release.error_status.map(|stated| match stated {
            400..=599 => stated,
            _ => 502,
        });
        let body = match cut {
            Ok(()) => self.call.release.writer.body_of_stream(&frames),
            Err(error) => Err(Undecodable::at("the answer", error)),
        };
        let reply = match (body, &frames[..]) {
            // What states a failure in a form of its own is a body as it is.
            (Err(_), [only]) if stated.is_some() => {
                Reply::Whole(only.data.clone().unwrap_or_default(), stated)
            }
            (Ok(body), _) => Reply::Whole(body.into(), stated),
            (Err(error), _) => {
                Reply::Error(upstream_failed(FailureKind::Upstream, error.to_string()))
            }
        };
        Ending::Reply(reply)
    }
}
