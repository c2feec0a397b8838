//! Counts tokens of text, whole or while it streams.
//!
//! A count is an estimate until the provider states its usage: the provider adds tokens of its own (roles, tools, images),
//! and for models that are not OpenAI's the tokeniser is not public, so that OpenAI's newest stands in
//! ([`TokenCounter::is_own`] tells).
//!
//! Guarantees: for text, the count is the one that the model's tokeniser gives, however the text is cut, as long as no single
//! piece of it (a word, a run of blanks or of signs) is longer than [`MAX_PIECE`] bytes. Longer pieces are counted in parts;
//! that moves the count by a token or two for each part.
//!
//! The data of a data URL is not text: past its first bytes it counts as a token for each KiB ([`data`]).
//!
//! How: a tokeniser first splits text into pieces ([`split`]), then each piece by itself into tokens ([`vocabulary`]). So only
//! the last piece can change when more text arrives. Time is linear in the text.

mod data;
mod slot;
mod split;
mod tables;
mod vocabulary;

use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use data::Runs;
pub use split::MAX_PIECE;
use split::Run;
use tables::Tables;

/// What a message of a prompt costs beyond its text: its role and its two ends, as OpenAI documents it.
pub const MESSAGE_TOKENS: u32 = 4;

/// What every prompt costs beyond its messages: the beginning of the answer.
pub const REPLY_TOKENS: u32 = 3;

/// How bytes become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// GPT-4, GPT-3.5, embeddings.
    Cl100k,
    /// GPT-4o and everything newer.
    O200k,
    /// Four bytes a token.
    Rough,
}

/// Counts as one model does. Cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCounter {
    encoding: Encoding,
    own: bool,
}

impl TokenCounter {
    /// The counter for a model as a request names it; a vendor's prefix (`openai/gpt-4o`) is not minded.
    #[must_use]
    pub fn for_model(model: &str) -> Self {
        let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
        let (encoding, own) = match get_tokenizer(name) {
            Some(Tokenizer::O200kBase | Tokenizer::O200kHarmony) => (Encoding::O200k, true),
            Some(Tokenizer::Cl100kBase) => (Encoding::Cl100k, true),
            // Encodings of retired models: the next newer one is close.
            Some(_) => (Encoding::Cl100k, false),
            None => (Encoding::O200k, false),
        };
        Self { encoding, own }
    }

    /// A counter that only estimates, in no time, for where nobody acts by its counts.
    #[must_use]
    pub fn rough() -> Self {
        Self {
            encoding: Encoding::Rough,
            own: false,
        }
    }

    /// Whether it only estimates.
    #[must_use]
    pub fn is_rough(self) -> bool {
        self.encoding == Encoding::Rough
    }

    /// Whether this is the model's own tokeniser. Otherwise counts may be off by a tenth, for languages other than English
    /// by more.
    #[must_use]
    pub fn is_own(self) -> bool {
        self.own
    }

    /// Tokens of a text: about 10 ms for 100,000 tokens. Count a message once and keep the number with its identity; clients
    /// send their whole history with each request.
    #[must_use]
    pub fn count_text(self, text: &str) -> u32 {
        let mut counter = self.stream();
        counter.read(text);
        counter.total()
    }

    /// A counter for text that arrives in pieces.
    #[must_use]
    pub fn stream(self) -> StreamCounter {
        StreamCounter {
            tables: self.tables(),
            bytes: 0,
            runs: Runs::default(),
            data: 0,
            tail: String::new(),
            run: None,
            finished: 0,
            reported: 0,
        }
    }

    fn tables(self) -> Option<&'static Tables> {
        match self.encoding {
            Encoding::Cl100k => tables::cl100k(),
            Encoding::O200k => tables::o200k(),
            Encoding::Rough => None,
        }
    }
}

/// Tokens of a text, roughly, in no time: four bytes each.
#[must_use]
pub fn estimate(text: &str) -> u32 {
    let (mut runs, mut bytes, mut data) = (Runs::default(), 0, 0);
    let mut rest = text;
    while !rest.is_empty() {
        let (len, is_data) = runs.next(rest);
        *(if is_data { &mut data } else { &mut bytes }) += len;
        rest = rest.get(len..).unwrap_or_default();
    }
    by_bytes(bytes).saturating_add(data::tokens(data))
}

fn by_bytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}

/// Counts the tokens of one text while it arrives.
#[derive(Debug)]
pub struct StreamCounter {
    /// None where it only estimates.
    tables: Option<&'static Tables>,
    /// Bytes of text read.
    bytes: usize,
    /// Where data begins and ends, and its bytes.
    runs: Runs,
    data: usize,
    /// The last piece, which may go on, and how far it was read.
    tail: String,
    run: Option<Run>,
    /// Tokens before the tail.
    finished: u32,
    /// The highest total that [`StreamCounter::push`] told.
    reported: u32,
}

impl StreamCounter {
    /// Reads on, and says how many tokens there are more than at any time before. A total can fall for a moment (`tok` `eni`
    /// may be two tokens before they are the beginning of one); this never tells a token twice.
    pub fn push(&mut self, text: &str) -> u32 {
        self.read(text);
        let total = self.total().max(self.reported);
        let new = total - self.reported;
        self.reported = total;
        new
    }

    /// Tokens of all text so far, as if it ended here.
    #[must_use]
    pub fn total(&self) -> u32 {
        let data = data::tokens(self.data);
        let Some(tables) = self.tables else {
            return by_bytes(self.bytes).saturating_add(data);
        };
        let mut total = self.finished.saturating_add(data);
        let mut rest = self.tail.as_str();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(tables.splitter.piece_at_end(rest));
            total = total.saturating_add(tables.vocabulary.count(piece.as_bytes()));
            rest = after;
        }
        total
    }

    /// Whether it only estimates.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        self.tables.is_none()
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.data
    }

    fn read(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (len, is_data) = self.runs.next(rest);
            let (part, after) = rest.split_at(len);
            if is_data {
                self.data += len;
            } else {
                self.read_text(part);
            }
            rest = after;
        }
    }

    fn read_text(&mut self, text: &str) {
        self.bytes += text.len();
        let Some(tables) = self.tables else {
            return;
        };
        let mut tail = std::mem::take(&mut self.tail);
        if tail.is_empty() {
            // A whole prompt is not copied.
            let done = self.finish_pieces(tables, text);
            tail.push_str(&text[done..]);
        } else {
            tail.push_str(text);
            let done = self.finish_pieces(tables, &tail);
            tail.drain(..done);
        }
        self.tail = tail;
    }

    /// Counts the pieces at the front of `text` that nothing can change any more; returns their length.
    fn finish_pieces(&mut self, tables: &Tables, text: &str) -> usize {
        let mut run = self.run.unwrap_or_else(|| tables.splitter.begin());
        let mut rest = text;
        while let Some(len) = tables.splitter.piece(&mut run, rest) {
            let (piece, after) = rest.split_at(len);
            let tokens = tables.vocabulary.count(piece.as_bytes());
            self.finished = self.finished.saturating_add(tokens);
            rest = after;
        }
        self.run = Some(run);
        text.len() - rest.len()
    }
}

#[cfg(test)]
mod tests;
