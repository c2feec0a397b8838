//! From the kernel's growing counters to what happened between two samples.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::read;
use crate::observe::machine::settings::MachineConfig;

/// What was measured at one moment; `None` where it could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = MachineSample)]
pub struct Sample {
    /// Share of the machine's processors in use, 0..1, since the sample before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_cpu: Option<f64>,
    /// Share of the machine's memory in use, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_memory: Option<f64>,
    /// Share of the time since the sample before in which some task waited for a disk, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_io: Option<f64>,
    /// Processors that the agent used since the sample before; 1.5 is one and a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_cpu: Option<f64>,
    /// Bytes of memory that the agent uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_memory: Option<f64>,
    /// Bytes per second that the agent read and wrote since the sample before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_io: Option<f64>,
}

/// Remembers the counters of the sample before.
pub(super) struct Sampler {
    proc: PathBuf,
    at: Option<Instant>,
    processors: Option<(u64, u64)>,
    stalled: Option<u64>,
    agent: Option<Agent>,
    absent: Vec<String>,
}

/// Counters of the agent, and whose they are: a process that was restarted begins anew.
#[derive(PartialEq)]
struct Agent {
    who: String,
    time: Option<u64>,
    io: Option<u64>,
}

impl Sampler {
    /// A sampler of the machine whose counters are under this directory, `/proc`.
    pub(super) fn new(proc: &Path) -> Sampler {
        Sampler {
            proc: proc.to_owned(),
            at: None,
            processors: None,
            stalled: None,
            agent: None,
            absent: Vec::new(),
        }
    }

    /// What could not be measured in the newest sample, and why.
    pub(super) fn absent(&self) -> &[String] {
        &self.absent
    }

    /// Measures. What counts since the sample before is absent in the first one.
    pub(super) fn sample(&mut self, config: &MachineConfig, at: Instant) -> Sample {
        self.absent.clear();
        let seconds = self
            .at
            .replace(at)
            .map(|before| at.saturating_duration_since(before).as_secs_f64())
            .filter(|seconds| *seconds > 0.0);
        let processors = self.read("stat", "host-cpu", read::processors);
        let stalled = self.read("pressure/io", "host-io", read::stalled);
        let mut sample = Sample {
            host_memory: self.read("meminfo", "host-memory", read::memory_in_use),
            host_cpu: used(self.processors, processors),
            host_io: rate(self.stalled, stalled, seconds).map(|us| (us / 1e6).min(1.0)),
            ..Sample::default()
        };
        self.processors = processors;
        self.stalled = stalled;
        match self.agent(config) {
            Some((agent, memory)) => {
                let before = self.agent.take().filter(|before| before.who == agent.who);
                if let Some(before) = before {
                    sample.agent_cpu = rate(before.time, agent.time, seconds).map(|us| us / 1e6);
                    sample.agent_io = rate(before.io, agent.io, seconds);
                }
                sample.agent_memory = memory.map(|bytes| bytes as f64);
                self.agent = Some(agent);
            }
            None => self.agent = None,
        }
        sample
    }

    /// The agent's counters, and its memory.
    fn agent(&mut self, config: &MachineConfig) -> Option<(Agent, Option<u64>)> {
        if let Some(group) = &config.agent_cgroup {
            let agent = Agent {
                who: group.display().to_string(),
                time: self.file(&group.join("cpu.stat"), "agent-cpu", read::group_time),
                io: self.file(&group.join("io.stat"), "agent-io", read::group_io),
            };
            let number = |text: &str| text.trim().parse().ok();
            let memory = self.file(&group.join("memory.current"), "agent-memory", number);
            return Some((agent, memory));
        }
        let pid: u32 = match (&config.agent_pid, &config.agent_pid_file) {
            (Some(pid), _) => *pid,
            (None, Some(file)) => self.file(file, "agent-*", |text| text.trim().parse().ok())?,
            (None, None) => return None,
        };
        let of = |name: &str| format!("{pid}/{name}");
        let (started, time) = self.read(&of("stat"), "agent-cpu", read::process_time)?;
        let agent = Agent {
            who: format!("{pid} since {started}"),
            time: Some(time),
            io: self.read(&of("io"), "agent-io", read::process_io),
        };
        let memory = self.read(&of("status"), "agent-memory", read::process_memory);
        Some((agent, memory))
    }

    fn read<T>(&mut self, name: &str, vital: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.file(&self.proc.join(name), vital, parse)
    }

