//! The life of a guest in a jail, on the fake of Firecracker and with a stand-in for `jailer`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Action, Life, has_tools, inode};

/// What is done with a guest in a jail.
const JAILED: [Action; 13] = [
    Action::Start,
    Action::StartAgain,
    Action::JoinConsole,
    Action::Pause,
    Action::Resume,
    Action::Stop,
    Action::Start,
    Action::KillVmm,
    Action::PlantLinkInJail,
    Action::ReplaceRoot,
    Action::Start,
    Action::Stop,
    Action::Destroy,
];

/// Who may do nothing on any machine.
const NOBODY: &str = "nobody";

/// The stand-in for `jailer` makes the directory of its socket and locks nobody in; what is around it is ours.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run as root: makes jails below /srv/jailer, and removes them"]
async fn a_jailed_guest_lives_on_the_fake() {
    if !has_tools() {
        return;
    }
    assert_eq!(std::fs::metadata("/proc/self").unwrap().uid(), 0, "only root has jails made");
    let mut life = Life::new(Some(NOBODY)).await;
    let folder = life.jail();
    life.go(&JAILED).await;
    assert!(!folder.exists(), "the jail goes with its guest");
    let audit = std::fs::read_to_string(life.dir.path().join("audit.jsonl")).unwrap();
    assert_eq!(audit.matches("start-jailed").count(), 3, "every start as root is written down: {audit}");
}

impl Life {
    /// As somebody could who came out of the guest and not out of the jail.
    pub(super) fn plant_links(&self) {
        let (victim, root) = (self.dir.path().join("victim"), self.jail().join("root"));
        std::fs::write(&victim, "untouched").unwrap();
        for name in ["firecracker", "planted"] {
            std::os::unix::fs::symlink(&victim, root.join(name)).unwrap();
        }
    }

    /// Where its jail is while it runs.
    fn jail(&self) -> PathBuf {
        Path::new("/srv/jailer/firecracker").join(self.uuid().unwrap())
    }

    /// A jail has the guest's own disks, for the jail's user alone, and nothing of an earlier one.
    pub(super) fn jail_is_right(&self, after: &str) {
        let root = self.jail().join("root");
        let work_disk = root.join("work.img").metadata().unwrap();
        assert_eq!(Some(work_disk.ino()), self.work_disk, "after {after}");
        assert_ne!(work_disk.uid(), 0, "after {after}");
        assert_ne!(inode(&root.join("root.img")), work_disk.ino(), "after {after}");
        assert!(root.join("planted").symlink_metadata().is_err(), "LESSON 33, after {after}");
        let victim = std::fs::read_to_string(self.dir.path().join("victim")).unwrap_or_else(|_| "untouched".into());
        assert_eq!(victim, "untouched", "LESSON 33, after {after}");
    }
}
