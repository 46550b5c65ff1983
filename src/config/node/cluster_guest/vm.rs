//! `vm NAME { cluster …; … }`

use super::vm_rules as own;
use super::{Reading, connection, truth};
use crate::config::block::Block;
use crate::config::problems::Problems;
use crate::config::{CloudInit, ClusterOrigin, ClusterVm, VmDisk, VmInterface};
use crate::syntax::{Diagnostic, Spanned};

/// The virtual machine, as far as it can be understood.
pub(super) fn decode(block: &Block<'_>, problems: &mut Problems) -> Option<ClusterVm> {
    let before = problems.count();
    let mut reading = Reading { block, problems };
    let origin = reading.origin_of_vm();
    let from_image = matches!(origin, Some(ClusterOrigin::DiskImage { .. }));
    let memory = reading.size(&own::MEMORY, "memory");
    let guest = reading.common(origin);
    let cores = reading.one(&own::CORES, |block| block.integer("cores"));
    let sockets = reading.one(&own::SOCKETS, |block| block.integer("sockets"));
    let cpu = reading.text(&own::CPU, "model");
    let disks = reading.each(&own::DISK, disk);
    if from_image && !disks.iter().any(|disk| disk.value.0 == 0) && reading.problems.count() == before {
        missing_disk(block, reading.problems);
    }
    let interfaces = reading.each(&own::INTERFACE, interface);
    let cloud_init = reading.cloud_init();
    let agent = reading.one(&own::AGENT, |block| block.boolean("truth"));
    Some(ClusterVm { guest: guest?, cores, sockets, cpu, memory, disks, interfaces, cloud_init, agent })
}

/// The image has to become something.
fn missing_disk(block: &Block<'_>, problems: &mut Problems) {
    let message = "`vm` with a `disk-image` lacks the node `disk 0`";
    let problem = Diagnostic::error("config::missing-node", message, block.head(), "expected `disk 0` in its block");
    problems.push(problem.help("such as `disk 0 storage=\"local-lvm\" size=\"16GiB\"`: the image is copied to it"));
}

impl Reading<'_> {
    fn cloud_init(&mut self) -> Option<Spanned<CloudInit>> {
        let node = self.block.children(own::CLOUD_INIT.name).next()?;
        let block = Block::read(node, &own::CLOUD_INIT, self.problems);
        let keys = Reading { block: &block, problems: self.problems }.texts(&own::AUTHORIZED_KEY, "key");
        let text = |name| block.text(name).map(|text| text.value);
        let keys = keys.into_iter().map(|key| key.value).collect();
        Some(Spanned::new(CloudInit { storage: text("storage"), user: text("user"), keys }, node.span))
    }
}

fn disk(block: &Block<'_>) -> Option<(u32, VmDisk)> {
    let disk = VmDisk {
        storage: block.text("storage")?.value,
        size: block.size("size")?.value,
        no_backup: block.boolean("backup").is_some_and(|truth| !truth.value),
        discard: truth(block, "discard"),
        ssd: truth(block, "ssd"),
        io_thread: truth(block, "io-thread"),
    };
    Some((block.integer("number")?.value, disk))
}

fn interface(block: &Block<'_>) -> Option<(u32, VmInterface)> {
    let model = block.text("model").map_or_else(|| own::DEFAULT_CARD.to_owned(), |model| model.value);
    Some((block.integer("number")?.value, VmInterface { model, connection: connection(block)? }))
}
