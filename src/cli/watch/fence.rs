//! What a repository may not name of the host: programs, variables, and files outside of itself. A fleet file of the user's own may
//! name all of that; one that was fetched must not reach what the user did not put into it.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::config::{
    AuthorizedKey, Cluster, ClusterGuest, ClusterOrigin, ClusterTrust, File, FileContent, FileSync, Fleet, ImageSource,
    NodeRoad, Secret, SecretSource, TokenSource, VolumeSource,
};
use crate::syntax::{SourceId, SourceMap, Spanned};

/// The checkout, and what else the host's policy lets a repository name.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Fence {
    /// The checkout: canonical.
    pub root: Utf8PathBuf,
    /// Directories beside it.
    pub paths: Vec<Utf8PathBuf>,
    /// Whether programs and variables may be named.
    pub commands: bool,
}

impl Fence {
    /// Whether a path is inside, by its name: a checkout has no links, and `..` is followed as it is written.
    pub(in crate::cli) fn holds(&self, path: &Utf8Path) -> bool {
        let mut plain = Utf8PathBuf::new();
        for part in path.components() {
            match part {
                Utf8Component::ParentDir => drop(plain.pop()),
                Utf8Component::CurDir => {}
                part => plain.push(part),
            }
        }
        plain.starts_with(&self.root) || self.paths.iter().any(|allowed| plain.starts_with(allowed))
    }

    /// Everything that a fleet names and must not; one line each.
    pub(in crate::cli) fn crossings(&self, fleet: &Fleet, sources: &SourceMap) -> Vec<String> {
        let mut found = Found { fence: self, sources, lines: Vec::new() };
        for (name, image) in &fleet.images {
            match &image.source {
                ImageSource::Oci { .. } => {}
                // What runs while an image is built runs on this host, and as root where regatta does.
                ImageSource::Debootstrap { commands, .. } if commands.is_empty() => {}
                ImageSource::Debootstrap { .. } => found.command(&format!("image.{name}"), "runs a program"),
                ImageSource::File { location, .. }
                    if location.value.contains("://") && !location.value.starts_with("file:") => {}
                ImageSource::File { location, .. } => {
                    let path = location.value.strip_prefix("file://").unwrap_or(&location.value);
                    found.path(&format!("image.{name}"), path, location.span.source);
                }
                ImageSource::Directory { path } => found.path(&format!("image.{name}"), &path.value, path.span.source),
            }
        }
        fleet.clusters.values().for_each(|cluster| found.cluster(cluster));
        for vm in fleet.vms.values() {
            found.files(&format!("vm.{}", vm.name), &vm.authorized_keys, &vm.file_syncs, &vm.files);
        }
        let containers = fleet.containers.values().map(|container| &container.guest);
        containers.for_each(|guest| found.inside(&format!("container.{}", guest.name), guest));
        fleet.cluster_vms.values().for_each(|vm| found.inside(&format!("vm.{}", vm.guest.name), &vm.guest));
        found.lines
    }
}

struct Found<'a> {
    fence: &'a Fence,
    sources: &'a SourceMap,
    lines: Vec<String>,
}

impl Found<'_> {
    /// What a guest of a cluster is made from, what goes into it, and the key that logs in to it.
    fn inside(&mut self, address: &str, guest: &ClusterGuest) {
        if let ClusterOrigin::Template { source, .. } | ClusterOrigin::DiskImage { source, .. } = &guest.origin
            && let Some(VolumeSource::File { path, .. }) = source
        {
            self.path(address, &path.value, path.span.source);
        }
        let inside = &guest.inside;
        self.files(address, &inside.authorized_keys, &inside.file_syncs, &inside.files);
        if let Some((ssh, identity)) = inside.ssh.as_ref().and_then(|ssh| Some((ssh, ssh.value.identity.as_ref()?))) {
            self.path(address, identity, ssh.span.source);
        }
    }

    fn files(
        &mut self,
        address: &str,
        keys: &[Spanned<AuthorizedKey>],
        syncs: &[Spanned<FileSync>],
        files: &[Spanned<File>],
    ) {
        for key in keys {
            self.key(address, &key.value, key.span.source);
        }
        for sync in syncs {
            self.path(address, &sync.value.from, sync.value.declared_in);
        }
        for file in files {
            match &file.value.content {
                FileContent::Text(_) => {}
                FileContent::Secret(secret) => self.secret(address, secret),
            }
        }
    }

    fn key(&mut self, address: &str, key: &AuthorizedKey, source: SourceId) {
        match key {
            AuthorizedKey::Inline(_) => {}
            AuthorizedKey::File(path) => self.path(address, path, source),
        }
    }

    fn secret(&mut self, address: &str, Secret { source, declared_in }: &Secret) {
        match source {
            SecretSource::File(path) => self.path(address, path, *declared_in),
            SecretSource::Variable(_) => self.command(address, "reads a variable of this host"),
            SecretSource::Command { .. } => self.command(address, "runs a program"),
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let address = format!("cluster.{}", cluster.name);
        match &cluster.token.value {
            TokenSource::File { path } => self.path(&address, path, cluster.declared_in),
            TokenSource::Variable { .. } => self.command(&address, "reads a variable of this host"),
            TokenSource::Command { .. } => self.command(&address, "runs a program"),
        }
        if let ClusterTrust::Authority { file } = &cluster.trust {
            self.path(&address, file, cluster.declared_in);
        }
        for node in &cluster.fence {
            match &node.road {
                NodeRoad::Local => self.command(&address, "asks root of this host for something"),
                NodeRoad::Ssh { identity: Some(path), .. } => self.path(&address, path, node.name.span.source),
                NodeRoad::Ssh { identity: None, .. } => {}
            }
        }
    }

    fn command(&mut self, address: &str, what: &str) {
        if !self.fence.commands {
            self.lines.push(format!("{address} {what}"));
        }
    }

    fn path(&mut self, address: &str, written: &str, source: SourceId) {
        // Under the agent, the home is the checkout.
        let path = match written.strip_prefix('~') {
            Some(below) => self.fence.root.join(below.trim_start_matches('/')),
            None => {
                let file = self.fence.root.join(&self.sources.file(source).path);
                file.parent().unwrap_or(&self.fence.root).join(written)
            }
        };
        if !self.fence.holds(&path) {
            self.lines.push(format!("{address} names `{}`, outside of the repository", crate::syntax::shown(written)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_inside_by_what_it_means() {
        let fence = Fence { root: "/srv/tree".into(), paths: vec!["/srv/dotfiles".into()], commands: false };
        for inside in ["/srv/tree/a", "/srv/tree/a/../b", "/srv/tree/./a", "/srv/dotfiles/x"] {
            assert!(fence.holds(inside.into()), "{inside}");
        }
        for outside in ["/srv/tree/../x", "/srv/treehouse", "/etc/shadow", "/srv/tree/a/../../../etc/shadow", "/"] {
            assert!(!fence.holds(outside.into()), "{outside}");
        }
    }
}
