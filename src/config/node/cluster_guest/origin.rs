//! What a guest on a cluster is made from: exactly one of the nodes that say so.

use super::{Reading, container_rules, rules, truth, vm_rules};
use crate::config::block::Block;
use crate::config::problems::Problems;
use crate::config::{ClusterOrigin, VolumeSource};
use crate::syntax::{Diagnostic, Spanned, shown};

impl Reading<'_> {
    /// The origin of a container.
    pub(super) fn origin_of_container(&mut self) -> Option<ClusterOrigin> {
        let template = self.volume(&container_rules::TEMPLATE);
        let template = template.map(|(volume, source)| ClusterOrigin::Template { volume, source });
        self.origin("container", "`template`, `clone`, `restore` and `existing`", template)
    }

    /// The origin of a virtual machine.
    pub(super) fn origin_of_vm(&mut self) -> Option<ClusterOrigin> {
        let image = self.volume(&vm_rules::DISK_IMAGE);
        let image = image.map(|(volume, source)| ClusterOrigin::DiskImage { volume, source });
        self.origin("vm", "`clone`, `disk-image`, `restore` and `existing`", image)
    }

    /// The one origin that is written: `own` is that of the kind alone.
    fn origin(&mut self, kind: &str, all: &str, own: Option<ClusterOrigin>) -> Option<ClusterOrigin> {
        let clone = self.each(&rules::CLONE, |block| {
            let storage = block.text("storage").map(|storage| storage.value);
            Some(ClusterOrigin::Clone { vmid: block.integer("vmid")?, full: truth(block, "full"), storage })
        });
        let restore = self.each(&rules::RESTORE, |block| {
            let storage = block.text("storage").map(|storage| storage.value);
            Some(ClusterOrigin::Restore { volume: block.text("volume")?, same: truth(block, "same"), storage })
        });
        let existing = self.each(&rules::EXISTING, |_| Some(ClusterOrigin::Existing));
        let others = clone.into_iter().chain(restore).chain(existing).map(|origin| origin.value);
        let mut found: Vec<ClusterOrigin> = own.into_iter().chain(others).collect();
        let nodes =
            [&container_rules::TEMPLATE, &vm_rules::DISK_IMAGE, &rules::CLONE, &rules::RESTORE, &rules::EXISTING];
        let written = nodes.iter().filter(|rule| self.block.children(rule.name).next().is_some()).count();
        if written != 1 && !self.block.is_uncertain() {
            let message = format!("`{kind}` takes exactly one of {all}");
            let problem =
                Diagnostic::error("config::contradiction", message, self.block.head(), "not exactly one of them");
            self.problems.push(problem);
        }
        found.pop().filter(|_| written == 1)
    }

    /// A volume, and where it comes from.
    fn volume(
        &mut self,
        rule: &'static crate::config::language::NodeRule,
    ) -> Option<(Spanned<String>, Option<VolumeSource>)> {
        let node = self.block.children(rule.name).next()?;
        let block = Block::read(node, rule, self.problems);
        let source = source(&block, self.problems);
        Some((block.text("volume")?, source))
    }
}

/// One of `url` and `file`, together with the digest, or nothing.
fn source(block: &Block<'_>, problems: &mut Problems) -> Option<VolumeSource> {
    let sha256 = block.text("sha256");
    let wrong = |span, message: &str, label| Diagnostic::error("config::contradiction", message, span, label);
    let lonely = |span, message| wrong(span, message, "one without the other");
    match (block.text("url"), block.text("file"), sha256) {
        (None, None, None) => None,
        (Some(url), None, Some(sha256)) => {
            if !url.value.starts_with("http") {
                let message =
                    format!("found `{}`, expected an address that nodes can download from", shown(&url.value));
                let help = "nodes download over `http://` and `https://`";
                problems.push(Diagnostic::error("config::wrong-value", message, url.span, "not accepted").help(help));
            }
            Some(VolumeSource::Url { url: url.value, sha256: sha256.value })
        }
        (None, Some(path), Some(sha256)) => Some(VolumeSource::File { path, sha256: sha256.value }),
        (Some(_), Some(file), _) => {
            let message = "`url` and `file` both say where the volume comes from";
            problems.push(wrong(file.span, message, "one too many"));
            None
        }
        (Some(alone), None, None) => {
            problems.push(lonely(alone.span, "`url` and `sha256` stand together"));
            None
        }
        (None, Some(alone), None) => {
            problems.push(lonely(alone.span, "`file` and `sha256` stand together"));
            None
        }
        (None, None, Some(alone)) => {
            problems.push(lonely(alone.span, "`sha256` stands together with `url` or `file`"));
            None
        }
    }
}
