//! The guests of a fleet, one line each.

use serde::Serialize;

use super::layout;
use super::screen::{Screen, Tone};
use super::table::{Cell, table};
use super::{scrub, words};
use crate::config::ByteSize;
use crate::plan::{Action, GuestState, GuestStatus, Held, StoreUsage, Usage};
use crate::resource::cluster::{MountState, NodeHealth};

/// The version of the JSON form.
pub const STATUS_FORMAT_VERSION: u32 = 1;

/// Headings of the table, in the order of [`cells`].
const HEADINGS: [&str; COLUMNS] = ["GUEST", "STATE", "SSH", "CPU", "MEMORY", "DISK", "UP", "DRIFT", "PENDING", "APPLY"];

/// How many there are.
const COLUMNS: usize = 10;

/// The table as text, each line ending in a line break.
pub fn status(guests: &[GuestStatus], screen: Screen) -> String {
    if guests.is_empty() {
        return "No guests.\n".into();
    }
    let text = table(HEADINGS, guests.iter().map(cells), screen);
    let mut lines = text.lines();
    let mut text = lines.next().map(|heading| format!("{heading}\n")).unwrap_or_default();
    for (line, guest) in lines.zip(guests) {
        text.push_str(&format!("{line}\n"));
        for note in guest.note.iter().flat_map(|note| layout::wrap(&scrub::line(note), screen.columns() - 2)) {
            text.push_str(&format!("  {}\n", screen.paint(Tone::Alarm, &note)));
        }
    }
    text
}

fn cells(guest: &GuestStatus) -> [Cell; COLUMNS] {
    let count = |count: usize, tone| match count {
        0 => (Tone::Quiet, "-".to_owned()),
        _ => (tone, count.to_string()),
    };
    let (tone, state) = state(guest.state);
    [
        (Tone::Strong, guest.name.clone()),
        (tone, state.into()),
        match (guest.ssh_host, guest.ssh_port) {
            (Some(host), Some(port)) => (Tone::Plain, format!("{host}:{port}")),
            _ => (Tone::Quiet, "-".into()),
        },
        taken(guest, |usage| format!("{}% of {}", cpu_percent(usage), usage.cpus)),
        taken(guest, |usage| format!("{} of {}", rounded(usage.memory_resident), usage.memory)),
        taken(guest, |usage| rounded(usage.disk)),
        taken(guest, |usage| super::progress::seconds(usage.uptime_s.saturating_mul(1000))),
        count(guest.drift, Tone::Changed),
        count(guest.pending, Tone::Changed),
        match guest.action {
            Action::None => (Tone::Quiet, "-".into()),
            action => (words::tone(action), words::action(action).into()),
        },
    ]
}

/// What a running guest takes.
fn taken(guest: &GuestStatus, show: impl FnOnce(&Usage) -> String) -> Cell {
    guest.usage.as_ref().map_or((Tone::Quiet, "-".into()), |usage| (Tone::Plain, show(usage)))
}

/// Of one processor, on average since it was started.
const fn cpu_percent(usage: &Usage) -> u64 {
    usage.cpu_time_ms / 10 / if usage.uptime_s == 0 { 1 } else { usage.uptime_s }
}

/// Whole mebibytes.
fn rounded(size: ByteSize) -> String {
    format!("{}MiB", size.as_mib())
}

const fn state(state: GuestState) -> (Tone, &'static str) {
    match state {
        GuestState::Absent => (Tone::Quiet, "absent"),
        GuestState::Unfinished => (Tone::Changed, "unfinished"),
        GuestState::Stopped => (Tone::Changed, "stopped"),
        GuestState::Suspended => (Tone::Changed, "suspended"),
        GuestState::Running => (Tone::Added, "running"),
        GuestState::Unknown => (Tone::Alarm, "unknown"),
    }
}

/// What the store takes, as a line below the table.
pub fn store(usage: &StoreUsage, screen: Screen) -> String {
    let held = |held: Held, one: &str| {
        let plural = if held.count == 1 { "" } else { "s" };
        format!("{} {one}{plural} {}", held.count, rounded(held.disk))
    };
    let parts =
        [held(usage.images, "image"), held(usage.kernels, "kernel"), held(usage.downloads, "download")].join(", ");
    format!("{}\n", screen.paint(Tone::Quiet, &format!("store: {parts}")))
}

