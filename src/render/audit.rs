//! The audit log and approvals, for people and for programs.

use std::fmt::Write as _;

use super::screen::{Screen, Tone};
use super::scrub;
use crate::exec::audit::{AuditEntry, AuditFact};
use crate::plan::gate::approval::Approval;
use crate::plan::gate::{Agreement, Decision, Ground};

/// One line per entry.
pub fn audit(entries: &[AuditEntry], screen: Screen) -> String {
    let mut text = String::new();
    for entry in entries {
        let at = screen.paint(Tone::Quiet, &entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{at}  {}", scrub::line(&words(&entry.fact)));
    }
    text
}

/// As a list of JSON objects, indented.
///
/// # Errors
/// Never: every map key is text.
pub fn audit_json(entries: &[AuditEntry]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(entries)? + "\n")
}

fn words(fact: &AuditFact) -> String {
    match fact {
        AuditFact::Run { run, fleet, caller, steps, .. } => {
            format!("run {run} of fleet `{fleet}` begins: {steps} steps, {caller:?}").to_lowercase()
        }
        AuditFact::Decision { addresses, operation, decision, .. } => {
            let addresses: Vec<&str> = addresses.iter().map(crate::resource::Address::as_str).collect();
            format!("{operation} {}: {}", addresses.join(" "), decided(decision))
        }
        AuditFact::Mutation { step, outcome, .. } => format!("step {} {outcome}", step.0),
        AuditFact::Approval { nonce, principal, verdict, .. } => {
            let (principal, nonce) = (principal.as_deref().unwrap_or("nobody known"), nonce.as_deref().unwrap_or("?"));
            format!("approval {nonce} of {principal}: {verdict}")
        }
        AuditFact::Rotation { decision, .. } => format!("rotate-signers: {}", decided(decision)),
        AuditFact::Act { act, subject, .. } => format!("{act} {subject}"),
        AuditFact::Privileged { command, sudo, .. } => {
            format!("as root{}: {command}", if *sudo { ", through sudo" } else { "" })
        }
        AuditFact::PrivilegedEnded { status, .. } => format!("as root: {status}"),
        AuditFact::Finished { run, outcome } => format!("run {run} ended: {outcome:?}").to_lowercase(),
    }
}

fn decided(decision: &Decision) -> String {
    match decision {
        Decision::Held { need } => format!("held, {need}"),
        Decision::Allowed { ground: Ground::Benign { .. } } => "allowed, it loses nothing".into(),
        Decision::Allowed { ground: Ground::Approved { principals } } => {
            format!("allowed, approved by {}", principals.join(", "))
        }
        Decision::Allowed { ground: Ground::Agreed { agreement } } => match agreement {
            Agreement::Yes => "allowed, agreed by --yes".into(),
            Agreement::Asked => "allowed, agreed at the terminal".into(),
            Agreement::Typed { .. } => "allowed, its name was typed".into(),
            Agreement::YesDestroy { .. } => "allowed, agreed by --yes-destroy".into(),
        },
    }
}

/// What is about to be signed.
pub fn approval(approval: &Approval, screen: Screen) -> String {
    let mut text = format!(
        "\n{} for host {}, until {}:\n",
        screen.paint(Tone::Strong, "Approval"),
        scrub::line(&approval.host),
        approval.expires
    );
    for step in &approval.steps {
        let addresses: Vec<&str> = step.addresses.iter().map(crate::resource::Address::as_str).collect();
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "  {} {}", screen.paint(Tone::Alarm, &step.operation), scrub::line(&addresses.join(" ")));
    }
    text
}

/// Text of others on one line, without what would move a terminal.
pub fn plain_line(text: &str) -> String {
    scrub::line(text).into_owned()
}
