//! Giving a guest another name. Its directory is renamed first, its record is written last: in between, the record's
//! name differs from the directory's, and doing all of it again finishes it.

use std::time::Duration;

use super::guests::Guests;
use super::identity;
use crate::driver::files::Request;
use crate::effect::paths;
use crate::exec::{Failure, Progress};
use crate::resource::{Record, RunState};

/// How long a running guest may take to let us in.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);

/// Sets the host name of a running guest, as its initramfs would at the next boot.
const SET_NAME: &str = r#"hostname -- "$1" && printf "%s\n" "$1" > /etc/hostname &&
    sed -i "s/^127\.0\.1\.1 .* # regatta$/127.0.1.1 $1 # regatta/" /etc/hosts"#;

impl Guests {
    /// Renames a guest; one that runs keeps running. Does what is left of it when some of it was done.
    pub(in crate::driver) async fn rename(&self, from: &str, to: &str, progress: &dyn Progress) -> Result<(), Failure> {
        let (old, new) = (self.dir(from), self.dir(to));
        if !paths::exists(new.root())? {
            paths::rename(old.root(), new.root())?;
        }
        let mut record = self.record(to)?;
        if record.formerly.is_none() {
            if paths::exists(old.root())? {
                let message = format!("found both guests `{from}` and `{to}`, expected only one of them");
                return Err(Failure::permanent(message));
            }
            return Ok(());
        }
        if record.applied.disks.is_some() {
            self.rename_inside(&record, progress).await?;
        }
        let specs = [&mut record.applied.disks, &mut record.applied.started];
        specs.into_iter().flatten().for_each(|vm| vm.name = to.into());
        record.formerly = None;
        self.write_record(&record)
    }

    /// What carries the name on the work disk; and the running system.
    async fn rename_inside(&self, record: &Record, progress: &dyn Progress) -> Result<(), Failure> {
        let seeds = [identity::host_name(&record.name)?];
        let request = Request { seeds: &seeds, renamed: Some(&record.name), ..Request::default() };
        self.write_files(&record.name, &request, progress).await?;
        if !matches!(self.run_state(record), RunState::Running(_)) {
            return Ok(());
        }
        let shell = self.connect.connect(&self.ssh_target(record), LOGIN_DEADLINE).await?;
        let set = shell.exec(&["sh", "-c", SET_NAME, "sh", &record.name], &[], LOGIN_DEADLINE).await?;
        if set.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&set.stderr);
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        Err(Failure::permanent(format!("cannot set the host name of `{}`: {said}", record.name)))
    }
}
