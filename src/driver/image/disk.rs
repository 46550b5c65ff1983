//! Images that are disks already: an ext4 file, and the root partition of a cloud image.

use std::fs::{self, File};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::file_system::DISK_DEADLINE;
use super::partitions::{self, Found};
use crate::driver::ext4;
use crate::driver::store::{Staging, storage_failure};
use crate::effect::{Command, CommandError, Run, Status, copy_sparse};
use crate::exec::{Failure, Progress};
use crate::resource::ImageSpec;

/// An image being made of a disk.
pub(super) struct Disk<'a> {
    pub(super) run: &'a dyn Run,
    pub(super) staging: &'a Staging,
    pub(super) spec: &'a ImageSpec,
    pub(super) progress: &'a dyn Progress,
}

/// What `qemu-img info` says of a disk.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    backing_filename: Option<String>,
    full_backing_filename: Option<String>,
    format_specific: Option<serde_json::Value>,
}

impl Disk<'_> {
    /// Takes an ext4 file system as it is, at the size of the image.
    pub(super) async fn ext4(&self, file: &Utf8Path) -> Result<(), Failure> {
        let (from, image) = (file.to_owned(), self.image());
        let fail = |cause: io::Error| storage_failure(&format!("cannot copy `{file}`"), &cause);
        let copied = tokio::task::spawn_blocking(move || copy_sparse(&from, &image)).await;
        copied.map_err(io::Error::other).and_then(|copied| copied).map_err(fail)?;
        self.resize().await
    }

    /// Takes the root partition of a disk. Returns what was put right in it.
    pub(super) async fn cloud_image(&self, file: &Utf8Path) -> Result<Vec<String>, Failure> {
        let format = self.format(file).await?;
        self.progress.say("unpacking the disk");
        let raw = self.staging.temporary("disk.raw");
        let convert =
            Command::new("qemu-img").args(["convert", "-f", &format, "-O", "raw", file.as_str(), raw.as_str()]);
        self.run.run_ok(&self.staging.under_lock(convert).deadline(DISK_DEADLINE)).await?;
        let (image, name) = (self.image(), self.spec.name.clone());
        let taken = tokio::task::spawn_blocking(move || take_root(&raw, &image, &name)).await;
        taken.map_err(|error| Failure::permanent(format!("regatta's own error: {error}")))??;
        self.resize().await?;
        self.prepare().await
    }

    fn image(&self) -> Utf8PathBuf {
        self.staging.result("root.img")
    }

    /// qcow2 or raw. What a stranger's disk may name of other files is refused: they would be files of this host.
    async fn format(&self, file: &Utf8Path) -> Result<String, Failure> {
        let refused = |why: &str| Failure::permanent(format!("`{file}` {why}"));
        let info = Command::new("qemu-img").args(["info", "--output=json", file.as_str()]);
        let output = self.run.run_ok(&info).await?;
        let info: Info =
            serde_json::from_slice(&output.stdout).map_err(|_| refused("is no disk that qemu-img understands"))?;
        let data_file = info.format_specific.is_some_and(|specific| !specific["data"]["data-file"].is_null());
        if info.backing_filename.is_some() || info.full_backing_filename.is_some() || data_file {
            return Err(refused("names another file that it needs, expected a disk that is whole"));
        }
        match info.format.as_str() {
            "qcow2" | "raw" => Ok(info.format),
            _ => Err(refused("is neither qcow2 nor raw")),
        }
    }

    /// Checks the file system, and makes it as large as the image is declared to be.
    async fn resize(&self) -> Result<(), Failure> {
        let (image, size) = (self.image(), self.spec.size);
        let check = Command::new("e2fsck").args(["-f", "-p", image.as_str()]).deadline(DISK_DEADLINE);
        let output = self.run.run(&check).await?;
        // 1: errors were corrected (e2fsck(8)).
        if !matches!(output.status, Status::Code(0 | 1)) {
            return Err(CommandError::Failed { command: check.to_string(), output }.into());
        }
        let fail = |cause: io::Error| storage_failure(&format!("cannot write `{image}`"), &cause);
        let found = image.metadata().map_err(fail)?.len();
        if found > size.as_bytes() {
            let message =
                format!("the file system of image `{}` has {found} bytes, expected at most {size}", self.spec.name);
            return Err(Failure::permanent(message).hint("give the image a larger `size`"));
        }
        File::options().write(true).open(&image).and_then(|file| file.set_len(size.as_bytes())).map_err(fail)?;
        let grow = Command::new("resize2fs").arg(image.as_str()).deadline(DISK_DEADLINE);
        self.run.run_ok(&grow).await?;
        let check = Command::new("e2fsck").args(["-fn", image.as_str()]).deadline(DISK_DEADLINE);
        Ok(self.run.run_ok(&check).await.map(drop)?)
    }

    /// Puts right what fits no guest of ours: mounts of partitions that are left behind, and a cloud-init that waits for
    /// a cloud. The script is constant, and its files lie in its working directory.
    async fn prepare(&self) -> Result<Vec<String>, Failure> {
        let image = self.image();
        let fstab = ext4::look(&image, |files| Ok(files.read_to_string("/etc/fstab").unwrap_or_default()))?;
        let prepared = preparations(&fstab);
        self.progress.say(&format!("preparing: {}", prepared.join("; ")));
        let folder = self.staging.temporary("prepared");
        let fail = |cause: io::Error| storage_failure(&format!("cannot write `{folder}`"), &cause);
        fs::create_dir(&folder).map_err(fail)?;
        for (name, content) in
            [("fstab", without_partitions(&fstab)), ("empty", String::new()), ("script", SCRIPT.into())]
        {
            fs::write(folder.join(name), content).map_err(fail)?;
        }
        let write = Command::new("debugfs").args(["-w", "-f", "script", image.as_str()]).cwd(&folder);
        // debugfs succeeds whatever happens (LESSONS 3): what it wrote is read back, and checked.
        self.run.run_ok(&write.deadline(DISK_DEADLINE)).await?;
        let written = ext4::look(&image, |files| Ok(files.read_to_string("/etc/fstab").unwrap_or_default()))?;
        if written != without_partitions(&fstab) {
            return Err(Failure::permanent(format!(
                "cannot prepare image `{}`: /etc/fstab was not written",
                self.spec.name
            )));
        }
        let check = Command::new("e2fsck").args(["-fn", image.as_str()]).deadline(DISK_DEADLINE);
        self.run.run_ok(&check).await?;
        Ok(prepared)
    }
}

