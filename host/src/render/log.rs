//! The program's own log, to standard error. `AIRLOCK_LOG` filters it (`debug`, `airlock::upstream=trace`, ...).

use tracing::{Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::render::style::one_line;
use crate::render::terminal::{self, Kind};

/// Starts logging, from `level` up unless the variable says otherwise. Content of model calls is never logged: the timeline has it, under its own rules.
/// One record is one line, whatever stands in its fields.
pub fn start(level: Level) {
    let filter = EnvFilter::builder()
        .with_env_var("AIRLOCK_LOG")
        .with_default_directive(level.into())
        .from_env_lossy();
    let coloured = terminal::coloured_log();
    let writer = move || terminal::stderr(Kind::Log { coloured });
    subscriber(filter, writer, coloured).init();
}

/// What writes the log. Fields are cleaned one by one, so that what stands in them cannot pass for the log's own colours.
pub(super) fn subscriber<W>(
    filter: EnvFilter,
    writer: W,
    coloured: bool,
) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let fields = debug_fn(|out, field, value| {
        let text = one_line(&format!("{value:?}"));
        match field.name() {
            "message" => write!(out, "{text}"),
            name => write!(out, "{name}={text}"),
        }
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(fields.delimited(" "))
        .with_writer(writer)
        .with_ansi(coloured)
        .finish()
}