    fn file<T>(
        &mut self,
        path: &Path,
        vital: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let why = match std::fs::read_to_string(path) {
            Ok(text) => match parse(&text) {
                Some(value) => return Some(value),
                None => "it does not say what it should".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        self.absent
            .push(format!("{vital}, from {}: {why}", path.display()));
        None
    }
}

/// Share of the processors in use between two samples.
fn used(before: Option<(u64, u64)>, now: Option<(u64, u64)>) -> Option<f64> {
    let ((busy_before, all_before), (busy, all)) = (before?, now?);
    let all = all.checked_sub(all_before).filter(|all| *all > 0)?;
    Some((busy.saturating_sub(busy_before) as f64 / all as f64).min(1.0))
}

/// Growth of a counter per second. Absent when it went backwards: it is another one then.
fn rate(before: Option<u64>, now: Option<u64>, seconds: Option<f64>) -> Option<f64> {
    Some(now?.checked_sub(before?)? as f64 / seconds?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn process(dir: &Path, pid: u32, started: u64, ticks: u64, bytes: u64) {
        let stat =
            format!("{pid} (agent) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 0 0");
        write(dir, &format!("{pid}/stat"), &stat);
        write(dir, &format!("{pid}/status"), "VmRSS:\t 1000 kB\n");
        write(
            dir,
            &format!("{pid}/io"),
            &format!("read_bytes: {bytes}\nwrite_bytes: 0\n"),
        );
    }

    #[test]
    fn rates_are_of_the_time_between_two_samples() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        let mut sampler = Sampler::new(proc);
        let config = MachineConfig::default();
        let at = Instant::now();
        write(proc, "stat", "cpu  100 0 0 100 0 0 0 0\n");
        write(proc, "meminfo", "MemTotal: 100 kB\nMemAvailable: 40 kB\n");
        write(proc, "pressure/io", "some avg10=0.00 total=1000000\n");
        let first = sampler.sample(&config, at);
        assert_eq!((first.host_cpu, first.host_io), (None, None));
        assert_eq!(first.host_memory, Some(0.6));
        write(proc, "stat", "cpu  130 0 0 170 0 0 0 0\n");
        write(proc, "pressure/io", "some avg10=0.00 total=1500000\n");
        let second = sampler.sample(&config, at + Duration::from_secs(2));
        assert_eq!((second.host_cpu, second.host_io), (Some(0.3), Some(0.25)));
        assert_eq!(second.agent_memory, None, "nobody named an agent");
    }

    #[test]
    fn a_restarted_agent_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        let mut sampler = Sampler::new(proc);
        let config = MachineConfig {
            agent_pid_file: Some(proc.join("agent.pid")),
            ..MachineConfig::default()
        };
        let at = Instant::now();
        let mut second = 0;
        let mut sample = || {
            second += 1;
            sampler.sample(&config, at + Duration::from_secs(second))
        };
        assert_eq!(sample().agent_memory, None, "no file yet");
        write(proc, "agent.pid", "7\n");
        process(proc, 7, 50, 100, 1000);
        let seen = sample();
        assert_eq!(
            (seen.agent_cpu, seen.agent_memory),
            (None, Some(1_024_000.0))
        );
        process(proc, 7, 50, 150, 6000);
        let seen = sample();
        assert_eq!((seen.agent_cpu, seen.agent_io), (Some(0.5), Some(5000.0)));
        // The same id, another process: what it used before it began is not negative.
        process(proc, 7, 90, 1, 0);
        assert_eq!(sample().agent_cpu, None);
        process(proc, 7, 90, 101, 0);
        assert_eq!(sample().agent_cpu, Some(1.0));
    }

    #[test]
    fn a_control_group_is_an_agent_too() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("agent.service");
        let config = MachineConfig {
            agent_cgroup: Some(group.clone()),
            ..MachineConfig::default()
        };
        let mut sampler = Sampler::new(dir.path());
        let at = Instant::now();
        write(&group, "cpu.stat", "usage_usec 1000000\n");
        write(&group, "memory.current", "4096\n");
        write(&group, "io.stat", "");
        sampler.sample(&config, at);
        write(&group, "cpu.stat", "usage_usec 4000000\n");
        write(&group, "io.stat", "8:0 rbytes=10 wbytes=20\n");
        let seen = sampler.sample(&config, at + Duration::from_secs(1));
        assert_eq!(seen.agent_cpu, Some(3.0));
        assert_eq!(seen.agent_memory, Some(4096.0));
        assert_eq!(seen.agent_io, Some(30.0));
    }

    #[test]
    fn what_is_absent_is_named_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let mut sampler = Sampler::new(dir.path());
        let sample = sampler.sample(&MachineConfig::default(), Instant::now());
        assert_eq!(sample, Sample::default());
        assert!(sampler.absent().iter().any(|a| a.starts_with("host-io")));
    }
}