/// What is put right, for people.
fn preparations(fstab: &str) -> Vec<String> {
    let left_behind = fstab.lines().filter(|line| is_from_disk(line));
    let places = left_behind.filter_map(|line| line.split_whitespace().nth(1));
    let mounts = places.map(|place| format!("/etc/fstab no longer mounts {place}"));
    mounts.chain(["cloud-init is off (/etc/cloud/cloud-init.disabled)".to_owned()]).collect()
}

/// The modes are whole, with the type (LESSONS 1).
const SCRIPT: &str = "rm /etc/fstab\nwrite fstab /etc/fstab\nsif /etc/fstab mode 0100644\n\
    mkdir /etc/cloud\nwrite empty /etc/cloud/cloud-init.disabled\nsif /etc/cloud/cloud-init.disabled mode 0100644\n";

/// An fstab without what is mounted from disks: our initramfs mounts the root, and there is no other partition.
fn without_partitions(fstab: &str) -> String {
    let kept = fstab.lines().filter(|line| !is_from_disk(line)).map(|line| format!("{line}\n"));
    kept.collect()
}

fn is_from_disk(line: &str) -> bool {
    let device = line.split_whitespace().next().unwrap_or_default();
    ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/"].iter().any(|prefix| device.starts_with(prefix))
}

/// Copies the root partition, holes as holes.
fn take_root(raw: &Utf8Path, image: &Utf8Path, name: &str) -> Result<(), Failure> {
    let fail = |cause: io::Error| storage_failure(&format!("cannot read the disk of image `{name}`"), &cause);
    let disk = File::open(raw).map_err(fail)?;
    match partitions::root(&disk).map_err(fail)? {
        Found::Whole => fs::rename(raw, image).map_err(fail),
        Found::Part { offset, length } => {
            partitions::copy(&disk, offset, length, image).map_err(fail)?;
            fs::remove_file(raw).map_err(fail)
        }
        Found::None(why) => Err(Failure::permanent(format!("cannot find the root of image `{name}`: {why}"))
            .hint("regatta takes an ext4 file system, alone or as the root partition of a disk")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_partitions_go_and_others_stay() {
        let fstab = "# comment\nPARTUUID=1-2 / ext4 rw 0 1\nUUID=AB /boot/efi vfat umask=0077 0 1\ntmpfs /tmp tmpfs defaults 0 0\n";
        assert_eq!(without_partitions(fstab), "# comment\ntmpfs /tmp tmpfs defaults 0 0\n");
        assert_eq!(without_partitions(""), "");
        let expected = [
            "/etc/fstab no longer mounts /",
            "/etc/fstab no longer mounts /boot/efi",
            "cloud-init is off (/etc/cloud/cloud-init.disabled)",
        ];
        assert_eq!(preparations(fstab), expected);
    }
}
