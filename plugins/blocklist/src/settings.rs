//! Settings, as in `settings.schema.json`.

use airlock_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    patterns: Vec<Forbidden>,
    channels: Vec<Searched>,
    action: Act,
    pub fallback: String,
    pub replacement: String,
    pub alert: bool,
    pub webhook: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            channels: Vec::new(),
            action: Act::Hard,
            fallback: "This answer was withheld.".into(),
            replacement: "[removed]".into(),
            alert: true,
            webhook: String::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbidden {
    text: String,
    #[serde(default)]
    regex: bool,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    name: String,
}

/// A channel of generated text: no other is searched.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Searched {
    Output,
    Reasoning,
    Refusal,
    ToolArguments,
    Other,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Act {
    Hard,
    Soft,
    Abort,
    Replace,
}

impl Settings {
    /// The host compiles the patterns; what it would accept and no author means is refused here.
    pub fn check(&self) -> Result<(), String> {
        match self
            .patterns
            .iter()
            .position(|pattern| pattern.text.is_empty())
        {
            Some(index) => Err(format!(
                "patterns[{index}].text is empty and would match everywhere: remove it"
            )),
            None => Ok(()),
        }
    }

    pub fn patterns(&self) -> impl Iterator<Item = Pattern> {
        let channels = self.channels.iter().map(|channel| match channel {
            Searched::Output => Channel::Output,
            Searched::Reasoning => Channel::Reasoning,
            Searched::Refusal => Channel::Refusal,
            Searched::ToolArguments => Channel::ToolArguments,
            Searched::Other => Channel::Other,
        });
        self.patterns.iter().map(move |pattern| {
            let new = if pattern.regex {
                Pattern::regex
            } else {
                Pattern::literal
            };
            new(&pattern.text)
                .channels(channels.clone())
                .ignore_case(pattern.ignore_case)
        })
    }

    /// What people call a pattern. Never its text.
    pub fn name(&self, pattern: u32) -> String {
        match self.patterns.get(pattern as usize) {
            Some(forbidden) if !forbidden.name.is_empty() => forbidden.name.clone(),
            _ => format!("pattern {pattern}"),
        }
    }

    /// How the exchange is blocked; nothing if the text is replaced.
    pub fn block_mode(&self) -> Option<BlockMode> {
        match self.action {
            Act::Hard => Some(BlockMode::Hard),
            Act::Soft => Some(BlockMode::Soft),
            Act::Abort => Some(BlockMode::Abort),
            Act::Replace => None,
        }
    }
}
