//! Why a component does not serve: the step of loading that refused it, and its reason.

/// Step of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Stage {
    Configure,
    Read,
    Validate,
    Version,
    Trust,
    Compile,
    Link,
    Describe,
    Settings,
    Golden,
    Rehearse,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Read => "read",
            Self::Validate => "validate",
            Self::Version => "version",
            Self::Trust => "trust",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Describe => "describe",
            Self::Settings => "settings",
            Self::Golden => "golden",
            Self::Rehearse => "rehearse",
        }
    }
}

/// Why a component does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .stage.as_str())]
pub(super) struct LoadError {
    pub(super) stage: Stage,
    pub(super) reason: String,
    /// The file ends too early: it is probably still being written.
    pub(super) truncated: bool,
}

impl LoadError {
    pub(super) fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self {
            stage,
            reason: reason.into(),
            truncated: false,
        }
    }
}
