//! The answer on its way out: the SSE stream with its scripted accidents, or the whole answer at once.
//!
//! Each frame is one write, so a reader sees the borders that the script states; `write_bytes` sets other borders. What was
//! sent is recorded byte for byte as it is handed over, and the end of a generation is counted as completed or, if the
//! client left first, as cancelled.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::error::ScriptedError;
use super::generation::{Delta, Generation};
use super::record::Open;
use super::script::Script;
use super::wire;

/// Before a connection is cut, what was written before must have left: one turn of the server's own loop and some.
const FLUSH: Duration = Duration::from_millis(5);

/// The answer as a stream.
pub fn respond(generation: Generation, script: &Script, open: Open) -> Response {
    let writer = Writer::new(generation, script, open);
    let body = stream::unfold(writer, |mut writer| async move {
        let piece = writer.next().await?;
        Some((piece, writer))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The answer as one JSON body, after the time that its frames would have taken. Dropped, and counted as cancelled, when
/// the client leaves before.
pub async fn collect(mut generation: Generation, script: &Script, mut open: Open) -> Response {
    let mut choices: Vec<wire::Choice> = (0..generation.choices)
        .map(|_| wire::Choice::default())
        .collect();
    let mut spoken = 0;
    loop {
        if script.hang_after_chunks == Some(spoken) {
            std::future::pending::<()>().await;
        }
        if script.error_after_chunks == Some(spoken) {
            open.complete();
            return script.error.clone().unwrap_or_default().into_response();
        }
        let pause = generation.pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        // An endless generation that is not streamed waits for its client to leave.
        if spoken % 1024 == 1023 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let Some((choice, delta)) = generation.next_delta() else {
            break;
        };
        spoken += usize::from(delta.is_content());
        if let Some(choice) = choices.get_mut(choice) {
            choice.add(delta);
        }
    }
    let body = wire::completion(&generation, choices).to_string();
    open.sent(body.as_bytes());
    open.complete();
    if script.die_after_chunks.is_some() {
        // Half the body, then the connection is cut.
        let half = Bytes::from(body).slice(..16);
        let body = stream::iter([Ok(half), Err(cut())]);
        return (
            [(header::CONTENT_TYPE, "application/json")],
            Body::from_stream(body),
        )
            .into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What comes next on the stream.
enum Stage {
    Opening {
        choice: usize,
    },
    Speaking,
    Closing {
        choice: usize,
    },
    Usage,
    Done,
    /// Verbatim pieces.
    Raw,
    Cut,
    Silent,
    Ended,
}

struct Writer {
    generation: Generation,
    open: Open,
    stage: Stage,
    die_after: Option<usize>,
    hang_after: Option<usize>,
    error_after: Option<usize>,
    error: Option<ScriptedError>,
    no_done: bool,
    raw: VecDeque<String>,
    /// Before each verbatim piece.
    delay: Duration,
    write_bytes: Option<usize>,
    /// Frames of content so far.
    content: usize,
    /// Written, but not yet handed over because of `write_bytes`.
    backlog: Bytes,
}

impl Writer {
    fn new(generation: Generation, script: &Script, open: Open) -> Self {
        Self {
            generation,
            open,
            stage: if script.raw.is_some() {
                Stage::Raw
            } else {
                Stage::Opening { choice: 0 }
            },
            die_after: script.die_after_chunks,
            hang_after: script.hang_after_chunks,
            error_after: script.error_after_chunks,
            error: script.error.clone(),
            no_done: script.no_done.unwrap_or(false),
            raw: script.raw.clone().unwrap_or_default().into(),
            delay: Duration::from_millis(script.delay_ms.unwrap_or(0)),
            write_bytes: script.write_bytes.filter(|size| *size > 0),
            content: 0,
            backlog: Bytes::new(),
        }
    }

    /// The next write; an error cuts the connection; `None` ends the body.
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        if self.backlog.is_empty() {
            match self.frame().await {
                Some(Ok(frame)) => self.backlog = Bytes::from(frame),
                Some(Err(error)) => return Some(Err(error)),
                None => return None,
            }
        }
        let size = self
            .write_bytes
            .unwrap_or(usize::MAX)
            .min(self.backlog.len());
        if self.write_bytes.is_some() {
            // One write each: without a pause the server joins them.
            tokio::task::yield_now().await;
        }
        let piece = self.backlog.split_to(size);
        self.open.sent(&piece);
        Some(Ok(piece))
    }

    async fn frame(&mut self) -> Option<Result<String, std::io::Error>> {
        loop {
            match self.stage {
                Stage::Opening { choice } => {
                    self.stage = if choice + 1 < self.generation.choices {
                        Stage::Opening { choice: choice + 1 }
                    } else {
                        Stage::Speaking
                    };
                    return Some(Ok(wire::frame(&wire::opening(&self.generation, choice))));
                }
                Stage::Speaking => {
                    if let Some(frame) = self.speak().await {
                        return Some(Ok(frame));
                    }
                }
                Stage::Closing { choice } => {
                    self.stage = if choice + 1 < self.generation.choices {
                        Stage::Closing { choice: choice + 1 }
                    } else {
                        Stage::Usage
                    };
                    return Some(Ok(wire::frame(&wire::closing(&self.generation, choice))));
                }
                Stage::Usage => {
                    self.stage = Stage::Done;
                    if self.generation.include_usage {
                        return Some(Ok(wire::frame(&wire::usage_chunk(&self.generation))));
                    }
                }
                Stage::Done => {
                    self.stage = Stage::Ended;
                    if !self.no_done {
                        return Some(Ok(wire::DONE.to_owned()));
                    }
                }
                Stage::Raw => match self.raw.pop_front() {
                    Some(piece) if piece.is_empty() => {}
                    Some(piece) => {
                        if !self.delay.is_zero() {
                            tokio::time::sleep(self.delay).await;
                        }
                        return Some(Ok(piece));
                    }
                    None => self.stage = Stage::Ended,
                },
                Stage::Cut => {
                    tokio::time::sleep(FLUSH).await;
                    self.stage = Stage::Ended;
                    self.open.complete();
                    return Some(Err(cut()));
                }
                Stage::Silent => std::future::pending::<()>().await,
                Stage::Ended => {
                    self.open.complete();
                    return None;
                }
            }
        }
    }

    /// The next frame of content, or a change of stage.
    async fn speak(&mut self) -> Option<String> {
        let reached = |limit: Option<usize>| limit.is_some_and(|limit| self.content >= limit);
        if reached(self.die_after) {
            self.stage = Stage::Cut;
            return None;
        }
        if reached(self.hang_after) {
            self.stage = Stage::Silent;
            return None;
        }
        if reached(self.error_after) {
            self.stage = Stage::Ended;
            return Some(wire::frame(&wire::error(
                &self.error.clone().unwrap_or_default(),
            )));
        }
        let pause = self.generation.pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Some((choice, delta)) = self.generation.next_delta() else {
            self.stage = Stage::Closing { choice: 0 };
            return None;
        };
        self.content += usize::from(delta.is_content());
        Some(self.content_frame(choice, &delta))
    }

    fn content_frame(&self, choice: usize, delta: &Delta) -> String {
        wire::frame(&wire::delta(&self.generation, choice, delta))
    }
}

fn cut() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::ConnectionReset,
        "the simulated upstream cuts the connection",
    )
}
