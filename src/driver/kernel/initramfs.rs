//! The archive the kernel starts from: busybox, the modules, and `init.sh`.

use super::modules::Modules;
use crate::driver::cpio::{Archive, Entry};

/// First program of every guest.
const INIT: &str = include_str!("init.sh");

/// Folders `init.sh` expects.
const FOLDERS: [&str; 7] = ["bin", "dev", "modules", "proc", "run", "sys", "sysroot"];

/// The initramfs that loads these modules, in this order.
pub(super) fn build(busybox: &[u8], order: &[String], modules: &Modules) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.add(folder, Entry::Directory);
    }
    // The kernel opens it for init's input and output before init could make it.
    archive.add("dev/console", Entry::CharDevice(0o600, 5, 1));
    archive.add("init", Entry::File(0o755, INIT.as_bytes()));
    archive.add("bin/busybox", Entry::File(0o755, busybox));
    let listed = order.iter().filter_map(|name| Some((name, modules.get(name)?)));
    for (name, module) in listed {
        archive.add(&format!("modules/{name}.ko"), Entry::File(0o644, module));
    }
    let order: String = order.iter().map(|name| format!("{name}.ko\n")).collect();
    archive.add("modules/order", Entry::File(0o644, order.as_bytes()));
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_shell_can_read_init() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/driver/kernel/init.sh");
        let output = std::process::Command::new("sh").args(["-n", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    #[test]
    fn modules_are_listed_in_load_order() {
        let modules = Modules::from([("a".to_owned(), b"A".to_vec()), ("b".to_owned(), b"B".to_vec())]);
        let archive = build(b"busybox", &["b".into(), "a".into()], &modules);
        let text = String::from_utf8_lossy(&archive);
        assert!(text.contains("modules/order\0b.ko\na.ko\n"), "{text}");
        assert!(text.starts_with("070701"));
    }
}
