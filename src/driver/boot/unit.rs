//! The text of a unit of systemd that starts guests when their host does, and stops them before it goes down.

use crate::effect::process;

/// What the unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// Absolute path of this program.
    pub program: &'a str,
    /// Absolute path of the fleet file.
    pub file: &'a str,
    /// Absolute path of the state directory.
    pub state: &'a str,
    /// The fleet's name.
    pub fleet: &'a str,
    /// The guests.
    pub guests: Which<'a>,
    /// Who reads it.
    pub reader: Reader,
}

/// Which guests a unit starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// These.
    Named(&'a [String]),
    /// Those whose records say so when the host starts.
    Marked,
}

/// Whose systemd reads a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The machine's.
    Machine,
    /// A user's own.
    User,
}

impl Reader {
    /// Who reads the units of whom we run as.
    pub fn ours() -> Self {
        if process::user_id() == 0 { Self::Machine } else { Self::User }
    }

    /// The target that starts the unit.
    pub(super) const fn target(self) -> &'static str {
        match self {
            Self::Machine => "multi-user.target",
            Self::User => "default.target",
        }
    }
}

/// Seconds that another apply may take first, and that a unit waits for it.
const WAIT_S: u32 = 300;

impl Unit<'_> {
    /// The unit's text (systemd.service(5)). Guests are told to stop by the unit's own command, and otherwise left alone:
    /// they outlive whatever becomes of the unit's processes.
    pub fn text(&self) -> String {
        let Unit { program, file, state, fleet, guests, reader } = self;
        let (by, which) = match guests {
            Which::Named(names) => {
                let names: Vec<String> = names.iter().map(|guest| quoted(guest)).collect();
                ("Printed by `regatta autostart`; print it again when the guests change", names.join(" "))
            }
            Which::Marked => ("Written by `regatta apply`, for guests with `autostart #true`", "--autostart".into()),
        };
        let common = format!("{} --file {} --state-dir {}", quoted(program), quoted(file), quoted(state));
        let command = |word: &str| format!("{common} {word} --wait {WAIT_S} {which}");
        // A user's systemd cannot wait for units of the machine's.
        let order = match reader {
            Reader::Machine => "Wants=network-online.target\nAfter=network-online.target\n",
            Reader::User => "",
        };
        format!(
            "# {by}.\n\
             [Unit]\n\
             Description=guests of the regatta fleet {fleet}\n\
             {order}\
             \n\
             [Service]\n\
             Type=oneshot\n\
             RemainAfterExit=yes\n\
             KillMode=process\n\
             TimeoutStartSec=1800\n\
             TimeoutStopSec=600\n\
             ExecStart={}\n\
             ExecStop={}\n\
             \n\
             [Install]\n\
             WantedBy={}\n",
            command("start"),
            command("stop"),
            reader.target(),
        )
    }
}

/// One word of a command line: systemd takes `%` for specifiers and `$` for variables, also between quotes.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' | '$' => text.extend([c, c]),
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_unit() {
        let guests = ["web-1".to_owned(), "db".to_owned()];
        let unit = Unit {
            program: "/usr/bin/regatta",
            file: "/home/ada/my \"50%\" $fleet/fleet.kdl",
            state: "/home/ada/.local/state/regatta",
            fleet: "shop",
            guests: Which::Named(&guests),
            reader: Reader::User,
        };
        let common = r#""/usr/bin/regatta" --file "/home/ada/my \"50%%\" $$fleet/fleet.kdl" --state-dir "/home/ada/.local/state/regatta""#;
        let expected = format!(
            "# Printed by `regatta autostart`; print it again when the guests change.\n[Unit]\n\
             Description=guests of the regatta fleet shop\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             KillMode=process\nTimeoutStartSec=1800\nTimeoutStopSec=600\n\
             ExecStart={common} start --wait 300 \"web-1\" \"db\"\n\
             ExecStop={common} stop --wait 300 \"web-1\" \"db\"\n\n[Install]\nWantedBy=default.target\n"
        );
        assert_eq!(unit.text(), expected);
        let marked = Unit { guests: Which::Marked, reader: Reader::Machine, ..unit }.text();
        assert!(
            marked.contains(" start --wait 300 --autostart\n") && marked.ends_with("=multi-user.target\n"),
            "{marked}"
        );
        assert!(marked.contains("\nAfter=network-online.target\n"), "{marked}");
    }
}
