//! Random fleets beside random guests of others: apply, then plan, is empty; so it is after the fleet changed, and after
//! somebody else did; what is not ours is never touched.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::cases::cases;
use crate::fake::guest::Guest;
use crate::fake::{Fake, Manner};
use crate::fleet::{Regatta, desired, told};

/// Guests of each kind at most.
const GUESTS: usize = 4;

/// Choices of one guest: each bit, or each pair of them, decides one attribute.
type Choices = u32;

/// A fleet: choices of containers and of virtual machines; those without are not declared.
type Fleet = (Vec<Option<Choices>>, Vec<Option<Choices>>);

fn choices() -> impl Strategy<Value = Fleet> {
    let several = || prop::collection::vec(prop::option::of(any::<Choices>()), GUESTS);
    (several(), several())
}

struct Choice(Choices);

impl Choice {
    fn of<'a>(&mut self, options: &[&'a str]) -> &'a str {
        let count = u32::try_from(options.len()).unwrap();
        let chosen = options[usize::try_from(self.0 % count).unwrap()];
        self.0 = (self.0 / count) ^ self.0.rotate_right(7);
        chosen
    }
}

/// What both kinds may have.
fn common(choice: &mut Choice) -> String {
    [
        choice.of(&["", "tags \"a\" \"b\"", "tags \"zed\" \"b\"", "tags \"b\""]),
        choice.of(&["", "notes \"Call *Ann*; a=1,b=2\"", "notes \"two\\nlines\\n\""]),
        choice.of(&["", "startup order=2", "startup order=1 up=5 down=9", "startup up=3"]),
        choice.of(&["", "on-boot #true", "on-boot #false"]),
        choice.of(&["", "dns \"10.0.0.1\" \"10.0.0.2\"", "dns domain=\"lab.test\""]),
        choice.of(&["", "running #true", "running #false"]),
        choice.of(&["", "restart \"if-needed\""]),
        choice.of(&["", "pool \"lab\"", "pool \"prod\""]),
        choice.of(&["", "ha", "ha max-restart=3 max-relocate=0"]),
        choice.of(&[
            "",
            "firewall in=\"drop\"",
            "firewall enable=#false { rule \"in\" \"accept\" proto=\"tcp\" port=\"22\"; rule \"in\" \"drop\" }",
            "firewall dhcp=#true { rule \"in\" \"drop\" log=\"info\"; rule \"in\" \"accept\" proto=\"tcp\" port=\"22\"; rule \"group\" \"web\" }",
        ]),
    ]
    .join("\n")
}

fn container(number: usize, choices: Choices, age: usize) -> String {
    let mut choice = Choice(choices);
    let (root, data) = (8 + age, 1 + age);
    let data = format!("mount \"/data\" storage=\"local\" size=\"{data}GiB\"");
    let made = match number % 2 {
        0 => format!("template \"local:vztmpl/d.tar.zst\"\nroot-disk storage=\"local\" size=\"{root}GiB\""),
        _ => "clone 900 full=#true".to_owned(),
    };
    let own = [
        choice.of(&["", "cores 1", "cores 4"]),
        choice.of(&["memory \"64MiB\"", "memory \"1GiB\"", ""]),
        choice.of(&["swap \"0MiB\"", "swap \"64MiB\"", ""]),
        choice.of(&["", data.as_str()]),
        choice.of(&["", "feature \"nesting\""]),
        choice.of(&[
            "",
            "interface \"eth0\" bridge=\"vmbr0\" ip=\"dhcp\"",
            "interface \"eth0\" bridge=\"vmbr1\" vlan=9",
        ]),
        choice.of(&["", "interface \"eth1\" bridge=\"vmbr0\" mac=\"bc:24:11:aa:00:09\" firewall=#true"]),
    ]
    .join("\n");
    let common = common(&mut choice);
    format!("container \"c{number}\" {{ cluster \"pve\"\nvmid from=1000 to=1099\n{made}\n{own}\n{common} }}\n")
}

fn vm(number: usize, choices: Choices, age: usize) -> String {
    let mut choice = Choice(choices);
    let (root, data) = (4 + age, 1 + age);
    let root = format!("disk 0 storage=\"local\" size=\"{root}GiB\" discard=#true");
    let data = format!("disk 1 storage=\"slow\" size=\"{data}GiB\" backup=#false ssd=#true");
    let made = if number.is_multiple_of(2) { "clone 901 full=#true" } else { "clone 901" };
    let own = [
        choice.of(&["", "cores 1", "cores 4"]),
        choice.of(&["", "sockets 2"]),
        choice.of(&["", "cpu \"host\"", "cpu \"x86-64-v2-AES\""]),
        choice.of(&["memory \"64MiB\"", "memory \"3GiB\"", ""]),
        choice.of(&["", root.as_str()]),
        choice.of(&["", data.as_str()]),
        choice.of(&["", "agent #true", "agent #false"]),
        choice.of(&[
            "",
            "interface 0 bridge=\"vmbr0\" ip=\"dhcp\" vlan=3",
            "interface 0 bridge=\"vmbr1\" ip=\"10.0.0.9/24\" gateway=\"10.0.0.1\"",
        ]),
        choice.of(&["", "interface 1 bridge=\"vmbr0\" model=\"e1000\" mac=\"bc:24:11:aa:00:0a\" firewall=#true"]),
        choice.of(&[
            "",
            "cloud-init user=\"ann\" { authorized-key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi a+b@c d\" }",
            "cloud-init storage=\"local\"",
        ]),
    ]
    .join("\n");
    let common = common(&mut choice);
    format!("vm \"v{number}\" {{ cluster \"pve\"\nvmid from=2000 to=2099\n{made}\n{own}\n{common} }}\n")
}

