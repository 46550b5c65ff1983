//! Prometheus' text format, for the node exporter's textfile collector.

use crate::exec::{Outcome, Report};
use crate::plan::Drift;

/// What a drift check found, and when (seconds since 1970).
pub fn drift_prometheus(drift: &Drift, checked_at: i64) -> String {
    let fleet = label(&drift.fleet);
    let gauges = [
        ("regatta_drift_attributes", "Attributes that reality moved since they were applied.", drift.attributes()),
        ("regatta_drift_resources", "Resources with drifted attributes.", drift.moved.len()),
        ("regatta_drift_muted_attributes", "Drifted attributes that a rule mutes.", drift.muted),
        ("regatta_unreadable_resources", "Resources that could not be read.", drift.unreadable.len()),
        ("regatta_compared_resources", "Resources that were compared.", drift.compared),
    ];
    let mut text: String =
        gauges.iter().map(|(name, help, value)| gauge(name, help, &fleet, &value.to_string())).collect();
    text.push_str(&gauge(
        "regatta_drift_checked_timestamp_seconds",
        "When drift was last checked.",
        &fleet,
        &checked_at.to_string(),
    ));
    text
}

/// How the last apply ended.
pub fn report_prometheus(report: &Report) -> String {
    let fleet = label(&report.fleet);
    let done = u8::from(report.outcome() == Outcome::Done);
    let counts = report.counts();
    let gauges = [
        ("regatta_apply_success", "Whether the last apply did everything.", done.to_string()),
        ("regatta_apply_steps_done", "Steps the last apply did.", counts.done.to_string()),
        ("regatta_apply_steps_failed", "Steps of the last apply that failed.", counts.failed.to_string()),
        ("regatta_apply_steps_skipped", "Steps of the last apply that were skipped.", counts.skipped.to_string()),
        ("regatta_apply_finished_timestamp_seconds", "When the last apply ended.", ended_at(report).to_string()),
    ];
    gauges.iter().map(|(name, help, value)| gauge(name, help, &fleet, value)).collect()
}

/// Seconds since 1970.
fn ended_at(report: &Report) -> i64 {
    report.started.as_second().saturating_add(i64::try_from(report.elapsed_ms / 1000).unwrap_or(i64::MAX))
}

fn gauge(name: &str, help: &str, fleet: &str, value: &str) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{fleet=\"{fleet}\"}} {value}\n")
}

/// A label's value: backslash, quote and line break are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
