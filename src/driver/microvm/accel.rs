//! Choosing what runs a guest's code: KVM when it really runs our kernel, else TCG, which emulates it.
//!
//! `/dev/kvm` being there says little: nested or emulated KVM may open and then not run a stock kernel. So the built
//! kernel is started under KVM once, with nothing but its initramfs, and must say a line within seconds. The answer
//! holds until the machine reboots or QEMU is replaced; it is a cache, and may be deleted at any time.

use std::fs::OpenOptions;
use std::time::Duration;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::qemu;
use crate::config::Accelerator;
use crate::driver::kernel::{PROBE_PASSED, probe_arguments};
use crate::driver::{KernelPaths, StateDir, Store};
use crate::effect::{Clock as _, Command, CommandError, Environment, Holder, Lock, ProcFs, Run, SystemClock, files};
use crate::exec::{Failure, Progress};

/// Environment variable that decides for everything on this machine: `kvm`, `tcg` or `auto`.
const OVERRIDE: &str = "REGATTA_ACCEL";

/// Under KVM the line comes after less than a second.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// How long another process may probe.
const LOCK_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes read of the cached answer.
const CACHE_LIMIT: u64 = 16 << 10;

/// The answer of a probe, and what it is an answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    /// `/proc/sys/kernel/random/boot_id`.
    boot_id: String,
    /// QEMU's own version line.
    qemu: String,
    /// Whether KVM runs guests.
    kvm: bool,
    /// Why not, for people.
    reason: Option<String>,
}

/// Whether KVM may be tried out, or only what is known of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// A kernel may be booted under it, and the answer be written down.
    Allowed,
    /// Nothing is run or written.
    Known,
}

/// Why KVM is believed to run guests, or why not. The environment's word counts before any trial.
pub(super) async fn kvm(run: &dyn Run, state: &StateDir, trial: Trial) -> Result<String, String> {
    match Environment::variable(OVERRIDE).as_deref() {
        Some("tcg") => return Err(format!("{OVERRIDE} says that guests are emulated")),
        Some("kvm") => return Ok(format!("{OVERRIDE} says that KVM works")),
        _ => {}
    }
    open_kvm().map_err(|cause| format!("/dev/kvm cannot be opened: {cause}"))?;
    let known = match (probed(state), trial) {
        (None, Trial::Allowed) => tried(run, state).await,
        (known, _) => known,
    };
    match known {
        Some((true, _)) => Ok("a kernel has booted under KVM".into()),
        Some((false, why)) => Err(why),
        None => Err("KVM was not tried on this machine yet: the first guest that starts does".into()),
    }
}

/// Tries KVM with a kernel of the store; nothing where there is none, or nothing to try it with.
async fn tried(run: &dyn Run, state: &StateDir) -> Option<(bool, String)> {
    let kernel = Store::new(state.store()).any_kernel()?;
    let answer = answer(run, &Files::of(state).ok()?, &kernel, &Quiet).await.ok()?;
    Some((answer.kvm, answer.reason.unwrap_or_default()))
}

/// Nobody watches a trial that a plan makes.
struct Quiet;

impl Progress for Quiet {
    fn say(&self, _: &str) {}
}

fn open_kvm() -> std::io::Result<std::fs::File> {
    OpenOptions::new().read(true).write(true).open("/dev/kvm")
}

/// What the last probe found, if it is still an answer for this boot: whether KVM runs guests, and why not.
pub(in crate::driver) fn probed(state: &StateDir) -> Option<(bool, String)> {
    let answer = cached(&state.root().join("accelerator.json"))?;
    let current = boot_id().is_ok_and(|boot_id| boot_id == answer.boot_id);
    current.then(|| (answer.kvm, answer.reason.unwrap_or_default()))
}