/// The fleet file; disks grow with its age.
fn text((containers, vms): &Fleet, age: usize) -> String {
    let each = |all: &[Option<Choices>], one: fn(usize, Choices, usize) -> String| {
        let declared = all.iter().enumerate().filter_map(|(number, choices)| Some(one(number, (*choices)?, age)));
        declared.collect::<String>()
    };
    each(containers, container) + &each(vms, vm)
}

/// Guests of others, some of which look like ours: by their tag, by a copied mark, by their number.
fn others(fake: &Fake, seed: &[u32]) {
    let mut world = fake.world();
    for (index, seed) in seed.iter().enumerate() {
        let vmid = if seed.is_multiple_of(2) { 1000 } else { 2000 } + seed % 90;
        let name = format!("other{index}");
        let copied =
            "<!-- regatta {\"v\":1,\"fleet\":\"shop\",\"guest\":\"c0\",\"vmid\":1,\"origin\":\"x\",\"applied\":{}} -->";
        let tags = ["theirs", "regatta-shop", "regatta-other"][usize::try_from(seed % 3).unwrap()];
        let description = ["hands off\n", copied][usize::try_from(seed / 3 % 2).unwrap()];
        let config = [("memory", "64"), ("tags", tags), ("description", description)];
        let guest = match seed / 7 % 2 {
            0 => Guest::of("pve1", &[&[("hostname", name.as_str())], &config[..]].concat(), seed / 11 % 2 == 0),
            _ => Guest::vm("pve3", &[&[("name", name.as_str())], &config[..]].concat(), seed / 11 % 2 == 0),
        };
        world.guests.entry(vmid).or_insert(guest);
        world.beside.pools.get_mut("lab").unwrap().1.insert(vmid);
        world.beside.firewalls.entry(vmid).or_default().options.insert("enable".into(), "1".into());
    }
}

fn theirs(fake: &Fake, before: &BTreeMap<u32, Guest>) -> BTreeMap<u32, Guest> {
    let world = fake.world();
    before.keys().filter_map(|vmid| Some((*vmid, world.guests.get(vmid)?.clone()))).collect()
}

/// Somebody changes what they can in Proxmox's own pages.
fn meddle(fake: &Fake, others: &BTreeMap<u32, Guest>, seed: Choices) {
    let mut world = fake.world();
    let mut choice = Choice(seed);
    let world = &mut *world;
    let beside = &mut world.beside;
    let ours = world.guests.iter_mut().filter(|(vmid, _)| !others.contains_key(vmid));
    for (vmid, guest) in ours {
        match choice.of(&["", "memory", "tags", "startup", "off", "net0", "name", "pool", "rules", "ha"]) {
            "pool" => beside.join(*vmid, "prod"),
            "rules" => drop(beside.firewalls.get_mut(vmid).and_then(|wall| wall.rules.pop())),
            "ha" => drop(beside.services.remove(vmid)),
            "memory" => drop(guest.config.insert("memory".into(), "77".into())),
            "tags" => drop(guest.config.insert("tags".into(), "somebody;regatta-shop".into())),
            "startup" => drop(guest.config.remove("startup")),
            "off" => guest.power(false),
            "net0" => drop(guest.config.remove("net0")),
            "name" => drop(guest.config.insert(guest.name_key().into(), "renamed".into())),
            _ => {}
        }
    }
}

async fn holds(manner: Manner, first: &Fleet, second: &Fleet, seed: &[u32]) {
    let fake = Fake::of(manner);
    others(&fake, seed);
    let before = fake.world().guests.clone();
    let beside = fake.world().beside.clone();
    let regatta = Regatta::new(&fake);
    let empty: [&str; 0] = [];
    for (age, fleet) in [(0, first), (1, second)] {
        let text = text(fleet, age);
        let wish = desired(&text);
        assert_eq!(regatta.apply(&wish).await, [], "{text}");
        assert_eq!(told(&regatta.plan(&wish).await), empty, "{text}");
        assert_eq!(theirs(&fake, &before), before, "{text}");
        meddle(&fake, &before, seed.first().copied().unwrap_or_default());
        assert_eq!(regatta.apply(&wish).await, [], "{text}");
        assert_eq!(told(&regatta.plan(&wish).await), empty, "{text}");
        let ours = fake.world().guests.values().filter(|guest| guest.is_marked()).count();
        let copies = before.values().filter(|guest| guest.is_marked()).count();
        let declared = fleet.0.iter().chain(&fleet.1).flatten().count();
        assert_eq!(ours - copies, declared, "{text}");
    }
    assert_eq!(regatta.destroy(&desired(&text(second, 1))).await, []);
    assert_eq!(fake.world().guests, before);
    assert_eq!(fake.world().beside, beside);
}

proptest! {
    #![proptest_config(cases(24))]

    /// LESSON 41, PROXMOX C1, C2, C6.
    #[test]
    fn apply_then_plan_is_empty_for_random_fleets_beside_random_guests_of_others(
        first in choices(),
        second in choices(),
        seed in prop::collection::vec(any::<u32>(), 0..6),
        old in any::<bool>(),
    ) {
        let manner = if old { Manner::V8 } else { Manner::V9 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(holds(manner, &first, &second, &seed));
    }
}
