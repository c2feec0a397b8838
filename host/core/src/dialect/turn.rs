//! A turn of the model as it goes back into a request, whatever the wire API.

use super::tool_call::ToolCallView;

/// A turn of the model, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What it consists of.
    pub items: Vec<Item>,
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// What was said to the user.
    Text(String),
    /// What was thought, and what its upstream wants to have back of it: a signature, an encrypted block.
    Reasoning {
        /// The thought; may be empty.
        text: String,
        /// What nobody but its upstream reads.
        opaque: Option<String>,
    },
    /// A call of a tool.
    Call(ToolCallView),
    /// What came of a call.
    Result {
        /// Id of the call.
        call: String,
        /// What the model is told.
        text: String,
    },
    /// All of the turn but its calls as its upstream wrote it. It stands for the texts and thoughts beside it: who knows the
    /// spelling gives this back, others those.
    Opaque(String),
}

impl Turn {
    /// A turn that said this, is known in its upstream's spelling or not, and ended in these calls with their results.
    pub fn of_step(said: String, own: Option<String>, calls: Vec<(ToolCallView, String)>) -> Self {
        let said = Some(said).filter(|said| !said.is_empty());
        let mut items: Vec<Item> = own.into_iter().map(Item::Opaque).collect();
        items.extend(said.map(Item::Text));
        for (call, text) in calls {
            let id = call.id.clone();
            items.push(Item::Call(call));
            items.push(Item::Result { call: id, text });
        }
        Self { items }
    }

    /// What it said to the user.
    pub fn said(&self) -> String {
        let texts = self.items.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// It in its upstream's spelling, without the calls.
    pub fn own(&self) -> Option<&str> {
        self.items.iter().find_map(|item| match item {
            Item::Opaque(own) => Some(own.as_str()),
            _ => None,
        })
    }

    /// Its calls, each with the result that follows it.
    pub fn calls(&self) -> Vec<(ToolCallView, String)> {
        let mut calls: Vec<(ToolCallView, String)> = Vec::new();
        for item in &self.items {
            match item {
                Item::Call(call) => calls.push((call.clone(), String::new())),
                Item::Result { call: id, text } => {
                    let mut open = calls.iter_mut().rev();
                    if let Some((_, result)) = open.find(|(call, _)| call.id == *id) {
                        result.clone_from(text);
                    }
                }
                _ => {}
            }
        }
        calls
    }
}
