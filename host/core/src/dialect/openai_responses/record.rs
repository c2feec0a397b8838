//! What was said so far, by item and path, so that what is said again is known for what it is.
//!
//! Guarantees: a text that is said again gives nothing; one that goes beyond what was said gives the rest; one that says
//! something else is an error where the text is the model's word or a call, and new text elsewhere (states of a tool that
//! the server runs follow on each other). An empty text says nothing, except as the arguments of a call: a client would run
//! that one without them. Nor does a text go on after another one of its channel began: they are judged joined in the order in
//! which they come, and a client reads each for itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::event::Channel;

/// The longest answer of which repetitions are followed.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What one response has said.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// By number in the list.
    pub items: BTreeMap<u32, Item>,
    /// Calls of the client's so far. They are counted on when a further response follows in one stream.
    pub calls: u16,
    /// Its first event came.
    pub began: bool,
    /// Its last event came.
    pub ended: bool,
    /// It stated an error.
    pub failed: bool,
    /// Texts that stand in no item, by path.
    beside: BTreeMap<String, String>,
    /// The text that was said last on each channel of the model's own word.
    last: BTreeMap<Channel, (u32, String)>,
    bytes: usize,
}

/// An item, as far as it was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    pub kind: String,
    /// Its id when it was last said: some servers give it another one in each event.
    pub id: String,
    /// It was said to be done.
    pub done: bool,
    /// It bears encrypted content: its text must stay as it is.
    pub sealed: bool,
    pub call: Option<Call>,
    texts: BTreeMap<String, Text>,
}

/// The call that an item is.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// Its number among the calls of the answer.
    pub number: u16,
    pub id: Option<String>,
    pub name: Option<String>,
    /// What a tool that OpenAI describes is to do, as JSON, once that was said.
    pub built: Option<String>,
}

#[derive(Clone, Debug)]
struct Text {
    text: String,
    channel: Channel,
    done: bool,
}

impl Record {
    /// Another response begins in the same stream, after the end of this one.
    pub fn begin_again(&mut self) {
        *self = Self {
            calls: self.calls,
            ..Self::default()
        };
    }

    /// The item of a number, which begins now if it is new.
    pub fn item(&mut self, key: u32, kind: &str) -> Result<&mut Item, String> {
        let item = self.items.entry(key).or_insert_with(|| Item {
            kind: kind.to_owned(),
            ..Item::default()
        });
        match item.kind == kind {
            true => Ok(item),
            false => Err(format!("it is of type `{}` and then `{kind}`", item.kind)),
        }
    }

    /// The text at a path of an item, as far as it was said.
    pub fn text(&self, key: u32, path: &str) -> &str {
        let text = self.items.get(&key).and_then(|item| item.texts.get(path));
        text.map_or("", |text| &text.text)
    }

    /// A further part of a text.
    pub fn add(
        &mut self,
        key: u32,
        path: &str,
        part: &str,
        channel: Channel,
    ) -> Result<(), String> {
        self.count(part.len())?;
        self.goes_on(key, path, channel, part.is_empty())?;
        let Some(item) = self.items.get_mut(&key) else {
            return Err("there is no such item".to_owned());
        };
        let ended = item.done;
        let text = item.text_mut(path, channel);
        if (ended || text.done) && !part.is_empty() {
            return Err("it goes on after its end".to_owned());
        }
        text.text.push_str(part);
        Ok(())
    }

    /// A whole text: the offset at which it goes beyond what was said.
    pub fn state(
        &mut self,
        key: u32,
        path: &str,
        whole: &str,
        channel: Channel,
        done: bool,
    ) -> Result<usize, String> {
        let said = self.text(key, path).len();
        self.count(whole.len().saturating_sub(said))?;
        self.goes_on(key, path, channel, whole.len() <= said)?;
        let Some(item) = self.items.get_mut(&key) else {
            return Err("there is no such item".to_owned());
        };
        let text = item.text_mut(path, channel);
        let beyond = beyond(&text.text, whole, channel)?;
        if beyond < whole.len() {
            whole.clone_into(&mut text.text);
        }
        text.done |= done;
        Ok(beyond)
    }

    /// A whole text that stands in no item.
    pub fn state_beside(&mut self, path: &str, whole: &str) -> Result<usize, String> {
        self.count(whole.len())?;
        let text = self.beside.entry(path.to_owned()).or_default();
        let beyond = beyond(text, whole, Channel::Other)?;
        if beyond < whole.len() {
            whole.clone_into(text);
        }
        Ok(beyond)
    }

