//! Content codings: undoes the compression of bodies, although none is ever asked for.
//!
//! What is compressed cannot be read, and what Airlock cannot read it must not pass. Every coding of the registry that
//! clients undo by themselves is undone here; one that is not known is an error that names it.
//!
//! Bounds: at most [`MAX_PIECE`] bytes come of [`PIECE`] bytes, whatever the coding and however many are stacked, and no
//! piece is undone before the one in front of it was taken, so that a bomb ends the body instead of filling memory. Text in events compresses 5 to 50 times; zstd can state 30,000.

use std::io::{self, Write as _};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress};
use http::HeaderMap;
use http::header::{self, HeaderName};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation as _, OutBuffer};

/// Input is taken in pieces of so many bytes.
const PIECE: usize = 4 * 1024;

/// Most bytes that may come of one piece.
const MAX_PIECE: usize = 8 * 1024 * 1024;

/// Codings that may lie on one another. More are nobody's mistake.
const MAX_STACKED: usize = 3;

/// Window of zstd that is granted, as a power of two: the bound of RFC 9659 for HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

/// What the known codings are called, as a server may be told with a 415.
pub const KNOWN: &str = "gzip, deflate, br, zstd";

/// Headers that describe a body's bytes. They must not outlive them.
const OF_THE_BODY: [HeaderName; 9] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::ETAG,
    header::ACCEPT_RANGES,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Takes out the headers that describe the bytes of a body that is another one now.
