//! Virtual machines: cloned, changed in place, restarted only for what needs it, removed.

use crate::fake::fault::{Fault, Strike, When};
use crate::fake::{Fake, Manner};
use crate::fleet::{EVERYTHING_OF_A_VM, Regatta, desired, told, vms};

const NOTHING: [&str; 0] = [];

/// LESSON 41, PROXMOX C1, C2, in the manner of both releases.
#[tokio::test]
async fn apply_then_plan_is_empty_for_every_attribute_of_a_vm() {
    for manner in [Manner::V8, Manner::V9] {
        let (fake, wish) = (Fake::of(manner), vms(3));
        let foreign = fake.foreign();
        let regatta = Regatta::new(&fake);
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        let db = fake.world().guests[&2000].clone();
        assert!(db.running && db.pending.is_empty(), "{db:?}");
        let is = |key: &str| db.config[key].as_str();
        assert_eq!(is("scsi0"), "local:2000/vm-2000-scsi0.qcow2,discard=on,size=8G,ssd=1");
        assert_eq!(is("scsi1"), "slow:2000/vm-2000-scsi1.qcow2,backup=0,iothread=1,size=1536M");
        assert_eq!(is("ide2"), "local:2000/vm-2000-cloudinit.qcow2,media=cdrom,size=4M");
        assert_eq!(is("ipconfig0"), "gw=10.0.0.1,ip=10.0.0.5/24,ip6=auto");
        assert_eq!(is("net1"), "e1000=BC:24:11:AA:00:02,bridge=vmbr1");
        assert_eq!((is("memory"), is("ciuser"), is("cpu")), ("1024", "admin", "host"));
        assert!(is("sshkeys").contains("ann%2Bx%40host%20two%0Assh-ed25519"), "{}", is("sshkeys"));
        assert_eq!(fake.foreign(), foreign);
        assert_eq!(regatta.destroy(&wish).await, []);
        assert_eq!(fake.world().guests, foreign);
    }
}

/// PROXMOX C2, C4, C9, C12.
#[tokio::test]
async fn a_vm_is_changed_in_place() {
    let (fake, wish) = (Fake::new(), vms(1));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let before = fake.world().guests[&2000].clone();
    let edited = EVERYTHING_OF_A_VM.replace("size=\"8GiB\"", "size=\"9GiB\"").replace("\"1GiB\"", "\"2GiB\"");
    let edited = edited.replace("bridge=\"vmbr0\"", "bridge=\"vmbr5\"").replace("user=\"admin\"", "user=\"root\"");
    let edit = |more: &str| desired(&format!("vm \"db\" count=1 {{ cluster \"pve\"\n{edited}\n{more} }}"));
    let changed = "cloud-init-user, disk 0 size, interface 0, memory";
    let never = edit("restart \"never\"");
    assert_eq!(told(&regatta.plan(&never).await), [format!("vm.db-1 Update Pending Live: {changed}")]);
    assert_eq!(regatta.apply(&never).await, []);
    assert_eq!(told(&regatta.plan(&never).await), NOTHING);
    let waits = fake.world().guests[&2000].pending.keys().cloned().collect::<Vec<_>>();
    assert_eq!(waits, ["ciuser", "memory"]);

    let wish = edit("");
    assert_eq!(told(&regatta.plan(&wish).await), ["vm.db-1 Update Pending Restart: pending"]);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let after = fake.world().guests[&2000].clone();
    assert!(after.running && after.pending.is_empty());
    assert_eq!((after.config["memory"].as_str(), after.config["ciuser"].as_str()), ("2048", "root"));
    assert_eq!(after.config["net0"], before.config["net0"].replace("vmbr0", "vmbr5"));
    assert_eq!(after.config["scsi0"], "local:2000/vm-2000-scsi0.qcow2,discard=on,ssd=1,size=9G");
}

/// What only needs plugging is no reason to restart; what was taken at once is none either.
#[tokio::test]
async fn one_more_disk_needs_no_restart() {
    let (fake, wish) = (Fake::new(), vms(1));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let more =
        format!("vm \"db\" count=1 {{ cluster \"pve\"\n{EVERYTHING_OF_A_VM}\ndisk 2 storage=\"slow\" size=\"4GiB\" }}");
    let wish = desired(&more);
    assert_eq!(told(&regatta.plan(&wish).await), ["vm.db-1 Update Pending Live: disk 2"]);
    fake.world().requests.clear();
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert!(!fake.world().requests.iter().any(|request| request.contains("/status/shutdown")));
}

/// A server that says that it did, and did not, is believed only so often.
#[tokio::test]
async fn what_is_not_kept_is_given_up() {
    let (fake, wish) = (Fake::new(), vms(1));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let grown = EVERYTHING_OF_A_VM.replace("size=\"8GiB\"", "size=\"9GiB\"");
    let wish = desired(&format!("vm \"db\" count=1 {{ cluster \"pve\"\n{grown} }}"));
    fake.world().requests.clear();
    fake.world().strike = Some(Strike { fault: Fault::TaskEnds("OK"), at: When::Writes });
    let failures = regatta.apply(&wish).await;
    let said = "guest `db-1` does not keep what is set, although it lets scsi0 grow to 9G";
    assert_eq!(failures.iter().map(|(_, failure)| failure.causes.join(": ")).collect::<Vec<_>>(), [said]);
    assert!(fake.world().requests.len() < 60, "{}", fake.world().requests.len());
}

/// PROXMOX C15: ten guests of one template, linked and full, at once.
#[tokio::test]
async fn ten_clones_of_one_vm_at_once() {
    for how in ["clone 901", "clone 901 full=#true"] {
        let fake = Fake::new();
        fake.world().polls = 2;
        let text = format!("vm \"v\" count=10 {{ cluster \"pve\"; {how}; vmid from=3000 to=3010; memory \"64MiB\" }}");
        let (wish, regatta) = (desired(&text), Regatta::new(&fake));
        let made = regatta.plan(&wish).await;
        let all = made.graph.steps.iter().filter(|step| step.op.name() == "create-cluster-guest");
        let all: Vec<_> = all.map(|step| regatta.attempt(step)).collect();
        for result in crate::apply::futures(all).await {
            assert_eq!(result, Ok(()));
        }
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        assert_eq!(fake.world().guests.keys().filter(|vmid| **vmid >= 3000).count(), 10);
    }
}

/// PROXMOX C3.
#[tokio::test]
async fn a_protected_vm_is_not_removed() {
    let fake = Fake::new();
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&vms(1)).await, []);
    fake.world().guests.get_mut(&2000).unwrap().config.insert("protection".into(), "1".into());
    let removal =
        ["vm.db-1 Destroy NotDeclared DataLoss: ", "vm.db-1 Protected: guest 2000 is protected and would be removed"];
    assert_eq!(told(&regatta.plan(&desired("")).await), removal);
}
