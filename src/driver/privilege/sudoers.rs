//! sudo's rules, printed from the catalogue, and the proof that they are in force.
//!
//! sudo joins the arguments with spaces before it compares them, so a rule must be right for every splitting of the
//! text that it matches. Every rule here is an exact text, or an anchored regular expression whose variable parts match
//! no space: another splitting only gives the program words that it does not know. sudoers(5), "Command arguments".

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::catalogue::RootCommand;
use super::runner::SUDO;
use super::slot::Slot;
use crate::effect::{Command, Run, Status};
use crate::exec::Failure;

/// The rules for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    user: String,
    fleet: String,
    lines: BTreeSet<String>,
}

impl Rules {
    /// The rules that let a user run these commands.
    ///
    /// # Errors
    /// When the user's name cannot stand in a rule.
    pub fn new(user: &str, fleet: &str, commands: &[RootCommand]) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        let is_name = user.len() <= 32 && user.bytes().all(plain) && !user.is_empty() && !user.starts_with('-');
        if !is_name {
            let found = user.escape_debug();
            return Err(format!("found the user name `{found}`, expected lower-case letters, digits, `_` and `-`"));
        }
        let lines = commands.iter().map(rule).collect();
        Ok(Self { user: user.into(), fleet: fleet.into(), lines })
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# regatta: what `{}` may do as root for the fleet `{}`.", self.user, self.fleet)?;
        writeln!(
            f,
            "# Printed by `regatta sudoers`; needs sudo 1.9.10 or later. Print it again when the fleet changes."
        )?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{} ALL=(root) NOPASSWD: {line}", self.user))
    }
}

/// The part of a rule behind `NOPASSWD:`.
fn rule(command: &RootCommand) -> String {
    let words = command.entry.pattern.split(' ').zip(&command.arguments);
    let variable = |kind: &str, word: &str| Slot::named(kind).and_then(|slot| slot.in_rules(word));
    let program = command.program();
    if words.clone().all(|(kind, word)| variable(kind, word).is_none()) {
        return format!("{program} {}", literal(&command.arguments.join(" ")));
    }
    let parts: Vec<String> = words.map(|(kind, word)| variable(kind, word).unwrap_or_else(|| escaped(word))).collect();
    format!("{program} ^{}$", parts.join(" ").replace(',', "\\,"))
}

/// An exact text: sudoers' own special characters (`,:=\\`, `#`, `!`) and those of fnmatch(3) are escaped.
fn literal(text: &str) -> String {
    let mut rule = String::new();
    for c in text.chars() {
        match c {
            // sudoers takes one pair away, and fnmatch(3) the other.
            '\\' => rule.push_str(r"\\\"),
            ',' | ':' | '=' | '#' | '!' | '*' | '?' | '[' | ']' | '"' => rule.push('\\'),
            _ => {}
        }
        rule.push(c);
    }
    rule
}

/// A word in a POSIX extended regular expression.
fn escaped(word: &str) -> String {
    let mut pattern = String::new();
    for c in word.chars() {
        if matches!(c, '.' | '[' | ']' | '(' | ')' | '{' | '}' | '*' | '+' | '?' | '|' | '^' | '$' | '\\') {
            let _ = write!(pattern, "\\");
        }
        pattern.push(c);
    }
    pattern
}

/// How long sudo may think: it may have to ask a directory service.
const DEADLINE: Duration = Duration::from_secs(20);

/// Those of the commands that sudo would not let us run: asked with `sudo -n -l`, which runs nothing.
///
/// # Errors
/// When sudo is not installed.
pub async fn missing<'a>(run: &dyn Run, commands: &'a [RootCommand]) -> Result<Vec<&'a RootCommand>, Failure> {
    let mut missing = Vec::new();
    for command in commands {
        let asked = Command::new(SUDO).args(["-n", "-l", "--"]).arg(command.program());
        let asked = asked.args(command.arguments.iter().cloned()).deadline(DEADLINE).without_environment();
        if run.run(&asked).await?.status != Status::Code(0) {
            missing.push(command);
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::privilege::admit;

    #[test]
    fn a_rule_is_an_exact_text_or_an_anchored_expression() {
        let link = "rgt0123456789ab";
        let rule = |arguments: &[&str]| rule(&admit("ip", arguments).unwrap()).split_once(' ').unwrap().1.to_owned();
        assert_eq!(rule(&["link", "set", "dev", link, "up"]), "link set dev rgt0123456789ab up");
        assert_eq!(
            rule(&["address", "add", "fd12::1/64", "dev", link, "nodad"]),
            "address add fd12\\:\\:1/64 dev rgt0123456789ab nodad"
        );
        let mark = "regatta:1:shop:lan:0123456789ab:000000000000:000000000000";
        assert_eq!(
            rule(&["link", "set", "dev", link, "alias", mark]),
            "^link set dev rgt0123456789ab alias regatta:1:shop:lan:0123456789ab:[0-9a-f]{12}:[0-9a-f]{12}$"
        );
        assert_eq!(
            rule(&["address", "delete", "10.0.0.1/24", "dev", link]),
            "^address delete [0-9a-f.:]{2\\,39}/[0-9]{1\\,3} dev rgt0123456789ab$"
        );
    }

    #[test]
    fn a_user_name_cannot_bring_rules_of_its_own() {
        assert!(Rules::new("ada_1", "shop", &[]).is_ok());
        for wrong in ["", "-x", "ALL", "%sudo", "#0", "a b", "a,root", "a\nroot ALL=(ALL) ALL", "a=b", "é"] {
            assert!(Rules::new(wrong, "shop", &[]).is_err(), "{wrong:?}");
        }
    }
}
