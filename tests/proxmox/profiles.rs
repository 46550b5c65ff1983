//! What guests of clusters share with those of this machine: profiles, the top of the file, and the order of `after`.

use regatta::resource::cluster::{ClusterGuestSpec, Value};
use regatta::resource::{Address, Desired, Resource};

use crate::fake::Fake;
use crate::fleet::{Regatta, desired, told};

const NOTHING: [&str; 0] = [];
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi";
const TEMPLATE: &str = "template \"local:vztmpl/d.tar.zst\"; root-disk storage=\"local\" size=\"8GiB\"";

fn spec<'a>(desired: &'a Desired, address: &Address) -> &'a ClusterGuestSpec {
    match &desired.resources[address].resource {
        Resource::ClusterGuest(spec) => spec,
        other => panic!("{other:?}"),
    }
}

/// Profiles and the top of the file say of a cluster's guest what they say of one of this machine: memory, cores, tags, keys and
/// files. The block itself goes first.
#[test]
fn profiles_and_the_top_of_the_file_hold_on_clusters() {
    let wish = desired(&format!(
        "authorized-key \"{KEY} top\"
         git-identity name=\"Ada\" email=\"ada@lab.test\"
         profile \"small\" {{ cpus 2; memory \"256MiB\"; tags \"edge\"; file \"~/motd\" {{ content \"x\" }}; work-disk size=\"1GiB\" }}
         container \"a\" {{ cluster \"pve\"; use \"small\"; {TEMPLATE} }}
         container \"b\" {{ cluster \"pve\"; use \"small\"; memory \"1GiB\"; {TEMPLATE} }}
         container \"plain\" {{ cluster \"pve\"; {TEMPLATE} }}
         vm \"c\" {{ cluster \"pve\"; use \"small\"; clone 901 }}"
    ));
    let text = |address: Address, path: &str| {
        spec(&wish, &address).values.get(path).and_then(Value::as_text).map(str::to_owned)
    };
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(text(Address::container("a"), "memory"), is("256MiB"));
    assert_eq!(text(Address::container("a"), "cores"), is("2"));
    assert_eq!(text(Address::container("a"), "tags"), is("edge;regatta-shop"));
    assert_eq!(text(Address::container("b"), "memory"), is("1GiB"));
    assert_eq!(text(Address::container("plain"), "memory"), is("512MiB"));
    assert_eq!(text(Address::vm("c"), "memory"), is("256MiB"));
    assert_eq!(spec(&wish, &Address::container("plain")).keys, [format!("{KEY} top")]);
    // Whoever is logged in to has the identity of the fleet; nobody is logged in to for its sake alone.
    let of = |guest: &str| {
        let all =
            wish.resources.keys().map(ToString::to_string).filter(|address| address.contains(&format!(".{guest}")));
        all.collect::<Vec<_>>()
    };
    assert_eq!(of("a"), ["authorized-key.a", "container.a", "file.a/~/motd", "git-identity.a"]);
    assert_eq!(of("plain"), ["container.plain"]);
}

/// A guest that comes after others starts when they have.
#[tokio::test]
async fn guests_start_after_those_that_they_name() {
    let wish = desired(&format!(
        "container \"web\" count=2 {{ cluster \"pve\"; {TEMPLATE}; after \"db\" }}
         vm \"db\" {{ cluster \"pve\"; clone 901; vmid 2000 }}
         container \"edge\" {{ cluster \"pve\"; {TEMPLATE}; after \"web\" }}"
    ));
    let fake = Fake::new();
    let regatta = Regatta::new(&fake);
    let made = regatta.plan(&wish).await;
    let starts = |name: &str| {
        let found = made
            .graph
            .steps
            .iter()
            .find(|it| it.op.name() == "start-cluster-guest" && it.addresses[0].guest() == Some(name));
        found.unwrap()
    };
    let waits = |name: &str, first: &str| starts(name).after.iter().any(|edge| edge.step == starts(first).id);
    for (name, first) in [("web-1", "db"), ("web-2", "db"), ("edge", "web-1"), ("edge", "web-2")] {
        assert!(waits(name, first), "{name} does not wait for {first}");
    }
    assert!(!waits("web-1", "web-2"));
    assert_eq!(regatta.carry_out(&made).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
}