/// What nodes say of their hardware, a line for each disk and sensor, below the table.
pub fn nodes(all: &[NodeHealth], screen: Screen) -> String {
    let mut text = String::new();
    for health in all {
        let node = format!("{}/{}", health.cluster, health.node);
        for disk in &health.disks {
            let (tone, state) = match disk.healthy {
                Some(true) => (Tone::Added, "healthy"),
                Some(false) => (Tone::Alarm, "failing"),
                None => (Tone::Changed, "not told"),
            };
            let model = disk.model.as_ref().map(|model| scrub::line(model).into_owned());
            let celsius = disk.celsius.map(|celsius| format!("{celsius} °C"));
            let hours = disk.hours.map(|hours| format!("{hours} h"));
            let parts: Vec<String> = [model, celsius, hours].into_iter().flatten().collect();
            text.push_str(&format!("{node}  {}  {}  {}\n", disk.disk, screen.paint(tone, state), parts.join(", ")));
        }
        for (name, value) in &health.sensors {
            text.push_str(&format!("{node}  {}  {}\n", scrub::line(name), scrub::line(value)));
        }
        for mount in &health.mounts {
            let (tone, state) = match mount.state {
                MountState::Mounted => (Tone::Added, "mounted"),
                MountState::Pending => (Tone::Changed, "pending"),
                MountState::Unplugged => (Tone::Changed, "not plugged in"),
                MountState::Refused => (Tone::Alarm, "refused"),
                MountState::Unknown => (Tone::Alarm, "unknown"),
            };
            let note = mount.note.as_ref().map(|note| format!(", {}", scrub::line(note))).unwrap_or_default();
            text.push_str(&format!("{node}  {}  {}  UUID={}{note}\n", mount.at, screen.paint(tone, state), mount.uuid));
        }
        if let Some(note) = &health.note {
            text.push_str(&format!("{node}  {}\n", screen.paint(Tone::Alarm, &scrub::line(note))));
        }
    }
    text
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    fleet: &'a str,
    guests: &'a [GuestStatus],
    #[serde(skip_serializing_if = "<[NodeHealth]>::is_empty")]
    nodes: &'a [NodeHealth],
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreUsage>,
}

/// The guests as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn status_json(
    fleet: &str,
    guests: &[GuestStatus],
    nodes: &[NodeHealth],
    store: Option<StoreUsage>,
) -> serde_json::Result<String> {
    let document = Document { format_version: STATUS_FORMAT_VERSION, fleet, guests, nodes, store };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::{DiskHealth, MountHealth};

    #[test]
    fn the_store_is_told_in_a_line() {
        let held = |count, mib| Held { count, disk: ByteSize::mib(mib) };
        let usage = StoreUsage { images: held(2, 512), kernels: held(1, 60), downloads: Held::default() };
        assert_eq!(store(&usage, Screen::plain(80)), "store: 2 images 512MiB, 1 kernel 60MiB, 0 downloads 0MiB\n");
    }

    #[test]
    fn nodes_tell_of_their_disks_and_sensors() {
        let disk = |disk: &str, healthy| DiskHealth {
            disk: disk.into(),
            model: Some("WDC WD40\x1b".into()),
            healthy,
            celsius: Some(34),
            hours: Some(1200),
        };
        let health = NodeHealth {
            cluster: "pve".into(),
            node: "pve1".into(),
            disks: vec![
                disk("/dev/sda", Some(true)),
                DiskHealth { disk: "/dev/sdb".into(), healthy: Some(false), ..DiskHealth::default() },
            ],
            sensors: vec![("coretemp Core 0".into(), "41".into())],
            mounts: vec![
                MountHealth {
                    at: "/mnt/backup".into(),
                    uuid: "1234-ABCD".into(),
                    state: MountState::Mounted,
                    note: None,
                },
                MountHealth {
                    at: "/mnt/films".into(),
                    uuid: "1234-ABCE".into(),
                    state: MountState::Refused,
                    note: Some("found `\u{1b}`".into()),
                },
            ],
            note: Some("`sensors` is not installed".into()),
        };
        let expected = "pve/pve1  /dev/sda  healthy  WDC WD40\\u{1b}, 34 °C, 1200 h\n\
                        pve/pve1  /dev/sdb  failing  \n\
                        pve/pve1  coretemp Core 0  41\n\
                        pve/pve1  /mnt/backup  mounted  UUID=1234-ABCD\n\
                        pve/pve1  /mnt/films  refused  UUID=1234-ABCE, found `\\u{1b}`\n\
                        pve/pve1  `sensors` is not installed\n";
        assert_eq!(nodes(&[health], Screen::plain(80)), expected);
    }

    #[test]
    fn columns_line_up_and_notes_follow_their_guest() {
        let running = GuestStatus {
            name: "web-1".into(),
            state: GuestState::Running,
            ssh_host: Some([127, 0, 0, 1].into()),
            ssh_port: Some(40_000),
            drift: 2,
            pending: 0,
            action: Action::None,
            note: None,
            usage: Some(Usage {
                cpus: 2,
                cpu_time_ms: 12_000,
                memory: ByteSize::mib(512),
                memory_resident: ByteSize::mib(201),
                disk: ByteSize::mib(34),
                uptime_s: 125,
            }),
        };
        let unknown = GuestStatus {
            name: "db".into(),
            state: GuestState::Unknown,
            ssh_host: None,
            ssh_port: None,
            drift: 0,
            action: Action::Unreadable,
            note: Some("no permission\x07".into()),
            usage: None,
            ..running.clone()
        };
        assert_eq!(
            status(&[running, unknown], Screen::plain(80)),
            "GUEST  STATE    SSH              CPU      MEMORY            DISK   UP      DRIFT  PENDING  APPLY
web-1  running  127.0.0.1:40000  9% of 2  201MiB of 512MiB  34MiB  2m 05s  2      -        -
db     unknown  -                -        -                 -      -       -      -        unreadable
  no permission\\u{7}
"
        );
    }
}
