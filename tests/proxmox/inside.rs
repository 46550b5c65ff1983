//! Files inside of guests on clusters: the fake says that they run, and a real SSH server stands for them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use regatta::driver::nodes::{NodeDoors, Nodes};
use regatta::driver::{Account, Doors, Insides, StateDir};
use regatta::effect::{CommandRunner, Connect, ConnectError, Shell, SshClient, SshTarget, SystemClock, fingerprint};
use regatta::exec::FailureKind;
use regatta::plan::power::{Power, may_name_on_clusters, obstacles, power};
use regatta::resource::Desired;
use regatta::resource::cluster::{Reach, Via};
use tokio::task::JoinSet;

use crate::fake::Fake;
use crate::fake::inside::Inside;
use crate::fleet::{Regatta, desired_with_files, told};
use crate::house::House;
use crate::node::Anything;

const NOTHING: [&str; 0] = [];

/// What the tests declare: everything that goes into a guest.
pub(crate) const FILES: &str = r#"
    file-sync "~/dotfiles" to="~/.config/app" prune=#true
    file "~/motd" mode="0644" { content "hello\n" }
    git-identity name="Ada" email="ada@lab.test"
    authorized-key "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi ann@host"
"#;

pub(crate) fn insides(house: &House) -> impl FnOnce(Arc<regatta::driver::proxmox::Clusters>) -> Insides {
    let doors =
        Doors { connect: Arc::new(SshClient::default()), run: Arc::new(CommandRunner), clock: Arc::new(SystemClock) };
    let (state, home, guest) = (StateDir::new(house.path("state")), house.path("home"), house.path("guest"));
    let account = Account { user: "root".into(), home: guest };
    move |clusters| Insides::new("shop", clusters, doors, state, Some(home)).as_account(account)
}

pub(crate) async fn container(house: &House, ssh: &str, files: &str) -> Desired {
    let guest = format!(
        "container \"web\" {{ cluster \"pve\"; vmid 1000; template \"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst\"
         root-disk storage=\"local\" size=\"8GiB\"; interface \"eth0\" bridge=\"vmbr0\" ip=\"dhcp\"
         ssh {ssh}
         {files} }}"
    );
    desired_with_files(&guest, &house.path("home"), &house.public("state/identity")).await
}

pub(crate) fn home(house: &House) {
    fs::create_dir_all(house.path("home/dotfiles/lua")).unwrap();
    fs::write(house.path("home/dotfiles/init"), "one\n").unwrap();
    fs::write(house.path("home/dotfiles/lua/x"), "two\n").unwrap();
}

pub(crate) fn ssh(house: &House) -> String {
    format!("host=\"127.0.0.1\" port={} {{ host-key \"{}\" }}", house.port, house.public("host_key"))
}

