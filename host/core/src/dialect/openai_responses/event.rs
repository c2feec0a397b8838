//! Kinds of events, and which of them say a text in parts or whole.

/// What an event does in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The response begins, or goes on: `created`, `queued`, `in_progress`.
    Begins,
    /// It ends.
    Ends,
    /// An item begins, or ends.
    Item { done: bool },
    /// A part of an item's content or summary begins, or ends.
    Part { done: bool },
    /// A further part of a text, or a whole one.
    Spoken { done: bool },
    /// It states an error.
    Error,
    /// Anything else.
    #[default]
    Other,
}

/// A text that events of one family say.
#[derive(Debug)]
pub(super) struct Spoken {
    family: &'static str,
    /// Kind of the items that bear it.
    pub item: &'static str,
    /// List in the item in which it stands, and the field of the event that has its index; empty if in none.
    list: &'static str,
    pub index: &'static str,
    leaf: &'static str,
    /// Field of the event that has the whole text.
    pub whole: &'static str,
}

const SPOKEN: &[Spoken] = &[
    Spoken {
        family: "output_text",
        item: "message",
        list: "content",
        index: "content_index",
        leaf: ".text",
        whole: "text",
    },
    Spoken {
        family: "refusal",
        item: "message",
        list: "content",
        index: "content_index",
        leaf: ".refusal",
        whole: "refusal",
    },
    Spoken {
        family: "reasoning_text",
        item: "reasoning",
        list: "content",
        index: "content_index",
        leaf: ".text",
        whole: "text",
    },
    Spoken {
        family: "reasoning_summary_text",
        item: "reasoning",
        list: "summary",
        index: "summary_index",
        leaf: ".text",
        whole: "text",
    },
    Spoken {
        family: "function_call_arguments",
        item: "function_call",
        list: "",
        index: "",
        leaf: "arguments",
        whole: "arguments",
    },
    Spoken {
        family: "custom_tool_call_input",
        item: "custom_tool_call",
        list: "",
        index: "",
        leaf: "input",
        whole: "input",
    },
    Spoken {
        family: "mcp_call_arguments",
        item: "mcp_call",
        list: "",
        index: "",
        leaf: "arguments",
        whole: "arguments",
    },
    Spoken {
        family: "code_interpreter_call_code",
        item: "code_interpreter_call",
        list: "",
        index: "",
        leaf: "code",
        whole: "code",
    },
    Spoken {
        family: "shell_call_command",
        item: "shell_call",
        list: "action.commands",
        index: "command_index",
        leaf: "",
        whole: "command",
    },
    Spoken {
        family: "apply_patch_call_operation_diff",
        item: "apply_patch_call",
        list: "",
        index: "",
        leaf: "operation.diff",
        whole: "diff",
    },
];

impl Spoken {
    /// Where the text stands in its item.
    pub fn path(&self, index: u32) -> String {
        match self.list {
            "" => self.leaf.to_owned(),
            list => format!("{list}[{index}]{}", self.leaf),
        }
    }
}

/// The text that events of this name say, and whether they say it whole.
pub(super) fn spoken(name: &str) -> Option<(&'static Spoken, bool)> {
    let (family, form) = name.strip_prefix("response.")?.rsplit_once('.')?;
    let spoken = SPOKEN.iter().find(|spoken| spoken.family == family)?;
    match form {
        "delta" => Some((spoken, false)),
        "done" => Some((spoken, true)),
        // A command is empty when it is added.
        "added" if spoken.whole == "command" => Some((spoken, true)),
        _ => None,
    }
}

/// What events of this name do.
pub(super) fn kind(name: &str) -> Kind {
    match name {
        "response.created" | "response.queued" | "response.in_progress" => Kind::Begins,
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            Kind::Ends
        }
        "response.output_item.added" => Kind::Item { done: false },
        "response.output_item.done" => Kind::Item { done: true },
        "response.content_part.added" | "response.reasoning_summary_part.added" => {
            Kind::Part { done: false }
        }
        "response.content_part.done" | "response.reasoning_summary_part.done" => {
            Kind::Part { done: true }
        }
        "error" => Kind::Error,
        _ => spoken(name).map_or(Kind::Other, |(_, done)| Kind::Spoken { done }),
    }
}

/// List of an item in which the parts stand that events of this name add or end, and the field with their index.
pub(super) fn list_of_part(name: &str) -> (&'static str, &'static str) {
    match name.starts_with("response.reasoning_summary_part") {
        true => ("summary", "summary_index"),
        false => ("content", "content_index"),
    }
}
