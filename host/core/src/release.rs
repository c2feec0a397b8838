//! What the model said, what of it is held, and what has left.

pub mod call;
mod denied;
pub mod frame;
mod given;
pub mod hold;
mod let_go;
mod parts;
pub mod stretch;
mod write;

use crate::dialect::{Reader, Writer};
use crate::event::{Channel, Usage};
pub use hold::Hold;

/// How far the generation of the present leg has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// More may come.
    #[default]
    Coming,
    /// Its last word was said.
    Said,
    /// It was judged as a whole; `whole` says whether its last word had been said.
    Judged {
        /// Its last word had been said.
        whole: bool,
    },
}

/// The generation of one exchange on its way to the client.
pub struct Release {
    /// What arrived, what has left, what is held between the two.
    pub hold: Hold,
    /// Reads the present leg.
    pub reader: Box<dyn Reader>,
    /// Writes to the client.
    pub writer: Box<dyn Writer>,
    /// Why the first choice ended, in the dialect's word.
    pub finish: Option<String>,
    /// Tokens of the present leg, as far as its upstream stated them.
    pub usage: Option<Usage>,
    /// How far the present leg has come.
    pub progress: Progress,
    /// The upstream stated an error in its stream or body, with this status; 0 if it gave none.
    pub error_status: Option<u16>,
    /// It was told that something passed unread: once is enough.
    pub told_unjudged: bool,
    /// Offset of the output at which the present leg began.
    pub said_from: u32,
    /// What Airlock said after the model.
    pub epilogue: String,
    /// What the client was given in place of what the model said.
    pub given: Option<String>,
}

impl Release {
    /// Nothing was said.
    pub fn new(reader: Box<dyn Reader>, writer: Box<dyn Writer>) -> Self {
        Self {
            hold: Hold::default(),
            reader,
            writer,
            finish: None,
            usage: None,
            progress: Progress::Coming,
            error_status: None,
            told_unjudged: false,
            said_from: 0,
            epilogue: String::new(),
            given: None,
        }
    }

    /// Whether the last word of the present leg was said.
    pub fn is_said(&self) -> bool {
        matches!(
            self.progress,
            Progress::Said | Progress::Judged { whole: true }
        )
    }

    /// Whether the response was judged as a whole.
    pub fn is_judged(&self) -> bool {
        matches!(self.progress, Progress::Judged { .. })
    }

    /// The last word was said.
    pub fn said_all(&mut self) {
        self.progress = match self.progress {
            Progress::Coming | Progress::Said => Progress::Said,
            Progress::Judged { .. } => Progress::Judged { whole: true },
        };
    }

    /// The response is judged as a whole now. `false` if it was before.
    pub fn judge(&mut self) -> bool {
        let first = !self.is_judged();
        if first {
            let whole = self.is_said();
            self.progress = Progress::Judged { whole };
        }
        first
    }

    /// Whether the upstream said that it was done; otherwise its stream broke off.
    pub fn is_whole(&self) -> bool {
        self.is_said() || self.finish.is_some()
    }

    /// Whether the client has read anything of the generation.
    pub fn is_heard(&self) -> bool {
        self.hold.begun || self.hold.told_anything()
    }

    /// Whether the upstream stated an error that may pass, before the client has read anything: the call failed, whatever
    /// the status of its answer says.
    pub fn failed_unheard(&self) -> bool {
        !self.is_heard() && self.error_status.is_some_and(may_pass)
    }

    /// Whether the upstream stated an error, and nothing more is held.
    pub fn told_error(&self) -> bool {
        self.error_status.is_some() && self.hold.bytes() == 0
    }

    /// Everything that the model said, as the client has it.
    pub fn said(&self) -> String {
        self.output().map(|s| s.seen()).unwrap_or_default()
    }

    /// The answer goes on with another leg: what would end it is taken out.
    pub fn next_leg(&mut self, reader: Box<dyn Reader>) {
        self.hold.next_leg(self.writer.identity());
        self.said_from = self.output().map_or(0, |s| s.text.len() as u32);
        self.forget_leg(reader);
    }

    /// Another attempt at the present leg: nothing that was said in it has reached the client.
    pub fn start_over(&mut self, reader: Box<dyn Reader>) {
        self.hold.start_over(self.writer.identity());
        self.forget_leg(reader);
    }

    fn forget_leg(&mut self, reader: Box<dyn Reader>) {
        (self.usage, self.finish, self.error_status) = (None, None, None);
        self.progress = Progress::Coming;
        self.reader = reader;
    }

    fn output(&self) -> Option<&stretch::Stretch> {
        let mut stretches = self.hold.stretches.iter();
        stretches.find(|s| s.place.channel == Channel::Output && s.place.choice == 0)
    }
}

/// Whether an error with this status may be cured by another attempt; also one that states none.
pub fn may_pass(status: u16) -> bool {
    matches!(status, 0 | 408 | 429) || status >= 500
}

#[cfg(test)]
mod tests;