/// LESSON 41: in the run that makes the guest, files come after it runs; then the plan is empty, and what somebody changes is drift.
#[tokio::test(flavor = "multi_thread")]
async fn apply_then_plan_is_empty_with_files_inside() {
    let Some(house) = House::new() else { return };
    home(&house);
    let (fake, wish) = (Fake::new(), container(&house, &ssh(&house), FILES).await);
    let regatta = Regatta::new(&fake).with_insides(insides(&house));
    let first = regatta.plan(&wish).await;
    let ops: Vec<&str> = first.graph.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(ops, ["create-cluster-guest", "start-cluster-guest", "write-files"]);
    assert_eq!(first.graph.steps[2].after[0].step, first.graph.steps[1].id);
    assert_eq!(regatta.carry_out(&first).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert_eq!(fs::read_to_string(house.path("guest/.config/app/lua/x")).unwrap(), "two\n");
    assert_eq!(fs::read_to_string(house.path("guest/motd")).unwrap(), "hello\n");
    assert!(fs::read_to_string(house.path("guest/.gitconfig")).unwrap().contains("ada@lab.test"));
    let keys = fs::read_to_string(house.path("guest/.ssh/authorized_keys")).unwrap();
    assert!(keys.contains(&house.public("state/identity")) && keys.contains("ann@host"), "{keys}");

    // Somebody changes one file, the user another, and a third leaves the source.
    fs::write(house.path("guest/motd"), "bye\n").unwrap();
    fs::write(house.path("home/dotfiles/init"), "new\n").unwrap();
    fs::remove_file(house.path("home/dotfiles/lua/x")).unwrap();
    let wish = container(&house, &ssh(&house), FILES).await;
    let expected = [
        "file.web/~/motd Update Drift Live: ~/motd",
        "file-sync.web/~/.config/app Update Pending Live: ~/.config/app/init, ~/.config/app/lua/x",
    ];
    let found: BTreeSet<String> = told(&regatta.plan(&wish).await).into_iter().collect();
    assert_eq!(found, expected.map(str::to_owned).into());
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert!(!house.path("guest/.config/app/lua/x").exists());
    assert_eq!(fs::read_to_string(house.path("guest/.config/app/init")).unwrap(), "new\n");
    let mode = fs::metadata(house.path("guest/motd")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// LESSON 42: what is in a guest whose cluster does not answer is not known either, and said so.
#[tokio::test(flavor = "multi_thread")]
async fn files_in_guests_of_a_cluster_that_does_not_answer_are_unreadable() {
    let Some(house) = House::new() else { return };
    let wish = container(&house, &ssh(&house), "file \"~/motd\" { content \"hello\\n\"; }").await;
    let nothing = regatta::resource::Observed::default();
    let made = regatta::plan::plan(&wish, &nothing, &regatta::plan::Options::default());
    let expected = [
        "cluster.pve Unreadable Unreadable None: ",
        "container.web Unreadable Unreadable None: ",
        "authorized-key.web Unreadable Unreadable None: ",
        "file.web/~/motd Unreadable Unreadable None: ",
    ];
    assert_eq!(told(&made), expected);
    assert!(made.graph.steps.is_empty());
}

/// A stopped guest's files are neither seen nor written; whoever starts it sees them.
#[tokio::test(flavor = "multi_thread")]
async fn files_wait_for_a_guest_that_is_stopped() {
    let Some(house) = House::new() else { return };
    home(&house);
    let (fake, wish) = (Fake::new(), container(&house, &ssh(&house), FILES).await);
    let regatta = Regatta::new(&fake).with_insides(insides(&house));
    assert_eq!(regatta.apply(&wish).await, []);
    fake.world().guests.get_mut(&1000).unwrap().running = false;
    fs::remove_file(house.path("guest/motd")).unwrap();
    assert_eq!(told(&regatta.plan(&wish).await), ["container.web Update Stopped None: state"]);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), ["file.web/~/motd Create Missing Live: ~/motd, ~/motd"]);
}

/// LESSON 17: no key is trusted because it was seen first: nobody vouches, then somebody does, then it is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_is_vouched_for_or_there_is_no_login() {
    let Some(house) = House::new() else { return };
    home(&house);
    let place = format!("host=\"127.0.0.1\" port={}", house.port);
    let (fake, wish) = (Fake::new(), container(&house, &place, FILES).await);
    let regatta = Regatta::new(&fake).with_insides(insides(&house));
    let failures = regatta.apply(&wish).await;
    let (step, failure) = &failures[0];
    assert_eq!((step.as_str(), failure.kind), ("write-files authorized-key.web", FailureKind::Permanent));
    assert_eq!(
        failure.causes.join(": "),
        "cannot log in to guest `web`: cannot tell whether guest `web` is itself: nothing is known of its host key"
    );
    assert!(failure.hint.as_ref().unwrap().contains("regatta repin web SHA256:"), "{failure:?}");
    assert!(!house.path("guest/motd").exists());

    let reach = Reach {
        cluster: "pve".into(),
        guest: "web".into(),
        via: Via::Ssh,
        host: Some("127.0.0.1".into()),
        port: house.port,
        identity: None,
        host_key: None,
    };
    let pins = insides(&house)(Arc::clone(&regatta.clusters));
    let wrong = pins.pin(&reach, "SHA256:AAAA").await.unwrap_err();
    let right = fingerprint(&house.public("host_key")).unwrap();
    assert_eq!(wrong.causes, [format!("guest `web` shows {right}, expected SHA256:AAAA")]);
    pins.pin(&reach, &right).await.unwrap();
    // The mark keeps it, and nothing else of the guest has changed.
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let description = fake.world().guests[&1000].config["description"].clone();
    assert!(description.contains(&house.public("host_key")), "{description}");

    let other = house.public("state/identity");
    let wish = container(&house, &format!("{place} {{ host-key \"{other}\" }}"), FILES).await;
    let unreadable = regatta.apply(&wish).await;
    assert!(unreadable[0].1.causes[0].contains("the host key is"), "{unreadable:?}");
}

