//! What no API token may do, done by root on the node: planned, set, read back, and refused where there is no way.

use regatta::driver::privilege::needed_on_nodes;
use regatta::resource::cluster::ClusterGuestSpec;
use regatta::resource::{Desired, Observed, Resource};

use crate::fake::{Fake, Manner};
use crate::fleet::{Regatta, of_file, told};
use crate::node::Node;

const NOTHING: [&str; 0] = [];

/// Everything that only root may set.
const FOR_ROOT: &str = r#"
    vmid 1000
    feature "nesting" "keyctl"
    bind "/srv/films" from="/tank/films" read-only=#true
    bind "/srv/data" from="/mnt/usb/data"
    device "/dev/ttyUSB0" gid=20
    hook-script "local:snippets/hook.sh"
"#;

const TEMPLATE: &str = r#"template "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    root-disk storage="local" size="8GiB""#;

/// A fleet with a way to root on two of the three nodes.
fn fleet(fence: &str, guests: &str) -> Desired {
    let cluster = format!("cluster \"pve\" {{ endpoint \"https://127.0.0.1:8006\"; token env=\"T\"\n{fence} }}");
    of_file(&format!("fleet \"shop\"\n{cluster}\n{guests}"))
}

const FENCE: &str = r#"fence { node "pve1" via="local"; node "pve2" via="local" }"#;

fn container(more: &str) -> String {
    format!("container \"web\" {{ cluster \"pve\"; {TEMPLATE}\n{more} }}")
}

fn guests(desired: &Desired) -> Vec<&ClusterGuestSpec> {
    let specs = desired.resources.values().filter_map(|declared| match &declared.resource {
        Resource::ClusterGuest(spec) => Some(&**spec),
        _ => None,
    });
    specs.collect()
}

