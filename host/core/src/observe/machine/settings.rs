//! `[machine]`: whose process the vitals of the agent are.

use std::path::PathBuf;

use serde::Deserialize;

/// The agent beside which Airlock runs, by one of three names; without one the vitals `agent-*` are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineConfig {
    /// Its process.
    pub agent_pid: Option<u32>,
    /// A file that holds the id of its process; read anew for each sample, so that a restart of the agent is followed.
    pub agent_pid_file: Option<PathBuf>,
    /// Its control group (version 2), such as `/sys/fs/cgroup/system.slice/agent.service`.
    pub agent_cgroup: Option<PathBuf>,
}

impl MachineConfig {
    /// The names that are set.
    pub fn named(&self) -> Vec<&'static str> {
        [
            ("agent_pid", self.agent_pid.is_some()),
            ("agent_pid_file", self.agent_pid_file.is_some()),
            ("agent_cgroup", self.agent_cgroup.is_some()),
        ]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| name)
        .collect()
    }
}
