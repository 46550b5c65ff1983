//! A Firecracker in the jail that its `jailer` makes.
//!
//! ```text
//! /srv/jailer/firecracker/UUID/root/      the root directory of the VMM, and all that it sees
//!     vmlinux initrd.img                  copies: what is shared is not put into anybody's reach
//!     root.img work.img disks/            the guest's disks under further names, given to the user of the jail
//!     firecracker dev/ run/api.sock       made by the jailer, which runs as root and becomes that user
//! vms/GUEST/qmp.sock ─▶ …/run/api.sock    so that nobody else has to know where jails are
//! ```
//! A jail is made anew for every start, before anything runs in it: its last user could write there, and root follows nothing
//! that was left (LESSON 33). The processes that outlive us are the same as without a jail.

use camino::{Utf8Path, Utf8PathBuf};
use uuid::Uuid;

use crate::driver::microvm::vmm::{Attached, Launch};
use crate::driver::privilege::{self, JAILED_SOCKET, JAILS, Privileged, Program};
use crate::driver::store::storage_failure;
use crate::effect::process::{self, Account};
use crate::effect::{Detach, Detached, copy_sparse, files, paths};
use crate::exec::Failure;
use crate::resource::Obstacle;

/// Where jails are, and who has them made.
pub struct Jails {
    base: Utf8PathBuf,
    privileged: Privileged,
}

impl Jails {
    /// Jails where the jailer makes them, started by a runner that writes down what it runs.
    pub fn new(privileged: Privileged) -> Self {
        Self { base: JAILS.into(), privileged }
    }

    /// The jail of a guest: below the name of the program, as the jailer resolves it.
    fn jail(&self, guest: Uuid) -> Jail {
        let program = Utf8PathBuf::from(privilege::jailed_program());
        let resolved = paths::canonical(&program).unwrap_or(program);
        let name = resolved.file_name().unwrap_or("firecracker");
        Jail { folder: self.base.join(name).join(guest.to_string()) }
    }

    /// Makes the jail of a guest and starts the jailer in it.
    pub(super) async fn start(
        &self,
        launch: &Launch<'_>,
        user: &str,
        door: (&dyn Detach, Detached),
    ) -> Result<(), Failure> {
        let account = account(user)?;
        let jail = self.jail(launch.uuid);
        self.remove(launch.uuid)?;
        files::private_dir(&jail.folder)?;
        files::expect_root_owned(&jail.folder)?;
        jail.fill(launch, &account).await?;
        paths::remove_if_there(launch.control_socket)?;
        paths::point(launch.control_socket, &jail.socket())?;
        let command = privilege::start_jailed(launch.uuid, &account)?;
        let (detach, streams) = door;
        self.privileged.detach(&command, detach, streams)
    }

    /// Removes the jails of a guest that does not run, whatever the program was called that was in them.
    pub(in crate::driver::microvm) fn remove(&self, guest: Uuid) -> Result<(), Failure> {
        for program in paths::names_in(&self.base)? {
            paths::remove_tree(&self.base.join(program).join(guest.to_string()))?;
        }
        Ok(())
    }
}

/// The jail of one guest.
struct Jail {
    folder: Utf8PathBuf,
}

impl Jail {
    fn root(&self) -> Utf8PathBuf {
        self.folder.join("root")
    }

    /// Where its Firecracker listens, as we see it.
    fn socket(&self) -> Utf8PathBuf {
        self.folder.join(format!("root{JAILED_SOCKET}"))
    }

    /// Puts everything in that the VMM opens.
    async fn fill(&self, launch: &Launch<'_>, account: &Account) -> Result<(), Failure> {
        let root = self.root();
        files::private_dir(&root)?;
        let inside = seen(launch);
        for (shared, name) in [(launch.kernel, inside.kernel), (launch.initrd, inside.initrd)] {
            give_copy(shared, &below(&root, name), account).await?;
        }
        for (disk, name) in [(launch.root_disk, inside.root_disk), (launch.work_disk, inside.work_disk)] {
            give_link(disk, &below(&root, name), account)?;
        }
        for (disk, name) in launch.disks.iter().zip(jailed_disks(launch)) {
            let place = below(&root, &name.path);
            match disk.writable {
                true => give_link(&disk.path, &place, account)?,
                false => give_copy(&disk.path, &place, account).await?,
            }
        }
        Ok(())
    }
}

/// A guest's files as its jailed VMM sees them.
pub(super) fn seen<'a>(launch: &Launch<'a>) -> Launch<'a> {
    Launch {
        kernel: "/vmlinux".into(),
        initrd: "/initrd.img".into(),
        root_disk: "/root.img".into(),
        work_disk: "/work.img".into(),
        ..launch.clone()
    }
}

/// Its further disks, likewise. Their names are labels.
pub(super) fn jailed_disks(launch: &Launch<'_>) -> Vec<Attached> {
    let place = |disk: &Attached| Attached { path: format!("/disk-{}.img", disk.name).into(), ..disk.clone() };
    launch.disks.iter().map(place).collect()
}

/// What keeps root, or who is not root, from running guests in jails of this user.
pub(in crate::driver) fn obstacle(user: &str, state: &Utf8Path) -> Option<Obstacle> {
    let found = |message: String, help: &str| Some(Obstacle { message, help: help.into() });
    if process::user_id() != 0 {
        return found(
            "the jailer is run by root only: no rule of sudo's would be safe".into(),
            "apply the fleet as root, or remove `jailer`",
        );
    }
    for program in [Program::Jailer.path(), privilege::jailed_program()] {
        if !paths::exists(Utf8Path::new(&program)).unwrap_or(false) {
            return found(
                format!("the program `{program}` is not installed"),
                "put `jailer` and `firecracker` of one release of Firecracker into /usr/local/bin, or remove `jailer`",
            );
        }
    }
    if let Err(failure) = account(user) {
        let help = format!("`useradd --system --no-create-home --shell /usr/sbin/nologin {user}`");
        return found(failure.causes.join(": "), &help);
    }
    if paths::file_system(state) != paths::file_system(JAILS.into()) {
        return found(
            format!("`{state}` and `{JAILS}` are on two file systems: disks cannot be in both"),
            "pass a --state-dir on the file system of /srv, or remove `jailer`",
        );
    }
    None
}

/// The user of a jail, who must not be root.
fn account(user: &str) -> Result<Account, Failure> {
    match process::account(Some(user)) {
        Ok(account) if account.id == 0 || account.group == 0 => {
            Err(Failure::permanent(format!("found root's number or group for the user `{user}`, expected others")))
        }
        Ok(account) => Ok(account),
        Err(why) => Err(Failure::permanent(why)),
    }
}

/// An absolute path in the jail, from outside.
fn below(root: &Utf8Path, inside: &Utf8Path) -> Utf8PathBuf {
    root.join(inside.as_str().trim_start_matches('/'))
}

/// The file itself, under one more name, given to the user of the jail.
fn give_link(file: &Utf8Path, place: &Utf8Path, account: &Account) -> Result<(), Failure> {
    paths::link(file, place)?;
    Ok(paths::give(place, account.id, account.group)?)
}

/// A copy, because others use the file.
async fn give_copy(file: &Utf8Path, place: &Utf8Path, account: &Account) -> Result<(), Failure> {
    let (from, to) = (file.to_owned(), place.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        copy_sparse(&from, &to).map_err(|cause| storage_failure(&format!("cannot copy `{from}` to `{to}`"), &cause))
    });
    copied.await.map_err(|error| Failure::unknown(format!("copying into a jail failed: {error}")))??;
    Ok(paths::give(place, account.id, account.group)?)
}
