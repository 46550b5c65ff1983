//! Guests as Firecracker microVMs. One process for each: it listens on its API socket, is configured over it, and is told to
//! start.
//!
//! What differs from QEMU:
//! - it knows raw disks and taps only: the root disk is a sparse copy of the image, and there is no user-mode network;
//! - a guest that reboots ends its VMM, as one that powers off does;
//! - it leaves its socket behind when it is ended by a signal, and refuses to start over one that is there;
//! - without `"cache_type": "Writeback"` it does not tell the guest that there is anything to flush, and a guest's `fsync`
//!   would promise what the host has not written.

mod api;
mod client;
mod jail;

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;

use super::console::Line;
use super::vmm::{Habits, Host, Launch, Memory, Pace, Vmm, Wish};
use crate::driver::GuestDir;
use crate::effect::{Detach, Detached, Environment, files, make_pipes, open_far_end};
use crate::exec::Failure;
use api::{
    Action, ActionType, BackendType, MemoryBackend, SnapshotCreateParams, SnapshotLoadParams, SnapshotType, State,
    VmState,
};
use client::Client;

pub(super) use api::requests;
pub use jail::Jails;
pub(in crate::driver) use jail::obstacle as jail_obstacle;

/// The program, unless the environment names another.
const PROGRAM: &str = "firecracker";

/// Environment variable that names the program.
pub(super) const OVERRIDE: &str = "REGATTA_FIRECRACKER";

/// The API listens milliseconds after the program was started; a busy host may take its time.
const API_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of its log that are shown when it does not start.
const LOG_LIMIT: u64 = 4096;

/// The program that runs guests.
pub(super) fn program() -> String {
    Environment::variable(OVERRIDE).unwrap_or_else(|| PROGRAM.into())
}

/// The VMM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Firecracker;

#[async_trait]
impl Vmm for Firecracker {
    async fn start(&self, launch: &Launch<'_>, host: Host<'_>) -> Result<(), Failure> {
        let Line::Pipes { output, input } = launch.line else {
            return Err(Failure::permanent("found a socket as Firecracker's serial line, expected two pipes"));
        };
        let log = launch.pid_file.with_file_name("vmm.log");
        let fail = |what: &str, cause: std::io::Error| Failure::permanent(format!("cannot {what}: {cause}"));
        let (stdin, stdout) = open_far_end(output, input).map_err(|cause| fail("open the console's pipes", cause))?;
        let streams = Detached {
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: Some(files::create(&log)?),
            ..Detached::default()
        };
        let configured = match &launch.vm.jailer {
            Some(user) => {
                let jails = host.jails.ok_or_else(|| Failure::permanent("jails are not made here"))?;
                jails.start(launch, user, (host.detach, streams)).await?;
                let disks = jail::jailed_disks(launch);
                self.configure(&Launch { disks: &disks, ..jail::seen(launch) }).await
            }
            None => {
                detach(launch, host.detach, streams)?;
                self.configure(launch).await
            }
        };
        configured.map_err(|why| {
            let said = files::read_tail(&log, LOG_LIMIT).unwrap_or_default();
            let said = super::console::last_lines(&said, 3).join("; ");
            let mut failure = Failure::permanent(why).context("Firecracker cannot start the guest");
            failure.causes.extend((!said.is_empty()).then(|| format!("it said: {said}")));
            failure
        })
    }

    async fn save(&self, control: &Utf8Path, memory: &Memory) -> Result<(), String> {
        let client = Client::new(control);
        if client.pace().await? == Pace::Running {
            client.patch("/vm", &VmState { state: State::Paused }).await?;
        }
        let params = SnapshotCreateParams {
            snapshot_type: SnapshotType::Full,
            snapshot_path: memory.devices.as_str(),
            mem_file_path: memory.file.as_str(),
        };
        client.put_within("/snapshot/create", &params, memory.deadline).await?;
        // What is only in the page cache is not kept.
        [&memory.devices, &memory.file]
            .into_iter()
            .try_for_each(|file| files::sync(file))
            .map_err(|error| error.to_string())
    }

    async fn ask(&self, control: &Utf8Path, wish: Wish) -> Result<(), String> {
        let client = Client::new(control);
        match wish {
            // Linux takes this for Ctrl-Alt-Del, shuts down and resets the machine: here that is its end.
            Wish::PowerButton => client.put("/actions", &Action { action_type: ActionType::SendCtrlAltDel }).await,
            Wish::Quit => Err("Firecracker has no request to end: it takes a signal".into()),
            Wish::Pause => client.patch("/vm", &VmState { state: State::Paused }).await,
            Wish::Resume => match client.pace().await? {
                Pace::Running => Ok(()),
                Pace::Paused => client.patch("/vm", &VmState { state: State::Resumed }).await,
            },
        }
    }

    async fn pace(&self, control: &Utf8Path) -> Result<Pace, String> {
        Client::new(control).pace().await
    }

    fn line(&self, dir: &GuestDir) -> Result<Line, String> {
        let line = Line::Pipes { output: dir.root().join("tty.out"), input: dir.root().join("tty.in") };
        if let Line::Pipes { output, input } = &line {
            make_pipes([output, input]).map_err(|cause| format!("cannot make the console's pipes: {cause}"))?;
        }
        Ok(line)
    }

    fn habits(&self) -> Habits {
        Habits { arguments: " reboot=k pci=off", down: "reboot" }
    }
}

/// Starts the program as whoever we are.
fn detach(launch: &Launch<'_>, door: &dyn Detach, streams: Detached) -> Result<(), Failure> {
    let program = program();
    let arguments =
        ["--fork", &program, "--id", &launch.uuid.to_string(), "--api-sock", launch.control_socket.as_str()];
    // Firecracker itself stays in the session it is started in.
    let arguments = arguments.map(str::to_owned).to_vec();
    let detached = Detached { program: Some("setsid".into()), arguments, ..streams };
    door.detach(detached).map_err(|cause| Failure::permanent(format!("cannot run `{program}`: {cause}")))
}

impl Firecracker {
    /// Everything that makes the guest run, in order.
    async fn configure(self, launch: &Launch<'_>) -> Result<(), String> {
        let client = Client::await_api(launch.control_socket, API_DEADLINE).await?;
        if let Some(memory) = launch.memory {
            let mem_backend = MemoryBackend { backend_type: BackendType::File, backend_path: memory.file.as_str() };
            let snapshot_path = memory.devices.as_str();
            let params = SnapshotLoadParams { snapshot_path, mem_backend, resume_vm: false, clock_realtime: true };
            return client.put_within("/snapshot/load", &params, memory.deadline).await;
        }
        for request in requests(launch)? {
            client.put_json(&request.path, request.body).await?;
        }
        client.put("/actions", &Action { action_type: ActionType::InstanceStart }).await
    }
}
