//! `vm NAME { cluster …; … }`

use super::Reading;
use super::vm_rules as own;
use crate::config::block::Block;
use crate::config::problems::Problems;
use crate::config::{CloudInit, ClusterVm, VmDisk, VmInterface};
use crate::syntax::Spanned;

/// The virtual machine, as far as it can be understood.
pub(super) fn decode(block: &Block<'_>, problems: &mut Problems) -> Option<ClusterVm> {
    let mut reading = Reading { block, problems };
    let origin = reading.clone();
    let memory = reading.size(&own::MEMORY, "memory");
    let guest = reading.common(origin);
    let cores = reading.one(&own::CORES, |block| block.integer("cores"));
    let sockets = reading.one(&own::SOCKETS, |block| block.integer("sockets"));
    let cpu = reading.text(&own::CPU, "model");
    let disks = reading.each(&own::DISK, disk);
    let interfaces = reading.each(&own::INTERFACE, interface);
    let cloud_init = reading.cloud_init();
    let agent = reading.one(&own::AGENT, |block| block.boolean("truth"));
    Some(ClusterVm { guest: guest?, cores, sockets, cpu, memory, disks, interfaces, cloud_init, agent })
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
    let truth = |name| block.boolean(name).is_some_and(|truth| truth.value);
    let disk = VmDisk {
        storage: block.text("storage")?.value,
        size: block.size("size")?.value,
        no_backup: block.boolean("backup").is_some_and(|truth| !truth.value),
        discard: truth("discard"),
        ssd: truth("ssd"),
        io_thread: truth("io-thread"),
    };
    Some((block.integer("number")?.value, disk))
}

fn interface(block: &Block<'_>) -> Option<(u32, VmInterface)> {
    let text = |name| block.text(name).map(|text| text.value);
    let number = |name| block.integer(name).map(|number| number.value);
    let interface = VmInterface {
        bridge: text("bridge")?,
        model: text("model").unwrap_or_else(|| own::DEFAULT_CARD.to_owned()),
        ip: text("ip"),
        gateway: text("gateway"),
        ip6: text("ip6"),
        gateway6: text("gateway6"),
        mac: text("mac"),
        vlan: number("vlan"),
        mtu: number("mtu"),
        firewall: block.boolean("firewall").is_some_and(|truth| truth.value),
    };
    Some((block.integer("number")?.value, interface))
}
