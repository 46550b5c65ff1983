//! The stage of a rehearsal: effects that write down what they are asked for, and pretend that it was done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::AsyncReadExt as _;

use crate::driver::microvm::KEEP_CONSOLE;
use crate::effect::{
    Command, CommandError, CommandRunner, Connect, ConnectError, Detach, Detached, Liveness, MarkedProcess, Output,
    ProcessError, ProcessId, Processes, Run, Shell, Signal, SshTarget, Status, Streams, listen_unix,
};
use crate::exec::Asked;

/// Programs that work on files alone. They are run: on the stage, every file is a copy or empty.
const FILE_TOOLS: [&str; 6] = ["mke2fs", "mkfs.ext4", "debugfs", "e2fsck", "e2undo", "resize2fs"];

/// What begins the first argument of every VMM.
const VMM: &str = "qemu-system-";

/// What the stage knows.
#[derive(Debug, Default)]
struct Scene {
    /// The guest that the current step is about.
    guest: String,
    asked: Vec<Asked>,
    /// By guest: its uuid and the process of its VMM.
    running: BTreeMap<String, (String, ProcessId)>,
    /// By guest: where the keeper of its console would listen.
    consoles: BTreeMap<String, tokio::net::UnixListener>,
}

/// Effects without effect.
#[derive(Debug, Default)]
pub(super) struct Stage(Mutex<Scene>);

impl Stage {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        // Every change to a scene is one assignment: a panic leaves none half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a step.
    pub(super) fn begin(&self, guest: &str) {
        guest.clone_into(&mut self.scene().guest);
    }

    /// A guest runs from the start.
    pub(super) fn runs(&self, guest: &str, uuid: String, process: ProcessId) {
        self.scene().running.insert(guest.to_owned(), (uuid, process));
    }

    /// A guest has another name.
    pub(super) fn renamed(&self, from: &str, to: &str) {
        let mut scene = self.scene();
        if let Some(process) = scene.running.remove(from) {
            scene.running.insert(to.to_owned(), process);
        }
    }

    /// What was asked for since this was asked last.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.scene().asked)
    }

    fn note(&self, command: &Command, guest: Option<String>) {
        let program = std::iter::once(command.program());
        let argv = program.chain(command.arguments().iter().map(String::as_str)).map(str::to_owned).collect();
        // Where temporary files go is drawn by lot.
        let own = command.environment().iter().filter(|(name, _)| name != "TMPDIR");
        let own: String = own.map(|(name, value)| format!("{name}={value} ")).collect();
        self.scene().asked.push(Asked { argv, line: format!("{own}{command}"), guest });
    }

    /// What a program leaves that others look for.
    fn pretend(&self, command: &Command) -> std::io::Result<()> {
        let last = command.arguments().last();
        match command.program() {
            "qemu-img" => last.map_or(Ok(()), |disk| std::fs::write(disk, "")),
            "mmdebstrap" => {
                let target = command.arguments().iter().skip_while(|arg| *arg != "--").nth(2);
                target.map_or(Ok(()), |tar| std::fs::write(tar, ""))
            }
            vmm if vmm.starts_with(VMM) => {
                let uuid = command.arguments().iter().skip_while(|arg| *arg != "-uuid").nth(1);
                if let Some(uuid) = uuid {
                    let mut scene = self.scene();
                    let process = ProcessId { pid: i32::MAX, start_time: 0, boot_id: uuid.clone() };
                    let guest = scene.guest.clone();
                    scene.running.insert(guest, (uuid.clone(), process));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn nothing() -> Output {
    Output { status: Status::Code(0), stdout: Vec::new(), stderr: Vec::new() }
}

#[async_trait]
impl Run for Stage {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.note(command, None);
        let asks_for_version = command.arguments() == ["--version"];
        let runs = FILE_TOOLS.contains(&command.program());
        if runs || asks_for_version {
            return CommandRunner.run(command).await;
        }
        let io = |cause| CommandError::Io { command: command.to_string(), cause };
        self.pretend(command).map_err(io)?;
        Ok(nothing())
    }
}

/// The way into guests that are not there.
pub(super) struct Door(pub(super) Arc<Stage>);

#[async_trait]
impl Connect for Door {
    async fn connect(&self, _: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        Ok(Box::new(Inside(Arc::clone(&self.0))))
    }
}

/// A guest in which every command succeeds and says nothing.
struct Inside(Arc<Stage>);

#[async_trait]
impl Shell for Inside {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, _: Duration) -> Result<Status, ConnectError> {
        let guest = self.0.scene().guest.clone();
        if let Some((program, arguments)) = argv.split_first() {
            self.0.note(&Command::new(*program).args(arguments.iter().copied()), Some(guest.clone()));
        }
        let mut sink = Vec::new();
        while streams.stdin.read_buf(&mut sink).await.unwrap_or(0) > 0 {
            sink.clear();
        }
        if argv.iter().any(|arg| arg.contains("poweroff")) {
            let mut scene = self.0.scene();
            scene.running.remove(&guest);
            scene.consoles.remove(&guest);
        }
        Ok(Status::Code(0))
    }
}

impl Detach for Stage {
    fn detach(&self, detached: Detached) -> std::io::Result<()> {
        let program = detached.program.map_or_else(|| "regatta".to_owned(), Utf8PathBuf::into_string);
        self.note(&Command::new(program).args(&detached.arguments), None);
        // `keep-console LISTEN …`: whoever starts it waits until it listens.
        if let [first, socket, ..] = detached.arguments.as_slice()
            && first == KEEP_CONSOLE
        {
            let listens = listen_unix(Utf8Path::new(socket))?;
            let mut scene = self.scene();
            let guest = scene.guest.clone();
            scene.consoles.insert(guest, listens);
        }
        Ok(())
    }
}

impl Processes for Stage {
    fn liveness(&self, id: &ProcessId) -> Liveness {
        let alive = self.scene().running.values().any(|(_, process)| process == id);
        if alive { Liveness::Alive } else { Liveness::Dead }
    }

    fn find(&self, marks: &[&str]) -> Result<BTreeMap<String, Vec<MarkedProcess>>, ProcessError> {
        let scene = self.scene();
        let marked = scene.running.values().filter(|(uuid, _)| marks.contains(&uuid.as_str()));
        let found = marked.map(|(uuid, process)| {
            let process = MarkedProcess { id: process.clone(), program: format!("{VMM}x86_64") };
            (uuid.clone(), vec![process])
        });
        Ok(found.collect())
    }

    fn signal(&self, id: &ProcessId, _: Signal) -> Result<bool, ProcessError> {
        let mut scene = self.scene();
        let before = scene.running.len();
        scene.running.retain(|_, (_, process)| process != id);
        Ok(scene.running.len() < before)
    }
}

/// Folders of builds have names like `image-KEY.abc123`; the end is drawn by lot.
const BUILDS: &str = "/store/tmp/";

/// Makes paths on the stage those of the world: what lies below `stage` lies below `world`.
pub(super) fn in_the_world(asked: Asked, stage: &str, world: &Utf8Path) -> Asked {
    let there = |text: &String| without_lots(&text.replace(stage, world.as_str()));
    Asked { argv: asked.argv.iter().map(there).collect(), line: there(&asked.line), guest: asked.guest }
}

fn without_lots(text: &str) -> String {
    let mut parts = text.split(BUILDS);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find('/').unwrap_or(part.len());
        let (folder, rest) = part.split_at(end);
        let name = folder.rsplit_once('.').map_or(folder, |(name, _)| name);
        shown.push_str(&format!("{BUILDS}{name}.XXXXXX{rest}"));
    }
    shown
}