/// The agent of a virtual machine tells its address and its key, over the connection to the cluster that is trusted already.
#[tokio::test(flavor = "multi_thread")]
async fn a_vms_agent_vouches_for_it() {
    let Some(house) = House::new() else { return };
    let guest = format!(
        "vm \"db\" {{ cluster \"pve\"; clone 901 full=#true; vmid 2000; ssh host=\"127.0.0.1\" port={}
         file \"~/motd\" {{ content \"x\" }} }}",
        house.port
    );
    let wish = desired_with_files(&guest, &house.path("home"), &house.public("state/identity")).await;
    let fake = Fake::new();
    let host_key = Some(format!("{} root@db\n", house.public("host_key")));
    fake.world().insides.insert(2000, Inside { addresses: Vec::new(), host_key });
    let regatta = Regatta::new(&fake).with_insides(insides(&house));
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert_eq!(fs::read_to_string(house.path("guest/motd")).unwrap(), "x");
}

/// Guests of clusters are started and stopped by name as those of this machine are; their configuration is left alone.
#[tokio::test]
async fn guests_are_started_and_stopped_by_name() {
    let (fake, wish) = (Fake::new(), crate::fleet::containers(2));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    fake.world().guests.get_mut(&1000).unwrap().config.insert("memory".into(), "64".into());
    let one = ["web-1".parse().unwrap()];
    assert!(may_name_on_clusters(&wish, &one));
    let seen = regatta.observe(&wish).await;
    assert_eq!(obstacles(&wish, &seen, &one, Power::Off), NOTHING);
    assert_eq!(regatta.carry_out(&power(&wish, &seen, &one, Power::Off)).await, []);
    let running = |fake: &Fake| [1000, 1001].map(|vmid| fake.world().guests[&vmid].running);
    assert_eq!(running(&fake), [false, true]);
    let both = ["container.web-*".parse().unwrap()];
    let seen = regatta.observe(&wish).await;
    let plan = power(&wish, &seen, &both, Power::Cycle);
    let ops: Vec<&str> = plan.graph.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(ops, ["start-cluster-guest", "stop-cluster-guest", "start-cluster-guest"]);
    assert_eq!(regatta.carry_out(&plan).await, []);
    assert_eq!(running(&fake), [true, true]);
    assert_eq!(fake.world().guests[&1000].config["memory"], "64");
    assert_eq!(regatta.destroy(&wish).await, []);
    let seen = regatta.observe(&wish).await;
    assert_eq!(obstacles(&wish, &seen, &one, Power::On), ["web-1 is not made yet"]);
}

/// The address that nobody declares is the one that the cluster tells.
#[tokio::test]
async fn the_cluster_tells_where_a_guest_is() {
    let fake = Fake::new();
    let wish = crate::fleet::desired("vm \"db\" { cluster \"pve\"; clone 901 full=#true; vmid 2000 }");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi";
    let addresses = vec!["169.254.1.1".into(), "10.0.0.9".into()];
    fake.world().insides.insert(2000, Inside { addresses, host_key: Some(format!("{key} root@db\n")) });
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let reach = |host: Option<&str>| Reach {
        cluster: "pve".into(),
        guest: "db".into(),
        via: Via::Ssh,
        host: host.map(str::to_owned),
        port: 22,
        identity: None,
        host_key: None,
    };
    let found = regatta.clusters.whereabouts(&reach(None)).await.unwrap();
    assert_eq!((found.host.as_str(), found.host_key), ("10.0.0.9", Ok(key.to_owned())));
    assert_eq!(regatta.clusters.whereabouts(&reach(Some("db.lab"))).await.unwrap().host, "db.lab");
    fake.world().insides.clear();
    let unknown = regatta.clusters.whereabouts(&reach(None)).await.unwrap_err();
    assert_eq!(unknown.causes, ["nobody knows the address of guest `db` yet: QEMU guest agent is not running"]);
    fake.world().guests.get_mut(&2000).unwrap().running = false;
    assert_eq!(regatta.clusters.whereabouts(&reach(None)).await.unwrap_err().causes, ["guest `db` is stopped"]);
}

