//! Storages: what is on them, and what a node downloads to them.

use regatta::driver::proxmox::exchange::Call;
use regatta::resource::Digest;
use serde_json::{Value, json};

use super::tasks::Then;
use super::{Refusal, World, parameter, refused, wrong_parameter};

impl World {
    /// Whether a node has a volume; where nobody said which there are, all are there.
    pub(super) fn has_volume(&self, node: &str, volume: &str) -> bool {
        self.volumes.as_ref().is_none_or(|all| all.contains(&(node.to_owned(), volume.to_owned())))
    }

    pub(super) fn content(&self, node: &str, storage: &str, call: &Call) -> Result<Value, Refusal> {
        let kind = parameter(call, "content").unwrap_or_default();
        let begin = format!("{storage}:{kind}/");
        let all = self.volumes.iter().flatten().filter(|(at, volume)| at == node && volume.starts_with(&begin));
        Ok(all
            .map(|(_, volume)| json!({"volid": volume, "content": kind, "format": "tzst", "size": 1, "ctime": 1}))
            .collect())
    }

    pub(super) fn download(&mut self, node: &str, storage: &str, call: &Call) -> Result<Value, Refusal> {
        if !self.has(&format!("/storage/{storage}"), "Datastore.AllocateTemplate") {
            return refused(403, format!("Permission check failed (/storage/{storage}, Datastore.AllocateTemplate)"));
        }
        let is = |key| parameter(call, key).unwrap_or_default().to_owned();
        let (content, file, url) = (is("content"), is("filename"), is("url"));
        let volume = format!("{storage}:{content}/{file}");
        if self.volumes.is_some() && self.has_volume(node, &volume) {
            return refused(500, "refusing to override existing file");
        }
        let name = self.begin_on(node, "download", &file, Then::Have(node.to_owned(), volume));
        if url.contains("none") {
            self.end_without(&name, &format!("download failed: command '/usr/bin/wget … {url}' failed: exit code 4"));
        } else if url.contains("other") {
            self.end_without(&name, "checksum mismatch: got '00' != expect '11'");
        }
        Ok(name)
    }

    pub(super) fn take_upload(&mut self, node: &str, storage: &str, call: &Call) -> Result<Value, Refusal> {
        if !self.has(&format!("/storage/{storage}"), "Datastore.AllocateTemplate") {
            return refused(403, format!("Permission check failed (/storage/{storage}, Datastore.AllocateTemplate)"));
        }
        let is = |key| parameter(call, key).unwrap_or_default().to_owned();
        let (content, file, expected) = (is("content"), is("filename"), is("checksum"));
        let known = match content.as_str() {
            "vztmpl" => [".tar.gz", ".tar.xz", ".tar.zst"].as_slice(),
            _ => &[".qcow2", ".raw", ".img", ".iso", ".vmdk", ".ova"],
        };
        if !known.iter().any(|ending| file.ends_with(ending)) {
            return wrong_parameter("filename", "wrong file extension");
        }
        let volume = format!("{storage}:{content}/{file}");
        let name = self.begin_on(node, "imgcopy", "", Then::Have(node.to_owned(), volume));
        let digest = Digest::of(&self.uploaded);
        if digest.as_str() != expected {
            self.end_without(&name, &format!("checksum mismatch: got '{}' != expect '{expected}'", digest.as_str()));
        }
        Ok(name)
    }
}