/// Decides what runs a guest that declares `wanted`: never [`Accelerator::Auto`].
///
/// # Errors
/// When the override is no accelerator, or QEMU cannot be asked.
pub(super) async fn choose(
    run: &dyn Run,
    state: &StateDir,
    kernel: &KernelPaths,
    wanted: Accelerator,
    progress: &dyn Progress,
) -> Result<Accelerator, Failure> {
    let wanted = match Environment::variable(OVERRIDE) {
        Some(text) => overridden(&text)?,
        None => wanted,
    };
    if wanted != Accelerator::Auto {
        return Ok(wanted);
    }
    if let Err(cause) = open_kvm() {
        // Not cached: joining the group `kvm` mends it.
        progress.say(&format!("emulating, which is slow: cannot use /dev/kvm: {cause}"));
        return Ok(Accelerator::Tcg);
    }
    let answer = answer(run, &Files::of(state)?, kernel, progress).await?;
    if let Some(reason) = &answer.reason {
        progress.say(&format!("emulating, which is slow: {reason}"));
    }
    Ok(if answer.kvm { Accelerator::Kvm } else { Accelerator::Tcg })
}

fn overridden(text: &str) -> Result<Accelerator, Failure> {
    match text {
        "auto" => Ok(Accelerator::Auto),
        "kvm" => Ok(Accelerator::Kvm),
        "tcg" => Ok(Accelerator::Tcg),
        _ => {
            let found: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
            Err(Failure::permanent(format!("found `{found}` in {OVERRIDE}, expected `auto`, `kvm` or `tcg`")))
        }
    }
}

/// Where the answer is kept, and the lock under which it is found.
struct Files {
    answer: camino::Utf8PathBuf,
    lock: camino::Utf8PathBuf,
}

impl Files {
    fn of(state: &StateDir) -> Result<Self, Failure> {
        let locks = state.root().join("locks");
        files::private_dir(&locks)?;
        Ok(Self { answer: state.root().join("accelerator.json"), lock: locks.join("accelerator.lock") })
    }
}

/// The cached answer, or that of a probe. Guests that start side by side probe once.
async fn answer(run: &dyn Run, at: &Files, kernel: &KernelPaths, progress: &dyn Progress) -> Result<Answer, Failure> {
    let holder = Holder::this_process("probe KVM", SystemClock.now());
    let _lock =
        Lock::acquire(&at.lock, &holder, LOCK_DEADLINE).await.map_err(|error| Failure::transient(error.to_string()))?;
    let version = run.run_ok(&Command::new(qemu::PROGRAM).arg("--version").deadline(Duration::from_secs(10))).await?;
    let qemu = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
    let boot_id = boot_id()?;
    if let Some(cached) = cached(&at.answer).filter(|cached| cached.boot_id == boot_id && cached.qemu == qemu) {
        return Ok(cached);
    }
    progress.say("trying KVM");
    let reason = probe(run, kernel).await?;
    let answer = Answer { boot_id, qemu, kvm: reason.is_none(), reason };
    let text = serde_json::to_vec_pretty(&answer).map_err(|error| Failure::permanent(error.to_string()))?;
    files::write_atomic(&at.answer, &text)?;
    Ok(answer)
}

fn boot_id() -> Result<String, Failure> {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let this = ProcFs::default().identify(pid).map_err(|error| Failure::permanent(error.to_string()))?;
    this.map(|id| id.boot_id).ok_or_else(|| Failure::permanent("cannot find this process in /proc"))
}

/// An answer that cannot be read is asked for again.
fn cached(path: &Utf8Path) -> Option<Answer> {
    serde_json::from_slice(&files::read_bounded(path, CACHE_LIMIT).ok()??).ok()
}

