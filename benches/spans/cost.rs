//! What work costs, as Linux counts it.

use std::time::Duration;

/// The most memory that a process has had, and the processor time it has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) peak_mib: u64,
    pub(crate) cpu: Duration,
}

impl Cost {
    pub(crate) fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux tells it");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let after_name = stat.rsplit(") ").next().expect("fields");
        let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        // A hundred ticks a second, on every Linux that there is.
        Self { peak_mib: kib / 1024, cpu: Duration::from_millis(ticks * 10) }
    }
}

/// Processor time of this thread.
pub(crate) fn thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}
