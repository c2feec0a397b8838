//! What the kernel says of the machine and of one agent, as numbers. Pure: text in, numbers out.
//!
//! Every function gives `None` for text that it does not know: an absent vital is better than a wrong one.

/// Clock ticks in a second, as `/proc/<pid>/stat` counts them. `USER_HZ`, which Linux promises to be 100 on every
/// processor that Rust compiles for, whatever the kernel's own clock does.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time since the start, in ticks: in use, and in all. From `/proc/stat`. Waiting for a disk is not use.
pub(super) fn processors(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user nice system idle iowait irq softirq steal; guest time, which follows, is part of user.
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some((all.saturating_sub(idle), all))
}

/// Share of the memory that is not available to new work, 0..1. From `/proc/meminfo`.
pub(super) fn memory_in_use(meminfo: &str) -> Option<f64> {
    let total = kib(meminfo, "MemTotal:")? as f64;
    let available = kib(meminfo, "MemAvailable:")? as f64;
    (total > 0.0).then(|| (1.0 - available / total).clamp(0.0, 1.0))
}

/// Microseconds since the start in which some task waited for a disk. From `/proc/pressure/io`.
pub(super) fn stalled(pressure: &str) -> Option<u64> {
    let line = pressure
        .lines()
        .find_map(|line| line.strip_prefix("some "))?;
    field(line, "total=")
}

/// When the process started, and its processor time in us. From `/proc/<pid>/stat`.
pub(super) fn process_time(stat: &str) -> Option<(u64, u64)> {
    // The second field is the program's name in brackets, and may itself hold brackets and spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
    // Counted from the third field: 14 utime, 15 stime, 22 starttime.
    let ticks = number(11)? + number(12)?;
    Some((number(19)?, ticks * 1_000_000 / TICKS_PER_SECOND))
}

/// Resident bytes of a process. From `/proc/<pid>/status`.
pub(super) fn process_memory(status: &str) -> Option<u64> {
    Some(kib(status, "VmRSS:")? * 1024)
}

/// Bytes that a process read from and wrote to disks. From `/proc/<pid>/io`.
pub(super) fn process_io(io: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = io.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    Some(value("read_bytes:")? + value("write_bytes:")?)
}

/// Processor time of a control group in us. From `cpu.stat`.
pub(super) fn group_time(cpu_stat: &str) -> Option<u64> {
    let line = cpu_stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok()
}

/// Bytes that a control group read and wrote, on all devices. From `io.stat`, which is empty before the first transfer.
pub(super) fn group_io(io_stat: &str) -> Option<u64> {
    let of = |line: &str| Some(field(line, "rbytes=")? + field(line, "wbytes=")?);
    // A device that has only just appeared stands there without numbers.
    Some(io_stat.lines().filter_map(of).sum())
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn field(line: &str, name: &str) -> Option<u64> {
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(name))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  2255 34 2290 22625563 6290 127 456 0 0 0\n\
                        cpu0 1132 34 1441 11311718 3675 127 438 0 0 0\nintr 114930548\n";

    #[test]
    fn use_is_everything_but_idling_and_waiting() {
        let busy = 2255 + 34 + 2290 + 127 + 456;
        assert_eq!(processors(STAT), Some((busy, busy + 22_625_563 + 6290)));
        // Kernels before 2.6 have four fields.
        assert_eq!(processors("cpu  10 0 10 80\n"), Some((20, 100)));
        assert_eq!(processors("cpu0 1 2 3 4\n"), None);
    }

    #[test]
    fn memory_counts_what_new_work_could_have() {
        let text = "MemTotal:        8000000 kB\nMemFree:          500000 kB\nMemAvailable:    6000000 kB\n";
        assert_eq!(memory_in_use(text), Some(0.25));
        // Kernels before 3.14 do not say it: absent, not guessed.
        assert_eq!(memory_in_use("MemTotal: 8000000 kB\nMemFree: 1 kB\n"), None);
    }

    #[test]
    fn pressure_is_that_of_some_not_of_all() {
        let text = "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459\nfull avg10=0.00 avg60=0.13 avg300=0.96 total=58464525\n";
        assert_eq!(stalled(text), Some(58_761_459));
        assert_eq!(stalled(""), None);
    }

    #[test]
    fn a_programs_name_cannot_shift_the_fields() {
        let fields = "S 1 1 1 0 -1 4194560 100 200 0 0 250 50 7 8 20 0 1 0 4321 1000000 500";
        for name in ["agent", "a) R 9 9 (b", "with space"] {
            let stat = format!("77 ({name}) {fields}");
            assert_eq!(process_time(&stat), Some((4321, 3_000_000)), "{name}");
        }
        assert_eq!(process_time("77 (agent) S 1"), None);
    }

    #[test]
    fn a_process_and_a_group_are_read() {
        assert_eq!(
            process_memory("Name:\tagent\nVmRSS:\t    1234 kB\n"),
            Some(1_263_616)
        );
        let io = "rchar: 9\nwchar: 9\nsyscr: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n";
        assert_eq!(process_io(io), Some(12_288));
        assert_eq!(
            group_time("usage_usec 5500\nuser_usec 5000\nsystem_usec 500\n"),
            Some(5500)
        );
        let io = "8:0 rbytes=1000 wbytes=500 rios=1 wios=1 dbytes=0 dios=0\n253:0 \n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n";
        assert_eq!(group_io(io), Some(1503));
        assert_eq!(group_io(""), Some(0));
    }
}
