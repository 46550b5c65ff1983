use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::config::{Accelerator, Machine, NetworkMode, OnDrift};
use crate::effect::{Command, CommandError, Detacher, Output, ProcFs, Run, SshClient};
use crate::exec::{Asked, AuditFile};
use crate::plan::{Graph, StepId};
use crate::resource::{Address, ContentKey, DesiredFile, FileSetKind, GuestPath, NetworkSpec, VmSpec};

/// Runs programs and writes them down; a disk image is made without qemu-img.
#[derive(Default)]
struct Noting(Mutex<Vec<String>>);

#[async_trait]
impl Run for Noting {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.0.lock().unwrap().push(command.to_string());
        if command.program() == "qemu-img" {
            fs::write(command.arguments().last().unwrap(), "").unwrap();
            return CommandRunner.run(&Command::new("true")).await;
        }
        CommandRunner.run(command).await
    }
}

fn vm() -> VmSpec {
    VmSpec {
        name: "web".into(),
        cpus: 1,
        memory: ByteSize::mib(256),
        image: ContentKey::of(&"image"),
        kernel: ContentKey::of(&"kernel"),
        kernel_arguments: Vec::new(),
        network: NetworkSpec { mode: NetworkMode::User, forwards: Vec::new(), link: None },
        work_disk: ByteSize::mib(32),
        disks: Vec::new(),
        accel: Accelerator::Tcg,
        machine: Machine::Microvm,
        jailer: None,
    }
}

/// A guest that is made, written to, grown and let go of.
fn plan() -> Plan {
    let keys = Content::AuthorizedKeys(vec!["ssh-ed25519 AAAA ada".into()]);
    let path = GuestPath::new(".ssh/authorized_keys").unwrap();
    let files = BTreeMap::from([(path, DesiredFile { content: keys, mode: 0o600, owner: (0, 0) })]);
    let set = FileSet {
        guest: "web".into(),
        kind: FileSetKind::AuthorizedKey,
        files,
        prune: false,
        on_drift: OnDrift::Repair,
    };
    let ops = [
        Op::CreateGuest { vm: vm() },
        Op::WriteFiles {
            guest: "web".into(),
            sets: vec![(Address::authorized_key("web"), set)],
            remove: Vec::new(),
            reach: None,
        },
        Op::GrowWorkDisk { guest: "web".into(), to: ByteSize::mib(64) },
        Op::RenameGuest { from: "web".into(), to: "www".into() },
        Op::ForgetGuest { guest: "www".into() },
    ];
    let step = |(id, op): (u32, Op)| Step {
        id: StepId(id),
        addresses: vec![Address::vm(if id < 3 { "web" } else { "www" })],
        deadline_s: op.deadline_s(),
        repeat: op.repeat(),
        op,
        after: Vec::new(),
        rescues: Vec::new(),
    };
    let graph = Graph { steps: (0..).zip(ops).map(step).collect() };
    Plan { fleet: "shop".into(), changes: Vec::new(), refusals: Vec::new(), selected: None, graph }
}

/// What is printed beforehand is what is run: the same programs with the same arguments, in the same order.
#[tokio::test]
async fn a_rehearsal_names_the_commands_that_are_run() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(Utf8PathBuf::try_from(dir.path().canonicalize().unwrap()).unwrap());
    let rehearsed = rehearse(&plan(), &Observed::default(), "/fleet.kdl", &state).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a rehearsal writes nothing");
    let cut_short: Vec<_> = rehearsed.iter().filter_map(|step| step.cut_short.as_ref()).collect();
    assert_eq!(cut_short, Vec::<&String>::new());

    let noting = Arc::new(Noting::default());
    let effects = Effects {
        run: Arc::clone(&noting) as _,
        connect: Arc::new(SshClient::default()),
        processes: Arc::new(ProcFs::default()),
        clock: Arc::new(SystemClock),
        detach: Arc::new(Detacher),
        identify: |guest| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, guest.as_bytes()),
    };
    files::write_atomic(&state.identity(), KeyPair::generate("regatta").unwrap().private_pem().unwrap().as_bytes())
        .unwrap();
    let (run, audit) = (Arc::clone(&noting) as _, Arc::new(AuditFile::new(state.audit_log())));
    let networks = Networks::new("shop", "/fleet.kdl", run, Arc::new(SystemClock), audit);
    let guests = Arc::new(Guests::new("shop", "/fleet.kdl", state, effects));
    let image = guests.store().image_path(&vm().image);
    files::private_dir(image.parent().unwrap()).unwrap();
    fs::write(image, "").unwrap();
    let driver = LocalDriver::new(Arc::clone(&guests), Arc::new(networks));
    for step in &plan().graph.steps {
        driver.perform(step, &Silent).await.unwrap();
    }
    let printed: Vec<String> = rehearsed.into_iter().flat_map(|step| step.commands).map(|asked| asked.line).collect();
    assert_eq!(printed, *noting.0.lock().unwrap());
    assert!(printed.iter().any(|line| line.starts_with("debugfs ")), "{printed:#?}");
}

/// Names that are drawn by lot are shown as such: two rehearsals print the same.
#[test]
fn what_is_drawn_by_lot_is_not_shown() {
    let asked = Asked {
        argv: vec!["tar".into(), "/stage/store/tmp/image-0a1b.Xy12zZ/root.tar".into()],
        line: "tar /stage/store/tmp/image-0a1b.Xy12zZ/root.tar".into(),
        guest: None,
    };
    let shown = in_the_world(asked, "/stage", "/state".into());
    assert_eq!(shown.line, "tar /state/store/tmp/image-0a1b.XXXXXX/root.tar");
    assert_eq!(shown.argv[1], "/state/store/tmp/image-0a1b.XXXXXX/root.tar");
}
