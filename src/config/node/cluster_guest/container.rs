//! `container NAME { … }`

use super::container_rules as own;
use super::{Reading, connection, decided, truth};
use crate::config::block::Block;
use crate::config::problems::Problems;
use crate::config::{Bind, ByteSize, ClusterOrigin, Container, Device, Interface, Volume};
use crate::syntax::Diagnostic;

/// Memory and swap space of a container that names none: Proxmox's own default.
const DEFAULT_MEMORY: ByteSize = ByteSize::mib(512);

/// The container, as far as it can be understood.
pub(super) fn decode(block: &Block<'_>, problems: &mut Problems) -> Option<Container> {
    let before = problems.count();
    let mut reading = Reading { block, problems };
    let origin = reading.origin_of_container();
    let root_disk = reading.each(&own::ROOT_DISK, volume).into_iter().next();
    let has_template = matches!(origin, Some(ClusterOrigin::Template { .. }));
    let guest = reading.common(origin);
    let unprivileged = reading.boolean(&own::UNPRIVILEGED, true);
    let cores = reading.one(&own::CORES, |block| block.integer("cores"));
    let memory = decided(reading.size(&own::MEMORY, "memory"), DEFAULT_MEMORY);
    let swap = decided(reading.size(&own::SWAP, "swap"), DEFAULT_MEMORY);
    let mounts = reading.each(&own::MOUNT, |block| Some((block.text("path")?.value, volume(block)?)));
    let binds = reading.each(&own::BIND, bind);
    let devices = reading.each(&own::DEVICE, device);
    let interfaces = reading.each(&own::INTERFACE, interface);
    let features = reading.texts(&own::FEATURE, "feature");
    if problems.count() == before && has_template && root_disk.is_none() {
        missing_disk(block, problems);
    }
    let guest = guest?;
    Some(Container {
        guest,
        unprivileged,
        cores,
        memory,
        swap,
        root_disk,
        mounts,
        binds,
        devices,
        interfaces,
        features,
    })
}

/// A template has no root disk of its own.
fn missing_disk(block: &Block<'_>, problems: &mut Problems) {
    let message = "`container` with a `template` lacks the node `root-disk`";
    let problem = Diagnostic::error("config::missing-node", message, block.head(), "expected `root-disk` in its block");
    problems.push(problem.help("such as `root-disk storage=\"local\" size=\"8GiB\"`"));
}

fn volume(block: &Block<'_>) -> Option<Volume> {
    Some(Volume {
        storage: block.text("storage")?.value,
        size: block.size("size")?.value,
        backup: truth(block, "backup"),
        read_only: truth(block, "read-only"),
    })
}

fn bind(block: &Block<'_>) -> Option<Bind> {
    let (path, from) = (block.text("path")?.value, block.text("from")?.value);
    Some(Bind { path, from, read_only: truth(block, "read-only") })
}

fn device(block: &Block<'_>) -> Option<Device> {
    let number = |name| block.integer(name).map(|number| number.value);
    // Octal digits, as Proxmox has them: four, the first is 0.
    let mode = block.integer("mode").map(|mode| format!("{:04o}", mode.value));
    Some(Device { path: block.text("path")?.value, mode, uid: number("uid"), gid: number("gid") })
}

fn interface(block: &Block<'_>) -> Option<Interface> {
    Some(Interface { name: block.text("name")?.value, connection: connection(block)? })
}
