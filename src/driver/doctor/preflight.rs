//! What `doctor` would find wrong, as far as what a plan is about to do needs it: looked up with every plan, so that an apply does
//! not begin what this machine cannot end. Each thing is looked at once, whatever needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::{machine, network};
use crate::config::{Accelerator, FileForm, Machine};
use crate::driver::tools::{self, DEBUGFS, E2FSCK, MKE2FS, QEMU, QEMU_IMG};
use crate::driver::{StateDir, image, kernel};
use crate::effect::Run;
use crate::exec::Failure;
use crate::resource::{
    Desired, Finding, Health, ImageSpec, Observed, Obstacle, Reading, Resource, RunState, SourceSpec, VmSpec,
};

/// Something that has to be right on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// Programs, and what an ordinary user needs, to install packages.
    Packages,
    /// Programs to make a file system of a tree.
    Tree,
    /// Programs to take a file system out of a disk.
    Disk,
    /// Programs to make a kernel.
    Kernel,
    /// Programs to make and run guests of QEMU.
    Qemu,
    /// Programs to make guests of Firecracker; whether that runs is looked up with the guests.
    Firecracker,
    /// Room for what is made.
    Room,
    /// Hardware virtualisation, where it is asked for by name.
    Kvm,
    /// Taps.
    Tun,
}

/// Adds what stands in the way of what would be built, made or started. What is there already needs nothing.
pub async fn preflight(run: &dyn Run, state: &StateDir, desired: &Desired, observed: &mut Observed) {
    let mut answers: BTreeMap<Need, Option<Obstacle>> = BTreeMap::new();
    for (address, declared) in &desired.resources {
        for need in needs(&declared.resource, observed) {
            let answer = match answers.get(&need) {
                Some(answer) => answer.clone(),
                None => look(run, state, need).await,
            };
            answers.insert(need, answer.clone());
            if let Some(obstacle) = answer {
                observed.obstacles.entry(address.clone()).or_default().push(obstacle);
            }
        }
    }
}

fn needs(resource: &Resource, observed: &Observed) -> BTreeSet<Need> {
    match resource {
        Resource::Image(image) if !observed.built.contains_key(&image.key) => of_image(image),
        Resource::Kernel(kernel) if !observed.built.contains_key(&kernel.key) => [Need::Kernel, Need::Room].into(),
        Resource::Vm(vm) => of_guest(vm, observed),
        _ => BTreeSet::new(),
    }
}

fn of_image(image: &ImageSpec) -> BTreeSet<Need> {
    let programs = match &image.source {
        SourceSpec::Debootstrap { .. } => Need::Packages,
        SourceSpec::File { form: FileForm::Ext4 | FileForm::CloudImage, .. } => Need::Disk,
        SourceSpec::Oci { .. } | SourceSpec::File { form: FileForm::Tar, .. } | SourceSpec::Directory { .. } => {
            Need::Tree
        }
    };
    [programs, Need::Room].into()
}

fn of_guest(vm: &VmSpec, observed: &Observed) -> BTreeSet<Need> {
    let guest = match observed.guests.get(&vm.name) {
        Some(Reading::Present(guest)) => Some(guest),
        Some(Reading::Absent) | None => None,
        Some(Reading::Unreadable(_)) => return BTreeSet::new(),
    };
    if guest.is_some_and(|guest| guest.state != RunState::Stopped) {
        return BTreeSet::new();
    }
    let program = if vm.machine == Machine::Firecracker { Need::Firecracker } else { Need::Qemu };
    let room = guest.is_none().then_some(Need::Room);
    let kvm = (vm.accel == Accelerator::Kvm).then_some(Need::Kvm);
    let tun = vm.network.link.is_some().then_some(Need::Tun);
    [Some(program), room, kvm, tun].into_iter().flatten().collect()
}

async fn look(run: &dyn Run, state: &StateDir, need: Need) -> Option<Obstacle> {
    let programs = match need {
        Need::Packages => image::require_packages(run).await,
        Need::Tree => image::require_tree(run).await,
        Need::Disk => image::require_disk(run).await,
        Need::Kernel => kernel::require(run).await,
        Need::Qemu => tools::require(run, &[QEMU, QEMU_IMG, MKE2FS, DEBUGFS, E2FSCK]).await,
        Need::Firecracker => tools::require(run, &[MKE2FS, DEBUGFS, E2FSCK]).await,
        Need::Room => return failed([machine::room(state)]),
        Need::Kvm => {
            return machine::accelerator(state).into_iter().find(|it| it.verdict != Health::Pass).map(obstacle);
        }
        Need::Tun => return failed([network::tun()]),
    };
    programs.err().map(|Failure { causes, hint, .. }| Obstacle {
        message: causes.join(": "),
        help: hint.unwrap_or_else(|| "`regatta doctor` looks at everything".into()),
    })
}

fn failed(findings: impl IntoIterator<Item = Finding>) -> Option<Obstacle> {
    findings.into_iter().find(|finding| finding.verdict == Health::Fail).map(obstacle)
}

fn obstacle(finding: Finding) -> Obstacle {
    let help = finding.fix.unwrap_or_else(|| "`regatta doctor` looks at everything".into());
    Obstacle { message: format!("{}: {}", finding.check, finding.found), help }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::effect::testing::scratch;
    use crate::effect::{Command, CommandError, Output, Status};
    use crate::resource::{Address, ContentKey, Declared, KernelSpec, Rules};

    /// A machine on which nothing is installed.
    struct Bare(Mutex<u32>);

    #[async_trait]
    impl Run for Bare {
        async fn run(&self, command: &Command) -> Result<Output, CommandError> {
            *self.0.lock().unwrap() += 1;
            let line = command.to_string();
            let tools = line.rsplit_once(" sh ").unwrap().1.replace(' ', "\n");
            let stdout = tools + "\n";
            Ok(Output { status: Status::Code(0), stdout: stdout.into(), stderr: Vec::new() })
        }
    }

    fn kernel(name: &str) -> (Address, Declared) {
        let spec = KernelSpec {
            name: name.into(),
            suite: "bookworm".into(),
            mirror: None,
            package: "linux-image".into(),
            file: None,
            image: None,
            key: ContentKey::of(&name),
        };
        let declared = Declared {
            resource: Resource::Kernel(spec),
            source: None,
            needs: BTreeSet::new(),
            tags: BTreeSet::new(),
            rules: Rules::default(),
        };
        (Address::kernel(name), declared)
    }

    #[tokio::test]
    async fn what_is_missing_is_looked_up_once_and_only_for_what_is_not_there() {
        let (_guard, dir) = scratch();
        let desired = Desired { resources: [kernel("a"), kernel("b"), kernel("built")].into(), ..Desired::default() };
        let built = [(ContentKey::of(&"built"), crate::resource::Built::default())].into();
        let mut observed = Observed { built, ..Observed::default() };
        let bare = Bare(Mutex::default());
        preflight(&bare, &StateDir::new(dir), &desired, &mut observed).await;
        let missing = |obstacle: &&Obstacle| obstacle.message.starts_with("not installed: `mmdebstrap`");
        let found: Vec<_> = observed
            .obstacles
            .iter()
            .map(|(address, found)| (address.as_str(), found.iter().filter(missing).count()))
            .collect();
        assert_eq!(found, [("kernel.a", 1), ("kernel.b", 1)]);
        assert_eq!(*bare.0.lock().unwrap(), 1);
    }
}
