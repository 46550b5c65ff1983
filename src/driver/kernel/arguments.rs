//! The kernel's command line.

use std::fs;

use crate::config::Accelerator;

/// The kernel arguments of a guest that boots with the initramfs of this module. `host_khz`: see [`host_tsc_khz`].
///
/// - `console=ttyS0 quiet`: the console is QEMU's serial port. Each character costs an emulated device access, so the
///   kernel speaks only of errors (0.4 s less under TCG).
/// - `panic=-1`: a panic resets at once, which ends QEMU (`-no-reboot`) instead of hanging.
/// - `net.ifnames=0`: the one interface keeps the name that `init.sh` configured.
/// - `cryptomgr.notests`: no self-tests of ciphers at each boot.
/// - `tsc_early_khz`: under TCG on a busy host the early measurement of the clock can hang; telling it the host's
///   frequency skips that. KVM guests have a better clock of their own.
/// - `root`, `regatta.work`: the disks in QEMU's order. No `ip=`: LESSONS 26.
pub fn kernel_arguments(accel: Accelerator, host_khz: Option<u32>) -> String {
    let mut arguments = "console=ttyS0 quiet panic=-1 net.ifnames=0 cryptomgr.notests".to_owned();
    if let (Accelerator::Tcg | Accelerator::Auto, Some(khz)) = (accel, host_khz) {
        arguments.push_str(&format!(" tsc_early_khz={khz}"));
    }
    arguments.push_str(" root=/dev/vda regatta.work=/dev/vdb");
    arguments
}

/// The host's time stamp counter in kHz, from the best source there is: Intel's base frequency, AMD's nominal one,
/// or what `/proc/cpuinfo` shows, which on a machine that changes its speed is only near.
pub fn host_tsc_khz() -> Option<u32> {
    let cpu = "/sys/devices/system/cpu/cpu0";
    let number = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
    number(format!("{cpu}/cpufreq/base_frequency"))
        .or_else(|| number(format!("{cpu}/acpi_cppc/nominal_freq"))?.checked_mul(1000))
        .or_else(|| cpuinfo_khz(&fs::read_to_string("/proc/cpuinfo").ok()?))
}

/// `cpu MHz : 2299.998` → 2299998.
fn cpuinfo_khz(cpuinfo: &str) -> Option<u32> {
    let value = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?.split_once(':')?.1.trim();
    let (mhz, fraction) = value.split_once('.').unwrap_or((value, ""));
    let khz: String = fraction.chars().chain("000".chars()).take(3).collect();
    mhz.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(khz.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_line() {
        assert_eq!(
            kernel_arguments(Accelerator::Tcg, Some(2_299_998)),
            "console=ttyS0 quiet panic=-1 net.ifnames=0 cryptomgr.notests tsc_early_khz=2299998 \
             root=/dev/vda regatta.work=/dev/vdb"
        );
        assert_eq!(
            kernel_arguments(Accelerator::Kvm, Some(2_299_998)),
            "console=ttyS0 quiet panic=-1 net.ifnames=0 cryptomgr.notests root=/dev/vda regatta.work=/dev/vdb"
        );
    }

    #[test]
    fn frequencies_are_read_exactly() {
        assert_eq!(cpuinfo_khz("model : 1\ncpu MHz\t\t: 2299.998\ncpu MHz : 1.0\n"), Some(2_299_998));
        assert_eq!(cpuinfo_khz("cpu MHz : 2300\n"), Some(2_300_000));
        assert_eq!(cpuinfo_khz("cpu MHz : 2300.5\n"), Some(2_300_500));
        assert_eq!(cpuinfo_khz("cpu MHz : unknown\n"), None);
        assert_eq!(cpuinfo_khz("BogoMIPS : 48.00\n"), None);
    }
}
