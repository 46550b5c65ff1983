//! A unit of systemd that starts guests when their host does, and stops them before it goes down.

use std::fmt::Write as _;

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
    pub guests: &'a [String],
    /// What the unit is started with: `multi-user.target`, or `default.target` where a user's own systemd reads it.
    pub wanted_by: &'static str,
}

/// Seconds that another apply may take first, and that a unit waits for it.
const WAIT_S: u32 = 300;

/// The unit's text (systemd.service(5)). Guests are told to stop by the unit's own command, and otherwise left alone: they
/// outlive whatever becomes of the unit's processes.
pub fn unit(unit: Unit<'_>) -> String {
    let Unit { program, file, state, fleet, guests, wanted_by } = unit;
    let names: Vec<String> = guests.iter().map(|guest| quoted(guest)).collect();
    let common = format!("{} --file {} --state-dir {}", quoted(program), quoted(file), quoted(state));
    let mut text = String::new();
    let command = |word: &str| format!("{common} {word} --wait {WAIT_S} {}", names.join(" "));
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "# Printed by `regatta autostart`; print it again when the guests change.\n\
         [Unit]\n\
         Description=guests of the regatta fleet {fleet}\n\
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
         WantedBy={wanted_by}\n",
        command("start"),
        command("stop"),
    );
    text
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
        let text = unit(Unit {
            program: "/usr/bin/regatta",
            file: "/home/ada/my \"50%\" $fleet/fleet.kdl",
            state: "/home/ada/.local/state/regatta",
            fleet: "shop",
            guests: &guests,
            wanted_by: "default.target",
        });
        let common = r#""/usr/bin/regatta" --file "/home/ada/my \"50%%\" $$fleet/fleet.kdl" --state-dir "/home/ada/.local/state/regatta""#;
        let expected = format!(
            "# Printed by `regatta autostart`; print it again when the guests change.\n[Unit]\n\
             Description=guests of the regatta fleet shop\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             KillMode=process\nTimeoutStartSec=1800\nTimeoutStopSec=600\n\
             ExecStart={common} start --wait 300 \"web-1\" \"db\"\n\
             ExecStop={common} stop --wait 300 \"web-1\" \"db\"\n\n[Install]\nWantedBy=default.target\n"
        );
        assert_eq!(text, expected);
    }
}
