//! What is to be measured, from the command line.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};

use crate::load::Load;

/// What a run can measure besides loads.
const OTHERS: [&str; 3] = ["dialects", "idle", "policy"];

/// The parts of a run.
pub struct Arguments {
    /// Loads that proxies are put under.
    pub loads: Vec<Load>,
    /// The wire APIs beside each other.
    pub dialects: bool,
    /// Memory of sessions that nobody uses.
    pub idle: bool,
    /// The price of a policy by itself.
    pub policy: bool,
    /// Where the upstream listens; any free port without one.
    pub upstream: Option<SocketAddr>,
    /// Proxies that somebody else started before it, by name.
    pub peers: Vec<(String, SocketAddr)>,
}

impl Arguments {
    /// Reads `[PART...] [--upstream ADDRESS] [--with NAME=ADDRESS,...]`; without a part, all of them are measured.
    ///
    /// # Errors
    /// A word that says nothing here, or peers without the address that they forward to.
    pub fn read(words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let (mut parts, mut upstream, mut peers) = (Vec::new(), None, Vec::new());
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--upstream" => upstream = Some(address(&value()?)?),
                "--with" => {
                    for peer in value()?.split(',') {
                        let (name, at) = peer
                            .split_once('=')
                            .with_context(|| format!("--with takes NAME=ADDRESS, not {peer:?}"))?;
                        peers.push((name.to_owned(), address(at)?));
                    }
                }
                part if known(part) => parts.push(part.to_owned()),
                other => bail!(
                    "there is no {other:?} to measure: {} or {}",
                    Load::ALL.map(Load::name).join(", "),
                    OTHERS.join(", ")
                ),
            }
        }
        if !peers.is_empty() && upstream.is_none() {
            bail!(
                "peers of --with must forward to the upstream: say where it is to listen, with --upstream"
            );
        }
        let has = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
        Ok(Self {
            loads: Load::ALL
                .into_iter()
                .filter(|load| has(load.name()))
                .collect(),
            dialects: has("dialects"),
            idle: has("idle"),
            policy: has("policy"),
            upstream,
            peers,
        })
    }
}

fn known(part: &str) -> bool {
    OTHERS.contains(&part) || Load::ALL.iter().any(|load| load.name() == part)
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse()
        .with_context(|| format!("{text:?} is no address such as 127.0.0.1:4000"))
}
