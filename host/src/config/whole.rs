//! One sound configuration: every section, read and judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::client_key::ClientKey;
use super::data::DataConfig;
use super::listen::{AdminConfig, GatewayConfig};
use super::people::PeopleConfig;
use super::policies::PoliciesConfig;
use super::profile::ProfileConfig;
use super::session::SessionConfig;
use crate::ask::settings::AskConfig;
use crate::upstream::key::KeyRef;
use crate::upstream::limits::CallLimits;
use crate::upstream::settings::{RouteConfig, UpstreamConfig, WebhookConfig};
use airlock_core::observe::machine::settings::MachineConfig;
use airlock_core::observe::prices::Price;
use airlock_core::reason::on_finding::OnFinding;
use airlock_core::reason::rules::row::RuleConfig;
use airlock_policy::{Limits, PolicySpec};

/// One sound configuration. Replaced as a whole, never edited in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it came from.
    pub source: Source,
    /// What was chosen that the file does not say, one line each.
    pub notes: Vec<String>,
    /// The listener for applications.
    pub gateway: GatewayConfig,
    /// The listener for operators.
    pub admin: AdminConfig,
    /// What is kept on disk.
    pub data: DataConfig,
    /// Keys of clients, in the order of the file. Without any, only loopback is served and every credential is taken.
    pub keys: Vec<ClientKey>,
    /// Limits of tenants, by name.
    pub tenants: Vec<(String, CallLimits)>,
    /// Model servers by name, in the order of the file. The first one serves everything when there are no routes.
    pub upstreams: Vec<(String, UpstreamConfig)>,
    /// Which model goes where, in the order of the file. The first match counts.
    pub routes: Vec<RouteConfig>,
    /// What policies may be granted to ask, by name.
    pub asks: Vec<(String, AskConfig)>,
    /// The policy directory and its defaults.
    pub policies: PoliciesConfig,
    /// Entries `[policy.<name>]`, with the paths of their files made absolute.
    pub policy: BTreeMap<String, PolicySpec>,
    /// Bounds of every policy.
    pub limits: Limits,
    /// The operator's own answer to findings, in the order of the file.
    pub on_finding: Vec<OnFinding>,
    /// What is wanted of a run. What it becomes is in `policy` and `rules`.
    pub profile: ProfileConfig,
    /// The operator's own conditions, in the order of the file.
    pub rules: Vec<RuleConfig>,
    /// Where alerts go, by name.
    pub webhooks: Vec<(String, WebhookConfig)>,
    /// What waits for people.
    pub people: PeopleConfig,
    /// Limits of one session.
    pub session: SessionConfig,
    /// Whose process the vitals of the agent are.
    pub machine: MachineConfig,
    /// Prices that go before the built-in table, by model.
    pub prices: Vec<(String, Price)>,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// There was no file.
    Environment,
}

impl Config {
    /// Everything at its default, with no upstream.
    pub fn empty(source: Source) -> Self {
        Self {
            source,
            notes: Vec::new(),
            gateway: GatewayConfig::default(),
            admin: AdminConfig::default(),
            data: DataConfig::default(),
            keys: Vec::new(),
            tenants: Vec::new(),
            upstreams: Vec::new(),
            routes: Vec::new(),
            asks: Vec::new(),
            policies: PoliciesConfig::default(),
            policy: BTreeMap::new(),
            limits: Limits::default(),
            on_finding: Vec::new(),
            profile: ProfileConfig::default(),
            rules: Vec::new(),
            webhooks: Vec::new(),
            people: PeopleConfig::default(),
            session: SessionConfig::default(),
            machine: MachineConfig::default(),
            prices: Vec::new(),
        }
    }

    /// Files besides the configuration whose content counts: keys and certificates. Whoever replaces one expects it to be read.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let upstreams = self.upstreams.iter().flat_map(|(_, upstream)| {
            let key = upstream.key.as_ref().and_then(KeyRef::file);
            let tls = [
                &upstream.ca_file,
                &upstream.client_cert_file,
                &upstream.client_key_file,
            ];
            key.into_iter()
                .chain(tls.into_iter().filter_map(Option::as_deref))
        });
        upstreams.map(Path::to_owned).collect()
    }

    /// Limits of a tenant.
    pub fn tenant(&self, name: &str) -> CallLimits {
        let found = self.tenants.iter().find(|(n, _)| n == name);
        found.map(|(_, limits)| *limits).unwrap_or_default()
    }

    /// The upstream of that name.
    pub fn upstream(&self, name: &str) -> Option<&UpstreamConfig> {
        self.upstreams
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, u)| u)
    }
}
