//! Disks of a stand-in for a node: `lsblk`, `findmnt`, `mount` and `sed` as far as they are asked for, over a list of mounts and a
//! file of lines. What they print was taken from util-linux 2.38; nothing is mounted anywhere. `real_mount` has the real programs.

/// What a node has plugged in and mounted.
#[derive(Debug, Clone)]
pub(crate) struct Disks {
    /// Device, UUID, and what its disk is plugged in by.
    pub(crate) volumes: Vec<(&'static str, &'static str, &'static str)>,
    /// Where, what, and how.
    pub(crate) mounts: Vec<(String, String, String)>,
    /// Lines of `/etc/fstab`.
    pub(crate) fstab: Vec<String>,
    /// A link, and where it leads to.
    pub(crate) link: Option<(&'static str, &'static str)>,
    /// What mount takes instead of the disk that is asked for.
    pub(crate) taken: Option<&'static str>,
}

/// Exit code, output, and what is said of errors.
pub(crate) type Said = (i32, String, String);

impl Disks {
    /// A node with one disk on USB, and another that a virtual machine's volume has taken the UUID of.
    pub(crate) fn usual() -> Self {
        let volumes = [
            ("/dev/sda3", "0190c2a4-7c3e-7000-8000-0000000000aa", "sata"),
            ("/dev/sdb1", "1234-ABCD", "usb"),
            ("/dev/sdc1", "5678-ABCD", "usb"),
            ("/dev/zd16", "5678-ABCD", ""),
        ];
        let mounts = vec![("/".to_owned(), "/dev/sda3".to_owned(), "rw,relatime".to_owned())];
        Self { volumes: volumes.into(), mounts, fstab: vec!["# nothing yet".to_owned()], link: None, taken: None }
    }

    /// Runs what it is for; `None` is another program's.
    pub(crate) fn run(&mut self, words: &[&str]) -> Option<Said> {
        let fields = ["--json", "--list", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS"];
        match words {
            ["readlink", "--canonicalize-missing", "--", places @ ..] => Some((0, self.lead_to(places), String::new())),
            ["lsblk", "--json", "--output", "PATH,UUID,TRAN"] => Some((0, self.lsblk(), String::new())),
            ["findmnt", "--fstab", rest @ ..] if rest == fields => Some(table(&self.lines())),
            ["findmnt", rest @ ..] if rest == fields => Some(table(&self.mounts)),
            ["/usr/bin/mount", options, source, target] => Some(self.mount(options, source, target)),
            ["/usr/bin/sed", "--in-place", script, "/etc/fstab"] => {
                // Without a last line there is none after which something could be appended.
                if !self.fstab.is_empty() {
                    self.fstab.push(script.strip_prefix("--expression=$a").unwrap().replace(r"\t", "\t"));
                }
                Some((0, String::new(), String::new()))
            }
            _ => None,
        }
    }

    fn lead_to(&self, places: &[&str]) -> String {
        let to = |place: &&str| match self.link {
            Some((link, to)) if link == *place => format!("{to}\n"),
            _ => format!("{place}\n"),
        };
        places.iter().map(to).collect()
    }

    fn lsblk(&self) -> String {
        let disks = self.volumes.iter().map(|(path, uuid, tran)| {
            let disk = path.trim_end_matches(|c: char| c.is_ascii_digit());
            let tran = (!tran.is_empty()).then_some(tran);
            let volume = serde_json::json!({"path": path, "uuid": uuid, "tran": null});
            serde_json::json!({"path": disk, "uuid": null, "tran": tran, "children": [volume]})
        });
        serde_json::json!({"blockdevices": disks.collect::<Vec<_>>()}).to_string()
    }

    fn lines(&self) -> Vec<(String, String, String)> {
        let fields = |line: &String| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            (!line.starts_with('#')).then(|| (words[1].clone(), words[0].clone(), words[3].clone()))
        };
        self.fstab.iter().filter_map(fields).collect()
    }

    fn mount(&mut self, options: &str, source: &str, target: &str) -> Said {
        assert_eq!(options, "--options=nosuid,nodev,X-mount.mkdir=0755");
        let (uuid, at) = (source.strip_prefix("--source=UUID=").unwrap(), target.strip_prefix("--target=").unwrap());
        let Some((path, ..)) = self.volumes.iter().find(|(_, other, _)| *other == uuid) else {
            return (1, String::new(), format!("mount: {at}: can't find UUID={uuid}."));
        };
        let path = self.taken.unwrap_or(path);
        self.mounts.push((at.to_owned(), path.to_owned(), "rw,nosuid,nodev,relatime".to_owned()));
        (0, String::new(), String::new())
    }
}

/// findmnt ends with 1, and prints nothing, where nothing is.
fn table(lines: &[(String, String, String)]) -> Said {
    if lines.is_empty() {
        return (1, String::new(), String::new());
    }
    let lines = lines
        .iter()
        .map(|(target, source, options)| serde_json::json!({"target": target, "source": source, "options": options}));
    (0, serde_json::json!({"filesystems": lines.collect::<Vec<_>>()}).to_string(), String::new())
}
