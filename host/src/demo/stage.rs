//! The stage: a simulated or real upstream, Airlock in front of it with a configuration of its own, and the audience.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::act::{self, Act};
use super::agent::Agent;
use super::options::{Options, Real};
use super::outcome::Outcome;
use super::screen::{Screen, Who};
use super::watch::{PATIENCE, Watch};
use super::workshop::{POLICY, Workshop};
use crate::client::AdminClient;
use crate::config::locate;
use crate::failure::Failure;
use crate::render::style::Paint;
use crate::serve::Airlock;
use crate::simulate::Simulator;
use crate::simulate::models::FORBIDDEN;
use airlock_policy::{Policies, PolicyEvent};

/// Everything that the scenes play on.
pub struct Stage {
    /// What prints.
    pub screen: Arc<Screen>,
    /// What follows the feed.
    pub watch: Arc<Watch>,
    /// Where a policy can be rebuilt; `None` outside of Airlock's source tree.
    pub workshop: Option<Workshop>,
    real: Option<Real>,
    folder: PathBuf,
    base_url: String,
    admin: SocketAddr,
    policies: Arc<Policies>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), Failure>>,
}

impl Stage {
    /// Starts everything on free ports.
    pub async fn build(options: &Options, screen: Arc<Screen>) -> Result<Self, Failure> {
        let folder = fresh(&options.folder)?;
        let workshop = Workshop::open(&folder)?;
        let stop = CancellationToken::new();
        let upstream = match &options.real {
            Some(real) => real.base_url.trim_end_matches('/').to_owned(),
            None => simulate(stop.clone()).await?,
        };
        let config = folder.join("airlock.toml");
        write(
            &config,
            &configuration(&folder, &upstream, options.real.is_some(), act::FIRST),
        )?;
        // Codenames may order what it needs: a file in the directory may only take notes unless the operator says more.
        write(
            &folder.join(format!("policies/{POLICY}.toml")),
            "[grants]\nsees = [\"*\"]\nactions = [\"annotate\", \"replace-range\"]\n",
        )?;
        let airlock = Airlock::prepare(locate::read(&config)?, Some(config)).await?;
        let watch = Watch::follow(airlock.feed.subscribe(), Arc::clone(&screen));
        let (gateway, admin) = (airlock.gateway, airlock.admin);
        let policies = Arc::clone(&airlock.app.policies);
        let serving = tokio::spawn(airlock.serve(stop.clone()));
        Ok(Self {
            screen,
            watch,
            workshop,
            real: options.real.clone(),
            folder,
            base_url: format!("http://{gateway}/v1"),
            admin,
            policies,
            stop,
            serving,
        })
    }

    /// Who is on the stage.
    pub fn introduce(&self) {
        let upstream = match &self.real {
            Some(real) => format!(
                "{} (model {}, fast model {})",
                real.base_url, real.model, real.fast_model
            ),
            None => {
                "SIMULATED in this program: no model runs here, every answer is scripted".to_owned()
            }
        };
        self.screen.plain(&format!(
            "\n   {}\n\n   agents     scripted HTTP clients, OpenAI chat completions, streamed\n   gateway    {}\n   upstream   {upstream}\n   policies   {}",
            self.screen.paint(Paint::BOLD, "Airlock demo"),
            self.base_url,
            self.policies.status().iter().map(|status| status.name.as_str()).collect::<Vec<_>>().join(", "),
        ));
    }

    /// Begins a scene.
    pub fn scene(&self, number: &str, title: &str, story: &str) {
        self.watch.forget();
        self.screen.heading(number, title, story);
    }

    /// Ends a scene.
    pub fn report(&self, outcome: Option<&Outcome>) {
        let Some(outcome) = outcome else { return };
        let word = if outcome.good {
            "saved"
        } else {
            "this is not what must happen; saved"
        };
        self.screen.result(
            outcome.good,
            &format!(
                "{}: {}; {word} {}",
                outcome.policy, outcome.done, outcome.saved
            ),
        );
    }

