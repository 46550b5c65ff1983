//! The kernel's command line.

use std::fmt::Write as _;
use std::fs;

use crate::config::{Accelerator, Disk};

/// The argument that makes `init.sh` end the machine at once, having said [`PROBE_PASSED`].
const PROBE: &str = "regatta.probe";

/// What `init.sh` prints when it was started with [`probe_arguments`].
pub(in crate::driver) const PROBE_PASSED: &str = "regatta-init: probe passed";

/// The kernel arguments of a guest that boots with the initramfs of this module. `tsc`: see [`host_tsc`].
///
/// - `console=ttyS0 quiet`: the console is QEMU's serial port. Each character costs an emulated device access, so the
///   kernel speaks only of errors, and systemd of failures.
/// - `panic=5`: a kernel that panicked starts again after so many seconds, instead of hanging.
/// - `net.ifnames=0`: the one interface keeps the name that `init.sh` configured.
/// - `cryptomgr.notests`: no self-tests of ciphers at each boot.
/// - `root`, `regatta.work`: the disks in QEMU's order. No `ip=`: LESSONS 26.
///
/// KVM guests have a clock of their own. Under TCG they read the host's time stamp counter, and must be told about it:
///
/// - `tsc_early_khz`: on a busy host the measurement at boot can hang; this skips it.
/// - `tsc=reliable`: without it the kernel counts timer interrupts instead, and a busy host delivers too few: a guest
///   was seen to lose 16 s in 50. Only when the frequency is exact, because nothing corrects the clock afterwards.
pub fn kernel_arguments(accel: Accelerator, tsc: Option<Tsc>) -> String {
    let mut arguments = common_arguments(accel, tsc);
    arguments.push_str(" root=/dev/vda regatta.work=/dev/vdb");
    arguments
}

/// The kernel arguments of a machine that only shows that it can run the kernel.
pub(in crate::driver) fn probe_arguments(accel: Accelerator, tsc: Option<Tsc>) -> String {
    format!("{} {PROBE}", common_arguments(accel, tsc))
}

/// What the disk with the kernel's modules is called.
pub(in crate::driver) const MODULES: &str = "modules";

/// The kernel arguments that say what `init.sh` mounts beside root and work disk: `regatta.disk=NAME:DEVICE:PLACE`. `attached`
/// are the names of all further disks in their order; a disk is found by its serial number, and by its order where it
/// has none.
pub(in crate::driver) fn disk_arguments(attached: &[&str], disks: &[Disk]) -> String {
    let mut arguments = String::new();
    for (name, letter) in attached.iter().zip('c'..='z') {
        let declared = disks.iter().find(|disk| disk.name == *name);
        let place = if *name == MODULES { Some(MODULES) } else { declared.and_then(|disk| disk.at.as_deref()) };
        if let Some(place) = place {
            // Writing to a string cannot fail.
            let _ = write!(arguments, " regatta.disk={name}:/dev/vd{letter}:{place}");
        }
    }
    arguments
}

fn common_arguments(accel: Accelerator, tsc: Option<Tsc>) -> String {
    let mut arguments = "console=ttyS0 quiet panic=5 net.ifnames=0 cryptomgr.notests".to_owned();
    if let (Accelerator::Tcg | Accelerator::Auto, Some(tsc)) = (accel, tsc) {
        // Writing to a string cannot fail.
        let _ = write!(arguments, " tsc_early_khz={}", tsc.khz);
        arguments.push_str(if tsc.exact { " tsc=reliable" } else { "" });
    }
    arguments
}

/// What is known about the host's time stamp counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tsc {
    /// Its frequency.
    pub khz: u32,
    /// Whether that was measured, and is not a figure from a data sheet or of the moment.
    pub exact: bool,
}

/// The host's time stamp counter, from the best source there is. A processor that does not change its speed (as in a
/// virtual machine) shows the measured frequency in `/proc/cpuinfo`; otherwise there are Intel's base frequency and
/// AMD's nominal one, which are round numbers.
pub fn host_tsc() -> Option<Tsc> {
    let cpu = "/sys/devices/system/cpu/cpu0";
    let number = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
    let inexact = |khz| Tsc { khz, exact: false };
    number(format!("{cpu}/cpufreq/base_frequency"))
        .or_else(|| number(format!("{cpu}/acpi_cppc/nominal_freq"))?.checked_mul(1000))
        .map(inexact)
        .or_else(|| {
            let khz = cpuinfo_khz(&fs::read_to_string("/proc/cpuinfo").ok()?)?;
            Some(Tsc { khz, exact: !fs::exists(format!("{cpu}/cpufreq")).ok()? })
        })
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

    const EXACT: Option<Tsc> = Some(Tsc { khz: 2_299_998, exact: true });

    #[test]
    fn the_whole_line() {
        let common = "console=ttyS0 quiet panic=5 net.ifnames=0 cryptomgr.notests";
        let disks = "root=/dev/vda regatta.work=/dev/vdb";
        let tcg = |tsc| kernel_arguments(Accelerator::Tcg, tsc);
        assert_eq!(tcg(EXACT), format!("{common} tsc_early_khz=2299998 tsc=reliable {disks}"));
        let rounded = Some(Tsc { khz: 2_300_000, exact: false });
        assert_eq!(tcg(rounded), format!("{common} tsc_early_khz=2300000 {disks}"));
        assert_eq!(tcg(None), format!("{common} {disks}"));
        assert_eq!(kernel_arguments(Accelerator::Kvm, EXACT), format!("{common} {disks}"));
        assert_eq!(probe_arguments(Accelerator::Kvm, EXACT), format!("{common} regatta.probe"));
    }

    #[test]
    fn disks_are_named_by_serial_number_and_order() {
        let disk = |name: &str, at: Option<&str>| Disk {
            name: name.into(),
            size: crate::config::ByteSize::gib(1),
            at: at.map(str::to_owned),
        };
        let disks = [disk("data", Some("/srv/data")), disk("raw", None), disk("var", Some("/var/lib"))];
        assert_eq!(
            disk_arguments(&["modules", "data", "raw", "var"], &disks),
            " regatta.disk=modules:/dev/vdc:modules regatta.disk=data:/dev/vdd:/srv/data regatta.disk=var:/dev/vdf:/var/lib"
        );
        assert_eq!(disk_arguments(&["raw"], &disks), "");
    }

    #[test]
    fn init_answers_the_probe() {
        let init = include_str!("init.sh");
        assert!(init.contains(&format!("*\" {PROBE} \"*")));
        assert_eq!(PROBE_PASSED, "regatta-init: probe passed");
        assert!(init.contains("say \"probe passed\""));
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
