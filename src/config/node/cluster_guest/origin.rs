//! What a guest on a cluster is made from: exactly one of the nodes that say so.

use super::{Reading, container_rules, rules, truth, vm_rules};
use crate::config::block::Block;
use crate::config::problems::Problems;
use crate::config::{ClusterOrigin, Download};
use crate::syntax::{Diagnostic, Spanned, shown};

impl Reading<'_> {
    /// The origin of a container.
    pub(super) fn origin_of_container(&mut self) -> Option<ClusterOrigin> {
        let template = self.volume(&container_rules::TEMPLATE);
        let template = template.map(|(volume, download)| ClusterOrigin::Template { volume, download });
        self.origin("container", "`template`, `clone`, `restore` and `existing`", template)
    }

    /// The origin of a virtual machine.
    pub(super) fn origin_of_vm(&mut self) -> Option<ClusterOrigin> {
        let image = self.volume(&vm_rules::DISK_IMAGE);
        let image = image.map(|(volume, download)| ClusterOrigin::DiskImage { volume, download });
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
    ) -> Option<(Spanned<String>, Option<Download>)> {
        let node = self.block.children(rule.name).next()?;
        let block = Block::read(node, rule, self.problems);
        let download = download(&block, self.problems);
        Some((block.text("volume")?, download))
    }
}

/// Both properties or none.
fn download(block: &Block<'_>, problems: &mut Problems) -> Option<Download> {
    match (block.text("url"), block.text("sha256")) {
        (Some(url), Some(sha256)) => {
            if !url.value.starts_with("http") {
                let message =
                    format!("found `{}`, expected an address that nodes can download from", shown(&url.value));
                let help = "nodes download over `http://` and `https://`";
                problems.push(Diagnostic::error("config::wrong-value", message, url.span, "not accepted").help(help));
            }
            Some(Download { url: url.value, sha256: sha256.value })
        }
        (None, None) => None,
        (Some(lonely), None) | (None, Some(lonely)) => {
            let message = "`url` and `sha256` stand together";
            problems.push(Diagnostic::error("config::contradiction", message, lonely.span, "one without the other"));
            None
        }
    }
}
