//! What differs of a guest, attribute by attribute: values, notes, whether it runs, and what waits for a start.

use super::{Attribute, Cause, Impact, Shown};
use crate::plan::Aspect;
use crate::resource::cluster::{ClusterGuestSpec, Difference, ObservedClusterGuest, Power, Restart, Value};

pub(super) fn is_configuration(attribute: &Attribute) -> bool {
    !matches!(attribute.path.as_str(), "state" | "pending")
}

pub(super) fn attribute(
    path: &str,
    before: Option<Value>,
    after: Option<Value>,
    impact: Impact,
    cause: Cause,
) -> Attribute {
    let shown = |value: Option<Value>| value.map_or(Shown::Absent, |value| Shown::plain(&value));
    Attribute {
        path: path.to_owned(),
        aspect: Aspect::Value,
        before: shown(before),
        after: shown(after),
        impact,
        cause,
    }
}

/// Who moved. What was applied lacks what Proxmox adds (MAC addresses, volumes): what it has decides.
pub(super) fn cause(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest, difference: &Difference) -> Cause {
    let disk = difference.path.strip_suffix(" size");
    let path = disk.unwrap_or(&difference.path);
    let Some(applied) = seen.mark.applied.get(path) else {
        // What goes although it was never applied is somebody else's in a list that is ours.
        return if difference.after.is_none() { Cause::Drift } else { Cause::Pending };
    };
    let file_moved = match disk {
        Some(_) => !holds(applied, difference.after.as_ref()),
        None => spec.values.get(path) != Some(applied),
    };
    match (holds(applied, difference.before.as_ref()), file_moved) {
        (_, false) => Cause::Drift,
        (true, true) => Cause::Pending,
        (false, true) => Cause::Both,
    }
}

fn holds(applied: &Value, value: Option<&Value>) -> bool {
    match (applied, value) {
        (Value::Properties(applied), Some(Value::Properties(all))) => {
            applied.iter().all(|(k, v)| all.get(k) == Some(v))
        }
        // The size of a disk.
        (Value::Properties(applied), Some(Value::Text(size))) => applied.get("size") == Some(size),
        (applied, value) => Some(applied) == value,
    }
}

/// The attributes of a guest that does not exist yet.
pub(super) fn anew(spec: &ClusterGuestSpec) -> Vec<Attribute> {
    let text = |path: &str, text: String| attribute(path, None, Some(Value::Text(text)), Impact::None, Cause::Pending);
    let place = if spec.nodes.is_empty() { "any node".to_owned() } else { spec.nodes.join(" or ") };
    let first = [text("cluster", format!("{}, {place}", spec.cluster)), text("made-from", spec.origin.words())];
    let values = spec.values.iter();
    let values = values.map(|(path, value)| attribute(path, None, Some(value.clone()), Impact::None, Cause::Pending));
    let notes = spec.notes.iter().map(|notes| Attribute {
        after: Shown::Text(format!("{notes}\n")),
        ..attribute("notes", None, None, Impact::None, Cause::Pending)
    });
    first.into_iter().chain(values).chain(notes).collect()
}

pub(super) fn notes_differ(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Option<Attribute> {
    let wish = match (&spec.notes, &seen.mark.notes) {
        (Some(notes), _) => notes.as_str(),
        // Ours, and no longer declared.
        (None, Some(applied)) if *applied == seen.notes => "",
        (None, _) => return None,
    };
    if wish == seen.notes {
        return None;
    }
    let cause = Cause::of(seen.mark.notes.as_deref().as_ref(), &wish, &seen.notes.as_str());
    let lines = |text: &str| if text.is_empty() { Shown::Absent } else { Shown::Text(format!("{text}\n")) };
    let (before, after) = (lines(&seen.notes), lines(wish));
    Some(Attribute { before, after, ..attribute("notes", None, None, Impact::None, cause) })
}

pub(super) fn state_differs(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Option<Attribute> {
    let word = |on: bool| Some(Value::Text(if on { "running" } else { "stopped" }.to_owned()));
    let on = seen.power == Power::On;
    let impact = if on { Impact::Restart } else { Impact::None };
    (on != spec.running).then(|| attribute("state", word(on), word(spec.running), impact, Cause::Drift))
}

/// Values that wait for a start, in a guest that may be restarted for them: declared ones, and those that go.
pub(super) fn restart_is_due(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Option<Attribute> {
    let is_ours = |path: &&String| spec.values.contains_key(*path) || !seen.values.contains_key(*path);
    let waiting: Vec<&str> = seen.pending.iter().filter(is_ours).map(String::as_str).collect();
    let due = !waiting.is_empty() && seen.power == Power::On && spec.running && spec.restart != Restart::Never;
    let before = Some(Value::Text(format!("waits for a restart: {}", waiting.join(", "))));
    due.then(|| attribute("pending", before, Some(Value::Text("in force".into())), Impact::Restart, Cause::Pending))
}
