//! Vitals of the machine and of the agent beside which Airlock runs.
//!
//! A thread of its own reads the kernel's counters once a second and leaves the values in atomics: a call that asks for
//! one waits for nothing. What the kernel does not tell (another system than Linux, no pressure information, a process of
//! somebody else) is absent, and absence is said once in the log.
//! Not here: what happens when a value is too high. That is for policies and rules.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::vitals::id;
use crate::observe::machine::settings::MachineConfig;

mod read;
mod sample;
pub mod settings;

pub use sample::Sample;
use sample::Sampler;

/// Between two samples. Counters of the kernel are coarse (10 ms), and reading them costs some 50 us.
const EVERY: Duration = Duration::from_secs(1);

/// The ids of these vitals.
const IDS: std::ops::RangeInclusive<u16> = id::HOST_CPU..=id::AGENT_IO;

/// The newest sample, for everybody.
#[derive(Debug)]
pub struct Machine {
    /// Bits of an `f64` for each id of [`IDS`]; NaN stands for absent.
    values: [AtomicU64; 6],
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            values: [const { AtomicU64::new(f64::NAN.to_bits()) }; 6],
        }
    }
}

impl Machine {
    /// The value of one vital (30 to 35); `None` for others, and where it is not known.
    pub fn value(&self, vital: u16) -> Option<f64> {
        let index = vital.checked_sub(*IDS.start())?;
        let bits = self.values.get(usize::from(index))?.load(Ordering::Relaxed);
        Some(f64::from_bits(bits)).filter(|value| !value.is_nan())
    }

    /// The newest sample.
    pub fn newest(&self) -> Sample {
        Sample {
            host_cpu: self.value(id::HOST_CPU),
            host_memory: self.value(id::HOST_MEMORY),
            host_io: self.value(id::HOST_IO),
            agent_cpu: self.value(id::AGENT_CPU),
            agent_memory: self.value(id::AGENT_MEMORY),
            agent_io: self.value(id::AGENT_IO),
        }
    }

    /// Takes a sample.
    pub fn take(&self, sample: &Sample) {
        let values = [
            sample.host_cpu,
            sample.host_memory,
            sample.host_io,
            sample.agent_cpu,
            sample.agent_memory,
            sample.agent_io,
        ];
        for (slot, value) in self.values.iter().zip(values) {
            slot.store(value.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
        }
    }
}

/// Samples once a second for as long as somebody holds `machine`. `agent` is asked each time, so a changed configuration
/// counts from the next sample.
///
/// # Errors
/// The system gives no thread.
pub fn start(
    machine: &Arc<Machine>,
    agent: impl Fn() -> Option<MachineConfig> + Send + 'static,
) -> anyhow::Result<()> {
    let machine = Arc::downgrade(machine);
    std::thread::Builder::new()
        .name("airlock-machine".into())
        .spawn(move || run(&machine, &agent))
        .map(drop)
        .context("cannot start the thread that measures the machine")
}

fn run(machine: &Weak<Machine>, agent: &dyn Fn() -> Option<MachineConfig>) {
    let mut sampler = Sampler::new(Path::new("/proc"));
    let mut said = Vec::new();
    while let (Some(machine), Some(agent)) = (machine.upgrade(), agent()) {
        let sample = sampler.sample(&agent, Instant::now());
        machine.take(&sample);
        drop(machine);
        for absent in sampler.absent() {
            if !said.contains(absent) {
                tracing::info!("a vital is not measured: {absent}");
                said.push(absent.clone());
            }
        }
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_absent_and_comes_and_goes() {
        let machine = Machine::default();
        assert!(IDS.into_iter().all(|id| machine.value(id).is_none()));
        machine.take(&Sample {
            host_memory: Some(0.5),
            agent_io: Some(0.0),
            ..Sample::default()
        });
        assert_eq!(machine.value(id::HOST_MEMORY), Some(0.5));
        assert_eq!(machine.value(id::AGENT_IO), Some(0.0));
        assert_eq!(machine.value(id::HOST_CPU), None);
        assert_eq!(machine.value(id::CONTEXT_SHARE), None);
        assert_eq!(machine.value(id::TOOL_ERROR_RATE), None);
        machine.take(&Sample::default());
        assert_eq!(machine.value(id::HOST_MEMORY), None);
    }
}