/// LESSON 41, PROXMOX A6: made, set by root, read back; then the plan is empty, in the manner of both releases, and every
/// command is one that the printed rules allow.
#[tokio::test]
async fn apply_then_plan_is_empty_with_what_only_root_may_set() {
    for manner in [Manner::V8, Manner::V9] {
        let (fake, wish) = (Fake::of(manner), fleet(FENCE, &container(FOR_ROOT)));
        let node = Node::new(&fake);
        let regatta = Regatta::new(&fake).with_nodes(node.nodes(&wish));
        let made = regatta.plan(&wish).await;
        let ops: Vec<&str> = made.graph.steps.iter().map(|step| step.op.name()).collect();
        assert_eq!(ops, ["create-cluster-guest", "set-on-node", "update-cluster-guest", "start-cluster-guest"]);
        assert_eq!(regatta.carry_out(&made).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        let guest = fake.world().guests[&1000].clone();
        assert!(["pve1", "pve2"].contains(&guest.node.as_str()), "{}", guest.node);
        let is = |key: &str| guest.config.get(key).map(String::as_str).unwrap_or_default();
        assert_eq!(is("features"), "keyctl=1,nesting=1");
        assert_eq!(is("hookscript"), "local:snippets/hook.sh");
        assert_eq!(is("dev0"), "/dev/ttyUSB0,gid=20");
        let mounts = [is("mp0"), is("mp1")];
        assert!(mounts.contains(&"/tank/films,mp=/srv/films,ro=1") && mounts.contains(&"/mnt/usb/data,mp=/srv/data"));
        // Digest and number are what rules leave open.
        let general = |command: String| -> String {
            let words = command.split(' ').map(|word| match word {
                word if word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit()) => "0".repeat(40),
                word if word.starts_with("--mp") => "--mp0".into(),
                word => word.to_owned(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        let allowed: Vec<String> = needed_on_nodes(&guests(&wish)).unwrap().iter().map(ToString::to_string).collect();
        let ran: Vec<String> = node.commands().into_iter().filter(|command| !command.starts_with("stat ")).collect();
        assert_eq!(ran.len(), 5, "{ran:?}");
        for command in ran {
            assert!(allowed.contains(&general(command.clone())), "{command}: {allowed:#?}");
        }

        // Somebody changes one of them in Proxmox: drift, put right by root again.
        fake.world().guests.get_mut(&1000).unwrap().config.insert("features".into(), "nesting=1".into());
        assert_eq!(told(&regatta.plan(&wish).await), ["container.web Update Drift Restart: features"]);
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);

        // What leaves the file goes: by root what root gave, by the token what it may take away.
        let wish = fleet(FENCE, &container("vmid 1000"));
        let regatta = Regatta::new(&fake).with_nodes(node.nodes(&wish));
        node.commands();
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        let deleted: Vec<String> =
            node.commands().into_iter().filter_map(|it| Some(it.split_once("--delete ")?.1.to_owned())).collect();
        assert_eq!(deleted, ["dev0", "features", "hookscript"]);
    }
}

/// A virtual machine has a hook script through `qm`; a privileged container's features are all root's.
#[tokio::test]
async fn virtual_machines_and_privileged_containers_go_the_same_way() {
    let guests = format!(
        "vm \"db\" {{ cluster \"pve\"; clone 901 full=#true; vmid 2000; hook-script \"local:snippets/db.sh\" }}\n{}",
        container("vmid 1000; unprivileged #false; feature \"nesting\"")
    );
    let (fake, wish) = (Fake::new(), fleet(FENCE, &guests));
    let node = Node::new(&fake);
    let regatta = Regatta::new(&fake).with_nodes(node.nodes(&wish));
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let mut programs: Vec<String> =
        node.commands().into_iter().map(|it| it.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    programs.sort();
    assert_eq!(programs, ["/usr/sbin/pct set 1000", "/usr/sbin/qm set 2000"]);
}

/// Without a way to root the plan says no, before anything is done; nesting of an unprivileged container needs none.
#[tokio::test]
async fn without_a_fence_the_plan_refuses() {
    let fake = Fake::new();
    let no_fence = fleet("", &container("vmid 1000; feature \"nesting\" \"keyctl\"; node \"pve1\""));
    let regatta = Regatta::new(&fake);
    let refused = "container.web NeedsRoot: no API token may change `features`, and the cluster `pve` has no fence";
    assert_eq!(told(&regatta.plan(&no_fence).await).last().unwrap(), refused);
    assert_eq!(regatta.apply(&no_fence).await, []);
    assert!(!fake.world().guests.contains_key(&1000));
    let elsewhere = fleet(FENCE, &container("vmid 1000; hook-script \"local:snippets/x\"; node \"pve3\""));
    let refused = "container.web NeedsRoot: no API token may change `hook-script`, and the fence of the cluster `pve` lacks the node `pve3`";
    assert_eq!(told(&regatta.plan(&elsewhere).await).last().unwrap(), refused);
    let nesting = fleet("", &container("vmid 1000; feature \"nesting\""));
    assert_eq!(regatta.apply(&nesting).await, []);
    assert_eq!(told(&regatta.plan(&nesting).await), NOTHING);
}

/// LESSON 33: a directory whose name others may give to something else is handed to no guest.
#[tokio::test]
async fn a_directory_that_is_not_roots_is_refused() {
    let (fake, wish) = (Fake::new(), fleet(FENCE, &container("vmid 1000; bind \"/srv\" from=\"/tank/a\"")));
    for directories in ["a1ff:0", "41ed:1000", "41ff:0"] {
        let node = Node { directories, ..Node::new(&fake) };
        let regatta = Regatta::new(&fake).with_nodes(node.nodes(&wish));
        let failures = regatta.apply(&wish).await;
        assert!(failures[0].1.causes[0].contains("expected a directory that only root"), "{failures:?}");
        assert!(node.commands().iter().all(|command| command.starts_with("stat ")));
    }
    let node = Node::new(&fake);
    let regatta = Regatta::new(&fake).with_nodes(node.nodes(&wish));
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
}

/// LESSON 36: what disks and sensors say is told; JSON counts, and not the exit code.
#[tokio::test]
async fn nodes_tell_how_their_disks_are() {
    let fake = Fake::new();
    let wish = fleet(
        r#"fence { node "pve1" via="local" { disk "/dev/sda"; sensors }; node "pve2" via="local" { disk "/dev/nvme7" }; node "pve3" via="local" }"#,
        "",
    );
    let node = Node::new(&fake);
    let told = Regatta::new(&fake).with_nodes(node.nodes(&wish)).nodes().health(&Observed::default()).await;
    let [first, second] = &told[..] else { panic!("{told:?}") };
    let disk = &first.disks[0];
    assert_eq!((disk.healthy, disk.celsius, disk.hours, &first.note), (Some(true), Some(34), Some(9), &None));
    assert_eq!(second.note.as_deref(), Some("smartctl says of `/dev/nvme7`: No such device"));
}