/// Starts the kernel under KVM; the reason why it cannot be used, `None` when it can.
async fn probe(run: &dyn Run, kernel: &KernelPaths) -> Result<Option<String>, Failure> {
    let arguments = probe_arguments(Accelerator::Kvm, None);
    let command = Command::new(qemu::PROGRAM)
        .args(["-machine", "microvm", "-accel", "kvm", "-cpu", "host", "-m", "256M"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
        .args(["-kernel", kernel.vmlinux.as_str(), "-initrd", kernel.initrd.as_str(), "-append", &arguments])
        .deadline(PROBE_DEADLINE);
    match run.run(&command).await {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains(PROBE_PASSED) => Ok(None),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let said: String =
                text.lines().last().unwrap_or("QEMU said nothing").chars().filter(|c| !c.is_control()).collect();
            Ok(Some(format!("the kernel does not boot under KVM: {said}")))
        }
        Err(CommandError::Deadline { deadline, .. }) => {
            Ok(Some(format!("the kernel does not boot under KVM within {} s", deadline.as_secs())))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use camino::Utf8PathBuf;

    use super::*;
    use crate::effect::{Output, Status};

    /// A QEMU with a version that boots, fails, or hangs; counts the probes.
    struct Qemu {
        version: &'static str,
        boots: Result<&'static str, &'static str>,
        probes: AtomicUsize,
    }

    impl Qemu {
        const fn new(version: &'static str, boots: Result<&'static str, &'static str>) -> Self {
            Self { version, boots, probes: AtomicUsize::new(0) }
        }
    }

    #[async_trait]
    impl Run for Qemu {
        async fn run(&self, command: &Command) -> Result<Output, CommandError> {
            let output = |stdout: &str, stderr: &str| Output {
                status: Status::Code(0),
                stdout: stdout.into(),
                stderr: stderr.into(),
            };
            if command.arguments() == ["--version"] {
                return Ok(output(self.version, ""));
            }
            self.probes.fetch_add(1, Ordering::Relaxed);
            match self.boots {
                Ok(said) => Ok(output(said, "")),
                Err("hangs") => Err(CommandError::Deadline { command: "qemu".into(), deadline: PROBE_DEADLINE }),
                Err(said) => Ok(output("", said)),
            }
        }
    }

    struct Silent;

    impl Progress for Silent {
        fn say(&self, _: &str) {}
    }

    async fn ask(qemu: &Qemu, dir: &tempfile::TempDir) -> (bool, Option<String>) {
        let state = StateDir::new(Utf8PathBuf::try_from(dir.path().to_owned()).unwrap());
        let kernel = KernelPaths { vmlinux: "vmlinux".into(), initrd: "initrd".into(), modules: "modules".into() };
        let answer = answer(qemu, &Files::of(&state).unwrap(), &kernel, &Silent).await.unwrap();
        (answer.kvm, answer.reason)
    }

    #[tokio::test]
    async fn the_answer_is_kept_until_qemu_changes() {
        let dir = tempfile::tempdir().unwrap();
        let first = Qemu::new("QEMU 7.2\nmore", Ok("...\nregatta-init: probe passed\r\n"));
        assert_eq!(ask(&first, &dir).await, (true, None));
        assert_eq!(ask(&first, &dir).await, (true, None));
        assert_eq!(first.probes.into_inner(), 1);
        let second = Qemu::new("QEMU 10.0", Err("qemu: failed to initialize kvm: Permission denied\n"));
        let reason = "the kernel does not boot under KVM: qemu: failed to initialize kvm: Permission denied";
        assert_eq!(ask(&second, &dir).await, (false, Some(reason.into())));
        assert_eq!(second.probes.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_kvm_that_hangs_is_not_used_and_a_torn_cache_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("accelerator.json"), "{\"boot_id\":").unwrap();
        let hangs = Qemu::new("QEMU 7.2", Err("hangs"));
        let reason = "the kernel does not boot under KVM within 5 s";
        assert_eq!(ask(&hangs, &dir).await, (false, Some(reason.into())));
    }

    #[test]
    fn the_override_is_one_of_three_words() {
        assert_eq!(overridden("tcg"), Ok(Accelerator::Tcg));
        let error = Failure::permanent("found `KVM` in REGATTA_ACCEL, expected `auto`, `kvm` or `tcg`");
        assert_eq!(overridden("KVM"), Err(error));
    }
}