    /// The text of no item at a path.
    pub fn text_beside(&self, path: &str) -> &str {
        self.beside.get(path).map_or("", String::as_str)
    }

    /// All that was said to the user.
    pub fn output(&self) -> String {
        let texts = self.items.values().flat_map(|item| {
            let mut texts: Vec<(&String, &Text)> = item
                .texts
                .iter()
                .filter(|(_, text)| text.channel == Channel::Output)
                .collect();
            // In the order of their indexes, of which longer ones are larger.
            texts.sort_by_key(|(path, _)| (path.len(), *path));
            texts.into_iter().map(|(_, text)| text.text.as_str())
        });
        texts.collect()
    }

    /// A call that is of no use to whoever reads it: something of it was said, and not what it is to do.
    pub fn unsaid_call(&self) -> Option<&Item> {
        let unsaid = |item: &&Item| {
            let built = item.call.as_ref().is_some_and(|call| call.built.is_none());
            built
                && !matches!(item.kind.as_str(), "function_call" | "custom_tool_call")
                && item.texts.values().any(|text| !text.text.is_empty())
        };
        self.items.values().find(unsaid)
    }

    /// The number of an item that a list has at `at`, unless `taken` has it: the one of its id, else the one at its place if
    /// that is of its kind; a new number if there is none.
    pub fn find(&self, at: usize, kind: &str, ids: &[Cow<'_, str>], taken: &[u32]) -> u32 {
        let free = |key: &u32| !taken.contains(key);
        let is_one = |id: &String| !id.is_empty() && ids.iter().any(|one| one == id);
        let named = self.items.iter().find(|(key, item)| {
            let call = item.call.as_ref().and_then(|call| call.id.as_ref());
            free(key) && (is_one(&item.id) || call.is_some_and(is_one))
        });
        if let Some((key, _)) = named {
            return *key;
        }
        let placed = self.items.iter().nth(at);
        if let Some((key, _)) = placed.filter(|(key, item)| free(key) && item.kind == kind) {
            return *key;
        }
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let last = |keys: Option<u32>| keys.map_or(0, |key| key.saturating_add(1));
        let after =
            last(self.items.keys().next_back().copied()).max(last(taken.iter().max().copied()));
        if self.items.contains_key(&at) || !free(&at) {
            after
        } else {
            at
        }
    }

    /// More is said of a text, unless it is `nothing`.
    fn goes_on(
        &mut self,
        key: u32,
        path: &str,
        channel: Channel,
        nothing: bool,
    ) -> Result<(), String> {
        let joined = matches!(
            channel,
            Channel::Output | Channel::Reasoning | Channel::Refusal
        );
        let is_last = |(item, at): &(u32, String)| *item == key && at == path;
        if nothing || !joined || self.last.get(&channel).is_some_and(is_last) {
            return Ok(());
        }
        if !self.text(key, path).is_empty() {
            return Err("it goes on after another text began".to_owned());
        }
        self.last.insert(channel, (key, path.to_owned()));
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > MAX_BYTES {
            true => Err(format!(
                "the answer is longer than {MAX_BYTES} bytes, the longest in which repetitions are followed"
            )),
            false => Ok(()),
        }
    }
}

impl Item {
    fn text_mut(&mut self, path: &str, channel: Channel) -> &mut Text {
        self.texts.entry(path.to_owned()).or_insert_with(|| Text {
            text: String::new(),
            channel,
            done: false,
        })
    }

    /// Whether something was said at a path.
    pub fn has(&self, path: &str) -> bool {
        self.texts.contains_key(path)
    }

    /// Paths of its texts, and the texts.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.texts.iter();
        texts.map(|(path, text)| (path.as_str(), text.text.as_str()))
    }
}

fn beyond(said: &str, whole: &str, channel: Channel) -> Result<usize, String> {
    if whole.is_empty() && channel != Channel::ToolArguments {
        return Ok(0);
    }
    // Some servers cut the white space at its end.
    let cut = channel != Channel::ToolArguments && whole.trim() == said.trim();
    match whole.starts_with(said) {
        true => Ok(said.len()),
        false if cut => Ok(whole.len()),
        false if channel == Channel::Other => Ok(0),
        false => Err("it says something else than was said before".to_owned()),
    }
}