pub fn forget_body(headers: &mut HeaderMap) {
    for name in OF_THE_BODY {
        headers.remove(name);
    }
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// It bears a coding that is not known, or too many.
    #[error("the content coding {0:?}")]
    Unknown(String),
    /// Without its coding it is longer than it may be.
    #[error("without its content coding it is too long")]
    TooLong,
    /// Its bytes are not what its coding says.
    #[error("its {coding} coding is broken: {reason}")]
    Broken {
        /// Name of the coding.
        coding: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Undoes the codings of one body.
pub struct Decoder {
    /// The coding that was put on last comes first.
    stages: Vec<Stage>,
    /// What arrived and was not undone yet.
    coded: Bytes,
    /// Anything arrived: an empty body has no coding to be broken.
    begun: bool,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.stages.iter().map(Stage::name).collect();
        f.debug_tuple("Decoder").field(&names).finish()
    }
}

impl Decoder {
    /// What undoes the codings that the headers state; `None` where they state none.
    ///
    /// # Errors
    /// [`CodingError::Unknown`].
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, CodingError> {
        let mut stages = Vec::new();
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            for name in text.split(',').map(str::trim) {
                stages.extend(match name {
                    "" | "identity" => None,
                    "gzip" | "x-gzip" => {
                        Some(Stage::Gzip(Box::new(MultiGzDecoder::new(Sink::default()))))
                    }
                    "deflate" => Some(Stage::Deflate(None)),
                    "br" => Some(Stage::Brotli(brotli())),
                    "zstd" => Some(Stage::Zstd {
                        decoder: zstd().map_err(|error| broken("zstd", error))?,
                        open: true,
                    }),
                    other => return Err(CodingError::Unknown(shortened(other))),
                });
            }
        }
        if stages.len() > MAX_STACKED {
            let names: Vec<_> = stages.iter().map(Stage::name).collect();
            return Err(CodingError::Unknown(shortened(&names.join(", "))));
        }
        stages.reverse();
        Ok((!stages.is_empty()).then_some(Self {
            stages,
            coded: Bytes::new(),
            begun: false,
        }))
    }

    /// The next bytes of the body, to be had from [`Decoder::pull`]. All that came before must have been taken.
    pub fn push(&mut self, bytes: Bytes) {
        self.begun |= !bytes.is_empty();
        self.coded = bytes;
    }

    /// The next piece that can be read; `None` when more has to be pushed.
    ///
    /// # Errors
    /// [`CodingError::Broken`]; nothing more can be had.
    pub fn pull(&mut self) -> Result<Option<Bytes>, CodingError> {
        while !self.coded.is_empty() {
            let mut piece = self.coded.split_to(PIECE.min(self.coded.len())).to_vec();
            for stage in &mut self.stages {
                piece = stage
                    .undo(&piece)
                    .map_err(|error| broken(stage.name(), error))?;
            }
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        Ok(None)
    }

    /// The body's end.
    ///
    /// # Errors
    /// It was cut: what came looks whole and is not.
    pub fn finish(&mut self) -> Result<(), CodingError> {
        for stage in &mut self.stages {
            if self.begun {
                stage.end().map_err(|error| broken(stage.name(), error))?;
            }
        }
        Ok(())
    }
}

/// A body that was read to its end, without its codings.
///
/// # Errors
/// As [`Decoder::push`] and [`Decoder::finish`], or that it is longer than `limit`.
pub fn undo(mut decoder: Decoder, body: Bytes, limit: usize) -> Result<Bytes, CodingError> {
    let mut out = Vec::new();
    decoder.push(body);
    while let Some(piece) = decoder.pull()? {
        if out.len() + piece.len() > limit {
            return Err(CodingError::TooLong);
        }
        out.extend_from_slice(&piece);
    }
    decoder.finish()?;
    Ok(out.into())
}

enum Stage {
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// The first byte tells whether it is in a zlib frame, as the standard has it, or bare, as some servers do.
    Deflate(Option<(Decompress, bool)>),
    Brotli(Box<Brotli>),
    Zstd {
        decoder: Zstd<'static>,
        /// A frame has begun and not ended.
        open: bool,
    },
}

type BrotliMachine = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

struct Brotli {
    machine: BrotliMachine,
    done: bool,
}

fn brotli() -> Box<Brotli> {
    let alloc = StandardAlloc::default;
    Box::new(Brotli {
        machine: BrotliState::new(alloc(), alloc(), alloc()),
        done: false,
    })
}

fn zstd() -> io::Result<Zstd<'static>> {
    let mut decoder = Zstd::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
    Ok(decoder)
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
            Self::Zstd { .. } => "zstd",
        }
    }

    fn undo(&mut self, input: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => {
                decoder.write_all(input)?;
                decoder.flush()?;
                Ok(std::mem::take(&mut decoder.get_mut().0))
            }
            Self::Deflate(state) => {
                let Some(first) = input.first() else {
                    return Ok(Vec::new());
                };
                let (machine, done) =
                    state.get_or_insert_with(|| (Decompress::new(first & 0x0f == 8), false));
                let mut rest = input;
                pump(|room| {
                    if *done {
                        return ended(rest);
                    }
                    let before = (machine.total_in(), machine.total_out());
                    let status = machine
                        .decompress(rest, room, FlushDecompress::None)
                        .map_err(io::Error::other)?;
                    let taken = (machine.total_in() - before.0) as usize;
                    rest = rest.get(taken..).unwrap_or_default();
                    *done = status == flate2::Status::StreamEnd;
                    Ok((machine.total_out() - before.1) as usize)
                })
            }
            Self::Brotli(state) => {
                let (mut offset, mut left, mut total) = (0, input.len(), 0);
                pump(|room| {
                    if state.done {
                        return ended(input.get(offset..).unwrap_or_default());
                    }
                    let (mut free, mut written) = (room.len(), 0);
                    let result = BrotliDecompressStream(
                        &mut left,
                        &mut offset,
                        input,
                        &mut free,
                        &mut written,
                        room,
                        &mut total,
                        &mut state.machine,
                    );
                    match result {
                        BrotliResult::ResultFailure => Err(io::Error::other("no brotli")),
                        BrotliResult::ResultSuccess => {
                            state.done = true;
                            Ok(written)
                        }
                        _ => Ok(written),
                    }
                })
            }
            Self::Zstd { decoder, open } => {
                let mut input = InBuffer::around(input);
                pump(|room| {
                    // Between frames there is nothing to be had without input.
                    if input.pos() == input.src.len() && !*open {
                        return Ok(0);
                    }
                    let mut output = OutBuffer::around(room);
                    *open = decoder.run(&mut input, &mut output)? != 0;
                    Ok(output.pos())
                })
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let whole = match self {
            Self::Gzip(decoder) => return decoder.try_finish(),
            Self::Deflate(state) => state.as_ref().is_some_and(|(_, done)| *done),
            Self::Brotli(state) => state.done,
            Self::Zstd { open, .. } => !*open,
        };
        if whole { Ok(()) } else { Err(cut()) }
    }
}

/// Runs a decoder until it gives no more, into bounded room.
fn pump(mut step: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut sink = Sink::default();
    let mut room = [0; 16 * 1024];
    loop {
        let written = step(&mut room)?;
        if written == 0 {
            return Ok(sink.0);
        }
        sink.write_all(room.get(..written).unwrap_or_default())?;
    }
}

/// After its end a coding may be followed by nothing.
fn ended(rest: &[u8]) -> io::Result<usize> {
    if rest.is_empty() {
        Ok(0)
    } else {
        Err(io::Error::other("something follows its end"))
    }
}

/// Takes as much as one piece may give.
#[derive(Default)]
struct Sink(Vec<u8>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_PIECE {
            return Err(io::Error::other(format!(
                "{PIECE} bytes of it expand to more than {MAX_PIECE}"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle")
}

fn broken(coding: &'static str, error: impl ToString) -> CodingError {
    CodingError::Broken {
        coding,
        reason: error.to_string(),
    }
}

/// A name out of a header, for an error: an upstream says nothing else in it.
fn shortened(name: &str) -> String {
    let token = |c: &char| c.is_ascii_alphanumeric() || "-_., ".contains(*c);
    name.chars().filter(token).take(32).collect()
}

#[cfg(test)]
mod tests;
