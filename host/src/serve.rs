//! Everything that serves, put together.

pub mod judge;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Token};
use crate::config::Config;
use crate::config::watch::Watch;
use crate::failure::Failure;
use crate::gateway::App;
use crate::gateway::reload::Reloader;
use crate::gateway::server::Listeners;
use crate::serve::judge::Judged;
use airlock_core::observe::machine;
use airlock_core::people::Desk;
use airlock_core::session::feed::Feed;
use airlock_core::session::sessions::Sessions;
use airlock_core::session::timeline::Recorder;
use airlock_core::store::Store;
use airlock_core::store::sqlite::{Options, SqliteStore};

/// Everything that serves, put together. Its addresses are bound, and nothing is answered yet.
pub struct Airlock {
    /// Where applications call.
    pub gateway: SocketAddr,
    /// Where operators call.
    pub admin: SocketAddr,
    /// What every call needs.
    pub app: Arc<App>,
    /// What happens, as it happens.
    pub feed: Feed,
    /// What it serves by.
    pub config: Config,
    listeners: Listeners,
    store: Arc<dyn Store>,
    reloader: Arc<Reloader>,
    token: Arc<Token>,
}

impl Airlock {
    /// Puts Airlock together. `file` is where the configuration came from, and is watched.
    ///
    /// # Errors
    /// The configuration is wrong (64), or something that Airlock needs cannot be had.
    pub async fn prepare(config: Config, file: Option<PathBuf>) -> Result<Self, Failure> {
        let listeners = Listeners::bind(&config).await?;
        let (gateway, admin) = addresses(&listeners)?;
        let token = Arc::new(Token::read_or_create(&config.data.dir)?);
        let store = open_store(&config)?;
        let feed = Feed::new();
        let Judged { settings, policies } =
            judge::judge(&config, judge::policy_settings(&config)).await?;
        let recorder = Recorder {
            store: store.clone(),
            feed: feed.clone(),
            capture: config.data.capture,
        };
        let sessions = Arc::new(Sessions::new(recorder, config.session.limits()));
        let people = Desk::open(sessions.clone(), settings.config.people.limits())
            .context("cannot read what waits for people")?;
        let app = Arc::new(App::new(settings, policies, sessions, people));
        let reloader = Arc::new(Reloader::new(app.clone(), file));
        Ok(Self {
            gateway,
            admin,
            app,
            feed,
            config,
            listeners,
            store,
            reloader,
            token,
        })
    }

    /// Answers until `stop`; then lets open streams end, and puts everything recorded on the disk.
    ///
    /// # Errors
    /// A listener or the disk failed.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), Failure> {
        let follower = Follower {
            app: self.app.clone(),
            reloader: self.reloader.clone(),
            token: self.token.clone(),
        };
        tokio::spawn(follower.run(stop.clone())?);
        tokio::spawn(let_idle_go(self.app.clone(), stop.clone()));
        tokio::spawn(ask_people(self.app.clone(), stop.clone()));
        measure_machine(&self.app)?;
        let admin = admin::router(Admin {
            app: self.app.clone(),
            store: self.store.clone(),
            feed: self.feed,
            reloader: self.reloader,
            token: self.token,
            stop: self.app.stopping.clone(),
        });
        let drain = Duration::from_millis(self.config.gateway.drain_timeout_ms);
        let drained = self.listeners.serve(self.app, admin, stop, drain).await?;
        if !drained {
            tracing::warn!(
                "some streams were still open after {} s and are cut",
                drain.as_secs()
            );
        }
        flush(self.store).await
    }
}

fn addresses(
    listeners: &Listeners,
) -> anyhow::Result<(std::net::SocketAddr, std::net::SocketAddr)> {
    let addresses = listeners
        .gateway_address()
        .and_then(|g| listeners.admin_address().map(|a| (g, a)));
    addresses.context("a listener has no address")
}