    /// The operator adds policies to the configuration of the running Airlock.
    pub async fn turn_on(&self, act: &Act) -> anyhow::Result<()> {
        let mut events = self.policies.events();
        self.screen.plain("");
        let names = act.policies.join(", ");
        let said = format!("adds {names} to airlock.toml; no restart");
        self.screen.line(Who::Operator, &said);
        let file = self.folder.join("airlock.toml");
        let present = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        write(&file, &(present + &act.sections))?;
        let mut missing = act.policies.to_vec();
        let loading = async {
            while !missing.is_empty() {
                if let PolicyEvent::Loaded { name, .. } = events.recv().await? {
                    missing.retain(|waited| *waited != name);
                }
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(PATIENCE, loading).await {
            Ok(loaded) => loaded,
            Err(_) => bail!(
                "the changed configuration was not taken up within {} s",
                PATIENCE.as_secs()
            ),
        }
    }

    /// The operator approves what waits, over the admin API.
    pub async fn approve(&self, approval: &str) -> Result<(), Failure> {
        let path = format!("/v1/approvals/{approval}/approve");
        self.screen
            .line(Who::Operator, &format!("is the demo itself: POST {path}"));
        let admin = AdminClient::at(self.admin, &self.folder.join("data"))?;
        admin.post_json(&path, &json!({"by": "demo"})).await?;
        Ok(())
    }

    /// A new agent with a session of its own.
    pub fn agent(&self, session: &str) -> anyhow::Result<Agent> {
        let credential = std::env::var("OPENAI_API_KEY")
            .ok()
            .filter(|_| self.real.is_some());
        Agent::new(&self.base_url, session, credential)
    }

    /// Whether the models are simulated.
    pub fn is_simulated(&self) -> bool {
        self.real.is_none()
    }

    /// The simulated model of that name, or the real one.
    pub fn model<'a>(&'a self, simulated: &'a str) -> &'a str {
        self.real.as_ref().map_or(simulated, |real| &real.model)
    }

    /// The model to which slow sessions move.
    pub fn fast_model(&self) -> &str {
        self.real
            .as_ref()
            .map_or("sim-fast", |real| &real.fast_model)
    }

    /// A message that makes the model say this text, or one at length.
    pub fn says(&self, text: &str) -> String {
        match &self.real {
            None => json!({"text": text}).to_string(),
            Some(_) => "Write an essay of 3,000 words on the history of the airlock.".to_owned(),
        }
    }

    /// Directory that Airlock watches.
    pub fn policy_dir(&self) -> PathBuf {
        self.folder.join("policies")
    }

    /// Serving generation of a policy, 0 if there is none.
    pub fn generation(&self, policy: &str) -> u32 {
        let statuses = self.policies.status();
        statuses
            .iter()
            .find(|status| status.name == policy)
            .and_then(|status| status.generation)
            .unwrap_or(0)
    }

    /// Waits for a generation after `before`. The error is the reason that Airlock gives, or that nothing came.
    pub async fn wait_generation(&self, policy: &str, before: u32) -> anyhow::Result<u32> {
        let mut events = self.policies.events();
        let waiting = async {
            loop {
                // What came before the subscription is seen here.
                let now = self.generation(policy);
                if now > before {
                    self.screen.line(
                        Who::Airlock,
                        &format!("{policy}: generation {now} serves from now on"),
                    );
                    return Ok(now);
                }
                match events.recv().await? {
                    PolicyEvent::Refused {
                        name,
                        stage,
                        reason,
                        ..
                    } if name == policy => bail!("refused at {stage}: {reason}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .context("nothing was loaded")?
    }

    /// Stops everything, and waits until all that was recorded is on the disk.
    pub async fn strike(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.serving.await.context("the server ended badly")?
    }
}

fn configuration(folder: &Path, upstream: &str, real: bool, policies: &str) -> String {
    debug_assert!(policies.contains(FORBIDDEN));
    let key = if real && std::env::var_os("OPENAI_API_KEY").is_some() {
        "key = \"env:OPENAI_API_KEY\"\n"
    } else {
        ""
    };
    format!(
        "# Written by `airlock demo`.\n\
         [gateway]\nlisten = \"127.0.0.1:0\"\n\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\n\
         [data]\ndir = {:?}\n\n\
         [policies]\ndir = {:?}\n\n\
         [upstream.demo]\nbase_url = {upstream:?}\n{key}\n{policies}",
        folder.join("data"),
        folder.join("policies"),
    )
}

/// A folder without an earlier demo's policies and database. What it compiled stays: it takes half a minute when cold.
fn fresh(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    for left in ["policies", "data"] {
        match std::fs::remove_dir_all(folder.join(left)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("cannot remove {}", folder.join(left).display()));
            }
            _ => {}
        }
    }
    std::fs::create_dir_all(folder.join("policies"))
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Writes whole or not at all, as a careful editor does.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

async fn simulate(stop: CancellationToken) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen on loopback")?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    tokio::spawn(async move {
        if let Err(error) = Simulator::new()
            .serve(listener, stop.cancelled_owned())
            .await
        {
            tracing::error!(%error, "the simulator stopped");
        }
    });
    Ok(format!("http://{address}/v1"))
}
