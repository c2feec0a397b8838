//! `airlock approvals watch`: what waits now, then arrivals and decisions from the live feed.

use std::io::Write as _;

use anyhow::Context as _;
use serde::Deserialize;

use super::list;
use crate::client::AdminClient;
use crate::failure::Failure;
use crate::render::EventRenderer;
use crate::render::style::Style;
use crate::render::terminal::{self, Kind};
use airlock_core::event::clock::now;
use airlock_core::event::key::SessionId;
use airlock_core::event::{Body, Event};
use airlock_core::people::Approval;

#[derive(Deserialize)]
struct Told {
    session: SessionId,
    event: Event,
}

/// Until Airlock ends or somebody interrupts.
///
/// # Errors
/// No Airlock runs (69), or the connection to it broke.
pub(super) async fn run(admin: &AdminClient, json: bool, style: Style) -> Result<(), Failure> {
    // First the feed, then the list, so that nothing arrives between the two.
    let mut feed = admin.follow("/v1/events").await?;
    let open = admin.get("/v1/approvals").await?;
    if !json {
        let open: Vec<Approval> = serde_json::from_value(open).context("an unexpected answer")?;
        print(&list::render(&open, false, now(), &style), Kind::Coloured)?;
    } else {
        terminal::print_json(&open);
    }
    let mut renderer = EventRenderer::new(style).since(now()).with_sessions();
    while let Some(data) = feed.next("timeline").await? {
        // What a later version tells is none of our business.
        let Ok(told) = serde_json::from_value::<Told>(data.clone()) else {
            continue;
        };
        if !matches!(told.event.body, Body::Held { .. } | Body::Decided { .. }) {
            continue;
        }
        match json {
            true => print(&format!("{data}\n"), Kind::Json)?,
            false => print(&renderer.event(told.session, &told.event), Kind::Coloured)?,
        }
    }
    Ok(())
}

fn print(text: &str, kind: Kind) -> anyhow::Result<()> {
    let mut out = terminal::stdout(kind);
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print")
}
