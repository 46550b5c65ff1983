//! What `doctor` found, for people and machines.

use serde::Serialize;

use super::layout;
use super::screen::{Screen, Tone};
use super::{scrub, words};
use crate::resource::{Finding, Health};

/// The version of the JSON form.
pub const DOCTOR_FORMAT_VERSION: u32 = 1;

/// The findings as text, worst last within what each is about, each line ending in a line break.
pub fn doctor(findings: &[Finding], screen: Screen) -> String {
    let width = findings.iter().map(|finding| layout::columns(&finding.check)).max().unwrap_or(0);
    let mut lines: Vec<String> = Vec::new();
    for finding in findings {
        let (tone, word) = verdict(finding.verdict);
        let check = format!("{}{}", finding.check, " ".repeat(width - layout::columns(&finding.check)));
        let indent = " ".repeat(width + 8);
        let room = screen.columns().saturating_sub(width + 8).max(20);
        let mut found = layout::wrap(&scrub::line(&finding.found), room).into_iter();
        let first = found.next().unwrap_or_default();
        lines.push(format!("{}  {check}  {first}", screen.paint(tone, word)));
        lines.extend(found.map(|line| format!("{indent}{line}")));
        let fix = finding.fix.iter().flat_map(|fix| layout::wrap(&format!("fix: {}", scrub::line(fix)), room));
        lines.extend(fix.map(|line| format!("{indent}{}", screen.paint(Tone::Quiet, &line))));
    }
    let count = |health| findings.iter().filter(|finding| finding.verdict == health).count();
    let (fails, warnings) = (count(Health::Fail), count(Health::Warn));
    lines.push(String::new());
    lines.push(match (fails, warnings) {
        (0, 0) => screen.paint(Tone::Added, "Everything is right."),
        _ => format!("{}, {}.", words::count(fails, "failure"), words::count(warnings, "warning")),
    });
    lines.join("\n") + "\n"
}

const fn verdict(health: Health) -> (Tone, &'static str) {
    match health {
        Health::Pass => (Tone::Added, "pass"),
        Health::Warn => (Tone::Changed, "warn"),
        Health::Fail => (Tone::Alarm, "fail"),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    findings: &'a [Finding],
}

/// The findings as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn doctor_json(findings: &[Finding]) -> serde_json::Result<String> {
    let document = Document { format_version: DOCTOR_FORMAT_VERSION, findings };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_its_verdict_and_its_fix() {
        let findings = [
            Finding::pass("qemu", "QEMU 7.2"),
            Finding::warn("kvm", "cannot open /dev/kvm", "join the group `kvm`\u{1b}[31m"),
        ];
        let text = doctor(&findings, Screen::plain(60));
        let expected = "pass  qemu  QEMU 7.2\n\
                        warn  kvm   cannot open /dev/kvm\n            \
                        fix: join the group `kvm`";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\n\n0 failures, 1 warning.\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
