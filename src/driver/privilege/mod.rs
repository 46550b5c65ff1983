//! What runs as root: one catalogue of command shapes, a runner that refuses everything else, and the sudo rules that
//! are generated from the same catalogue. `docs/design/privileges.md` tells why.

mod catalogue;
mod commands;
mod enter;
mod on_node;
mod runner;
mod slot;
mod sudoers;

pub(super) use catalogue::jailed_program;
pub use catalogue::{By, Entry, Program, Refused, RootCommand, admit, entries};
pub use commands::needed;
pub(super) use commands::{
    JAILED_SOCKET, JAILS, add_address, add_bridge, add_tap, delete_address, delete_link, delete_table, isolate,
    list_rules, mark, plug, replace_rules, set_up, start_jailed, start_resolver, stop_resolver,
};
pub(super) use enter::{enter_container, first_line};
pub(super) use on_node::set_on_node;
pub use on_node::{add_to_fstab, disk_health, mount_disk, needed_on_nodes};
pub use runner::Privileged;
pub use slot::{Mark, UNFINISHED};
pub use sudoers::{Rules, missing};