fn by_its_node(guest: &str) -> Reach {
    let (cluster, guest) = ("pve".into(), guest.into());
    Reach { cluster, guest, via: Via::Node, host: None, port: 22, identity: None, host_key: None }
}

/// Root in a privileged container is root on the node: what the cluster says of the guest that carries our mark decides, and not
/// what is declared.
#[tokio::test]
async fn a_node_goes_into_unprivileged_containers_that_run() {
    let (fake, wish) = (Fake::new(), crate::fleet::containers(1));
    let regatta = Regatta::new(&fake);
    let reach = by_its_node("web-1");
    let refused = async || regatta.clusters.entrance(&reach).await.unwrap_err().causes;
    assert_eq!(refused().await, ["guest `web-1` is not made yet"]);
    assert_eq!(regatta.apply(&wish).await, []);
    let at = regatta.clusters.entrance(&reach).await.unwrap();
    assert_eq!((at.node.as_str(), at.vmid), ("pve1", 1000));
    // What was seen a moment ago is somebody else's by now.
    let observed = regatta.observe(&wish).await;
    let seen = observed.cluster_guests["web-1"].present().unwrap();
    assert_eq!(regatta.clusters.entrance_of(&reach, seen).await.unwrap().vmid, 1000);
    let ours = fake.world().guests.get_mut(&1000).unwrap().config.insert("description".into(), "theirs".into());
    let failure = regatta.clusters.entrance_of(&reach, seen).await.unwrap_err();
    assert_eq!(failure.causes, ["number 1000 is not guest `web-1` any more"]);
    fake.world().guests.get_mut(&1000).unwrap().config.insert("description".into(), ours.unwrap());
    let removed = fake.world().guests.get_mut(&1000).unwrap().config.remove("unprivileged");
    assert_eq!(removed.as_deref(), Some("1"));
    let privileged = ["guest `web-1` is no unprivileged container, and no way leads into it by its node"];
    assert_eq!(refused().await, privileged);
    fake.world().guests.get_mut(&1000).unwrap().running = false;
    assert_eq!(refused().await, ["guest `web-1` is stopped"]);
}

/// A node whose logins take a while, and fail.
#[derive(Default)]
struct Slow {
    at_once: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Connect for Slow {
    async fn connect(&self, target: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        self.most.fetch_max(self.at_once.fetch_add(1, Relaxed) + 1, Relaxed);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.at_once.fetch_sub(1, Relaxed);
        Err(ConnectError::NotUp(target.host.clone()))
    }
}

/// Twenty containers on one node are not twenty logins at the same time, of which its server would turn some away.
#[tokio::test]
async fn a_node_is_logged_in_to_a_few_times_at_once() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi";
    let wish = crate::fleet::of_file(&format!(
        "fleet \"shop\"
         cluster \"pve\" {{ endpoint \"https://127.0.0.1:8006\"; token env=\"T\"
             fence {{ node \"pve1\" host=\"10.0.0.1\" user=\"ci\" {{ host-key \"{key}\"; }}; }}; }}"
    ));
    let slow = Arc::new(Slow::default());
    let doors = NodeDoors {
        connect: Arc::clone(&slow) as Arc<dyn Connect>,
        run: Arc::new(CommandRunner),
        clock: Arc::new(SystemClock),
        audit: Arc::new(Anything),
    };
    let regatta = Regatta::new(&Fake::new())
        .with_nodes(|clusters| Nodes::new(&wish, clusters, doors, StateDir::new("/nowhere"), None));
    let mut entering = JoinSet::new();
    for vmid in 1000..1020 {
        let (nodes, reach) = (regatta.nodes(), by_its_node("web"));
        entering.spawn(async move {
            nodes.enter(&reach, "pve1", vmid).await.err().map(|failure| failure.causes[0].clone())
        });
    }
    let ended = entering.join_all().await;
    assert_eq!(ended, vec![Some("cannot log in to node `pve1`".to_owned()); 20]);
    assert_eq!(slow.most.load(Relaxed), 4);
}
