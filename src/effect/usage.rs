//! What a process takes of the machine.

use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::process::ProcessId;

/// What a process takes, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Processor time of all its threads since it began.
    pub cpu: Duration,
    /// Bytes of memory that it has and that are not swapped out.
    pub resident: u64,
    /// Since it began.
    pub age: Duration,
}

/// What a process takes right now; nothing when it has ended or cannot be looked at.
pub fn process_usage(id: &ProcessId) -> Option<ProcessUsage> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.pid)).ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let constant = |name| u64::try_from(sysconf(name).ok()??).ok();
    let units = Units { ticks: constant(SysconfVar::CLK_TCK)?, page: constant(SysconfVar::PAGE_SIZE)? };
    usage(&stat, &uptime, id.start_time, units)
}

/// What the kernel counts in.
#[derive(Debug, Clone, Copy)]
struct Units {
    /// Clock ticks of a second.
    ticks: u64,
    /// Bytes of a page.
    page: u64,
}

/// Fields 14, 15, 22 and 24 of `/proc/PID/stat` (`man 5 proc_pid_stat`), counted from the end of the program's name, and the first
/// number of `/proc/uptime`.
fn usage(stat: &str, uptime: &str, start_time: u64, units: Units) -> Option<ProcessUsage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    if number(22)? != start_time {
        return None;
    }
    let millis = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000) / units.ticks.max(1));
    let up = Duration::try_from_secs_f64(uptime.split_ascii_whitespace().next()?.parse().ok()?).ok()?;
    Some(ProcessUsage {
        cpu: millis(number(14)?.saturating_add(number(15)?)),
        resident: number(24)?.saturating_mul(units.page),
        age: up.saturating_sub(millis(start_time)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_the_right_ones() {
        let stat = "17 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 1000 20 8 22";
        let units = Units { ticks: 100, page: 4096 };
        let expected =
            ProcessUsage { cpu: Duration::from_secs(3), resident: 8 * 4096, age: Duration::from_millis(30_500) };
        assert_eq!(usage(stat, "40.50 79.00\n", 1000, units), Some(expected));
        assert_eq!(usage(stat, "40.50 79.00\n", 1001, units), None, "another process of the same number");
        assert_eq!(usage("17 (sh) S 1", "40.50", 1000, units), None);
    }

    #[test]
    fn this_process_takes_something() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let this = super::super::ProcFs::default().identify(pid).unwrap().unwrap();
        assert!(process_usage(&this).unwrap().resident > 0);
    }
}
