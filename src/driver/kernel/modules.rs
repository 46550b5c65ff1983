//! Which modules the initramfs loads, and in which order: each says in its own `.modinfo` section what it depends on.
//! (`modules.dep` is made at installation and so not in the package.)

use std::collections::BTreeMap;

/// Modules by name: `-` and `_` are the same to the kernel, here always `_`.
pub(super) type Modules = BTreeMap<String, Vec<u8>>;

/// A module's name from its file name; `None` when it is no module.
pub(super) fn name(file: &str) -> Option<String> {
    let stem = file.rsplit('/').next()?.strip_suffix(".ko")?;
    Some(stem.replace('-', "_"))
}

/// The wanted modules and all they depend on, each after its dependencies.
/// A module that is neither in `modules` nor in `builtin` is an error unless it is only `useful`.
///
/// # Errors
/// Names the module that is missing or unreadable.
pub(super) fn load_order(
    required: &[&str],
    useful: &[&str],
    modules: &Modules,
    builtin: &[String],
) -> Result<Vec<String>, String> {
    let mut order = Vec::new();
    for wanted in required {
        if modules.contains_key(*wanted) {
            visit(wanted, modules, &mut Vec::new(), &mut order)?;
        } else if !builtin.iter().any(|name| name == wanted) {
            return Err(format!("the kernel has no module `{wanted}`"));
        }
    }
    for wanted in useful.iter().filter(|wanted| modules.contains_key(**wanted)) {
        visit(wanted, modules, &mut Vec::new(), &mut order)?;
    }
    Ok(order)
}

/// Depth first. `path` holds the modules whose dependencies are being visited: meeting one again is a cycle.
fn visit(module: &str, modules: &Modules, path: &mut Vec<String>, order: &mut Vec<String>) -> Result<(), String> {
    if order.iter().any(|done| done == module) {
        return Ok(());
    }
    if path.iter().any(|visiting| visiting == module) {
        return Err(format!("the kernel's module `{module}` depends on itself"));
    }
    // Absent: built into the kernel.
    let Some(file) = modules.get(module) else { return Ok(()) };
    path.push(module.to_owned());
    for dependency in
        dependencies(file).ok_or_else(|| format!("the kernel's module `{module}` is no ELF file we read"))?
    {
        visit(&dependency, modules, path, order)?;
    }
    path.pop();
    order.push(module.to_owned());
    Ok(())
}

/// The names in a module's `depends=` entry; `None` when the file is no 64-bit little-endian ELF file with a `.modinfo`.
fn dependencies(elf: &[u8]) -> Option<Vec<String>> {
    let text = section(elf, b".modinfo")?;
    let depends = text.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"depends="))?;
    let names = std::str::from_utf8(depends).ok()?;
    Some(names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

/// The content of a section (System V ABI, "Sections": the header is 64 bytes; name at 0, offset at 24, size at 32).
fn section<'a>(elf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = elf.get(number::<8>(elf, 0x28)?..)?;
    let (count, names_index) = (number::<2>(elf, 0x3c)?, number::<2>(elf, 0x3e)?);
    let content = |header: &[u8]| elf.get(number::<8>(header, 24)?..)?.get(..number::<8>(header, 32)?);
    let names = content(headers.chunks_exact(64).nth(names_index)?)?;
    headers.chunks_exact(64).take(count).find_map(|header| {
        let found = names.get(number::<4>(header, 0)?..)?.strip_prefix(name)?;
        if found.first() == Some(&0) { content(header) } else { None }
    })
}

/// A little-endian number of `N` bytes, at most 8.
fn number<const N: usize>(bytes: &[u8], offset: usize) -> Option<usize> {
    let field: &[u8; N] = bytes.get(offset..)?.first_chunk()?;
    let value = field.iter().rev().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest ELF file with a `.modinfo`: header, the section's text, names, three section headers.
    fn module(depends: &str) -> Vec<u8> {
        let info = format!("license=GPL\0depends={depends}\0name=x\0");
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let (info_at, names_at) = (64, 64 + info.len());
        let headers_at = names_at + names.len();
        elf[0x28..0x30].copy_from_slice(&(headers_at as u64).to_le_bytes());
        elf[0x3c..0x3e].copy_from_slice(&3_u16.to_le_bytes());
        elf[0x3e..0x40].copy_from_slice(&2_u16.to_le_bytes());
        elf.extend_from_slice(info.as_bytes());
        elf.extend_from_slice(names);
        for (name, offset, size) in [(0, 0, 0), (1, info_at, info.len()), (10, names_at, names.len())] {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&(name as u32).to_le_bytes());
            header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            elf.extend_from_slice(&header);
        }
        elf
    }

    fn modules(depends: &[(&str, &str)]) -> Modules {
        depends.iter().map(|(name, depends)| ((*name).to_owned(), module(depends))).collect()
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let modules = modules(&[
            ("virtio_net", "virtio,net-failover"),
            ("net_failover", "failover"),
            ("failover", ""),
            ("virtio", "virtio_ring"),
            ("virtio_blk", "virtio"),
            ("unwanted", ""),
        ]);
        let builtin = ["virtio_ring".to_owned(), "ext4".to_owned()];
        let order = load_order(&["ext4", "virtio_blk", "virtio_net"], &["virtio_rng"], &modules, &builtin);
        let expected = ["virtio", "virtio_blk", "failover", "net_failover", "virtio_net"];
        assert_eq!(order.unwrap(), expected);
    }

    #[test]
    fn missing_circular_and_broken_modules_are_named() {
        let found = |wanted: &str, modules: &Modules| load_order(&[wanted], &[], modules, &[]).unwrap_err();
        assert_eq!(found("a", &modules(&[])), "the kernel has no module `a`");
        assert_eq!(found("a", &modules(&[("a", "b"), ("b", "a")])), "the kernel's module `a` depends on itself");
        let broken = Modules::from([("a".to_owned(), b"\x7fELF\x02\x01".to_vec())]);
        assert_eq!(found("a", &broken), "the kernel's module `a` is no ELF file we read");
    }

    #[test]
    fn every_cut_of_a_module_is_an_error_or_the_same_and_never_a_panic() {
        let whole = module("virtio,virtio_ring");
        for length in 0..whole.len() {
            let cut = dependencies(&whole[..length]);
            assert!(cut.is_none() || cut == dependencies(&whole), "{length}");
        }
    }

    #[test]
    fn names_come_from_files() {
        assert_eq!(name("lib/modules/6.1/kernel/drivers/virtio-rng.ko").as_deref(), Some("virtio_rng"));
        assert_eq!(name("modules.builtin"), None);
    }
}