/// Idle sessions give their policies' instances back, and later leave memory; their next request brings them back.
async fn let_idle_go(app: Arc<App>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(15));
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let config = app.settings.load().config.session.clone();
        let sessions = Arc::clone(&app.sessions);
        let swept = tokio::task::spawn_blocking(move || {
            let hibernated = sessions.hibernate(u64::from(config.hibernate_seconds) * 1_000_000);
            let gone = sessions.sweep(u64::from(config.idle_minutes) * 60_000_000);
            (hibernated, gone, sessions.len())
        });
        if let Ok((hibernated, gone, live)) = swept.await
            && (hibernated > 0 || gone > 0)
        {
            tracing::debug!(hibernated, gone, live, "idle sessions gave memory back");
        }
    }
}

/// Lets deadlines of approvals pass, and tells people of each arrival.
async fn ask_people(app: Arc<App>, stop: CancellationToken) {
    let desk = app.people.clone();
    stop.run_until_cancelled(desk.run(|approval| app.announce(approval)))
        .await;
}

/// Samples the machine, and the agent that the configuration names now, until the application is gone.
fn measure_machine(app: &Arc<App>) -> anyhow::Result<()> {
    let held = Arc::downgrade(app);
    machine::start(&app.machine, move || {
        let settings = held.upgrade()?.settings.load_full();
        Some(settings.config.machine.clone())
    })
}

/// Takes each change of the configuration file and of the files that it names, and what SIGHUP asks for; a bad file is told
/// and the old one goes on.
struct Follower {
    app: Arc<App>,
    reloader: Arc<Reloader>,
    token: Arc<Token>,
}

impl Follower {
    /// What runs until `stop`.
    fn run(self, stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
        let mut hangup = signal(SignalKind::hangup()).context("cannot watch SIGHUP")?;
        let mut watch = Watch::new(self.files(), &self.app.settings.load().config.data.dir);
        let follow = async move {
            loop {
                tokio::select! {
                    changed = watch.changed() => self.take(&changed).await,
                    _ = hangup.recv() => {
                        tracing::info!("SIGHUP: reading everything again");
                        self.token();
                        self.reload().await;
                    }
                }
                watch.set(self.files());
            }
        };
        Ok(async move {
            let _ = stop.run_until_cancelled(follow).await;
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        let own = self
            .reloader
            .file()
            .map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        let mut files = self.app.settings.load().config.secret_files();
        files.extend(own);
        files.push(self.token.file().to_owned());
        files
    }

    async fn take(&self, changed: &[PathBuf]) {
        tracing::info!(files = ?changed, "files changed");
        let (token, others): (Vec<_>, Vec<_>) = changed
            .iter()
            .partition(|file| **file == *self.token.file());
        if !token.is_empty() {
            self.token();
        }
        if !others.is_empty() {
            self.reload().await;
        }
    }

    fn token(&self) {
        match self.token.read_again() {
            Ok(()) => tracing::info!("read the admin token again"),
            Err(error) => tracing::error!("the old admin token goes on: {error:#}"),
        }
    }

    async fn reload(&self) {
        match self.reloader.reload().await {
            Ok(reloaded) => {
                tracing::info!(changed = ?reloaded.changed, "took the changed configuration, and keys with it");
                if !reloaded.restart.is_empty() {
                    tracing::warn!(sections = ?reloaded.restart, "these take effect at the next start");
                }
            }
            Err(error) => tracing::error!(
                "the changed configuration is refused, the old one and its keys go on: {error:#}"
            ),
        }
    }
}

/// What is queued goes to the disk before the process ends.
async fn flush(store: Arc<dyn Store>) -> Result<(), Failure> {
    let flushed = tokio::task::spawn_blocking(move || store.flush()).await;
    Ok(flushed
        .context("writing the last events was interrupted")?
        .context("the last events are not on the disk")?)
}

fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let options = Options::in_directory(&config.data.dir, config.data.retention_days);
    Ok(Arc::new(SqliteStore::open(options)?))
}
