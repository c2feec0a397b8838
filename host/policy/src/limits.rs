//! What one policy may use up, with the threat that each number bounds.
//!
//! `[limits]` in the configuration changes the defaults for all policies; `[policy.<name>.limits]` changes some of them
//! for one. Stack, table size and number of instances are properties of the engine and hold for all.

use serde::{Deserialize, Serialize};

/// Limits of policies. All are enforced by the host, outside the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory of one instance, MiB. Also bounds the longest uninterruptible step, a `memory.copy` of all of it.
    pub memory_mib: u32,
    /// CPU time of one call, ms. Measured on the calling thread, so a descheduled policy is not blamed.
    pub cpu_ms: u32,
    /// Wall time of one call, ms: the ceiling on a loaded machine.
    pub wall_ms: u32,
    /// Stack of a guest, KiB.
    pub stack_kib: u32,
    /// Elements of one table.
    pub table_elements: u32,
    /// Bytes a guest may pass to the host in one call to or from it, KiB; a guest that sends more is stopped.
    pub hostcall_kib: u32,
    /// Live resource handles of one instance.
    pub handles: u32,
    /// Findings of one assessment.
    pub findings: u32,
    /// Actions of one decision, those elsewhere included.
    pub actions: u32,
    /// Spans of evidence, release marks and pending items of one answer, each.
    pub details: u32,
    /// Log messages of one policy in a second; more are counted and dropped.
    pub log_per_second: u32,
    /// Saved state of a session, and the values of `state`, KiB each.
    pub state_kib: u32,
    /// Size of a component file, MiB.
    pub file_mib: u32,
    /// Time in which a component from outside must be compiled and judged, s. It runs in a process of its own, which is
    /// killed then: a small file can keep a compiler busy for minutes.
    pub compile_seconds: u32,
    /// Memory of that process, MiB: the same file can need gigabytes.
    pub compile_mib: u32,
    /// Live instances of all policies together; when all are taken, the longest idle session's give way. Each costs about
    /// 29 KiB and 8 memory mappings, of which Linux allows a process 65,530 by default.
    pub instances: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 32,
            cpu_ms: 20,
            wall_ms: 250,
            stack_kib: 512,
            table_elements: 10_000,
            hostcall_kib: 1024,
            handles: 64,
            findings: 64,
            actions: 32,
            details: 256,
            log_per_second: 100,
            state_kib: 64,
            file_mib: 64,
            compile_seconds: 30,
            compile_mib: 1024,
            instances: 4_000,
        }
    }
}

/// Limits of one policy that differ from the rest. Unset: as in `[limits]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "as in `Limits`")]
pub struct LimitsPatch {
    pub memory_mib: Option<u32>,
    pub cpu_ms: Option<u32>,
    pub wall_ms: Option<u32>,
    pub hostcall_kib: Option<u32>,
    pub handles: Option<u32>,
    pub findings: Option<u32>,
    pub actions: Option<u32>,
    pub details: Option<u32>,
    pub log_per_second: Option<u32>,
    pub state_kib: Option<u32>,
    pub file_mib: Option<u32>,
}

impl Limits {
    /// These limits with one policy's differences.
    #[must_use]
    pub fn patched(&self, patch: &LimitsPatch) -> Self {
        Self {
            memory_mib: patch.memory_mib.unwrap_or(self.memory_mib),
            cpu_ms: patch.cpu_ms.unwrap_or(self.cpu_ms),
            wall_ms: patch.wall_ms.unwrap_or(self.wall_ms),
            hostcall_kib: patch.hostcall_kib.unwrap_or(self.hostcall_kib),
            handles: patch.handles.unwrap_or(self.handles),
            findings: patch.findings.unwrap_or(self.findings),
            actions: patch.actions.unwrap_or(self.actions),
            details: patch.details.unwrap_or(self.details),
            log_per_second: patch.log_per_second.unwrap_or(self.log_per_second),
            state_kib: patch.state_kib.unwrap_or(self.state_kib),
            file_mib: patch.file_mib.unwrap_or(self.file_mib),
            ..self.clone()
        }
    }
}

impl Limits {
    /// Whether every limit is in the range in which it means something. The error names the setting.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("memory_mib", self.memory_mib, 1, 4096),
            ("cpu_ms", self.cpu_ms, 1, 60_000),
            ("wall_ms", self.wall_ms, 1, 600_000),
            // A guest runs on the stack of the thread that calls it, of which 2 MiB are usual.
            ("stack_kib", self.stack_kib, 16, 1024),
            ("table_elements", self.table_elements, 100, 1_000_000),
            ("hostcall_kib", self.hostcall_kib, 16, 1 << 20),
            ("handles", self.handles, 4, 100_000),
            ("findings", self.findings, 1, 10_000),
            ("actions", self.actions, 1, 10_000),
            ("details", self.details, 1, 100_000),
            ("log_per_second", self.log_per_second, 0, 1_000_000),
            ("state_kib", self.state_kib, 0, 16_384),
            ("file_mib", self.file_mib, 1, 1024),
            ("compile_seconds", self.compile_seconds, 1, 3600),
            ("compile_mib", self.compile_mib, 64, 1 << 20),
            ("instances", self.instances, 1, 100_000),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!(
                    "limit `{name}` is {value}: it must be from {least} to {most}"
                ));
            }
        }
        if self.wall_ms < self.cpu_ms {
            return Err(format!(
                "limit `wall_ms` ({}) is below `cpu_ms` ({}): raise it",
                self.wall_ms, self.cpu_ms
            ));
        }
        Ok(())
    }
}
