//! Every exchange that was recorded with genuine servers is decoded as what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regatta::driver::proxmox::ApiError;
use regatta::driver::proxmox::answer::Answer;
use regatta::driver::proxmox::task::{Ended, Upid};
use serde_json::Value;

/// Where the recordings are, when somebody put them beside the project.
pub(crate) fn recordings() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|above| above.join("shared/pve")).find(|at| at.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: no recordings of Proxmox servers at ../shared/pve");
    }
    found
}

pub(crate) fn exchanges(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A recorded answer as it came over the wire.
pub(crate) fn answer(response: &Value) -> Answer {
    let body = match &response["body"] {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        body => serde_json::to_vec(body).unwrap(),
    };
    Answer {
        status: u16::try_from(response["status"].as_u64().unwrap_or_default()).unwrap(),
        reason: response["reason"].as_str().unwrap_or_default().to_owned(),
        body,
    }
}

/// What it was taken for, in a word.
fn class(result: &Result<Value, ApiError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(ApiError::Unauthorized(_)) => "unauthorized",
        Err(ApiError::Forbidden(_)) => "forbidden",
        Err(ApiError::Parameters(_)) => "parameters",
        Err(ApiError::Absent(_)) => "absent",
        Err(ApiError::Taken(_)) => "taken",
        Err(ApiError::Locked(_)) => "locked",
        Err(ApiError::Stale(_)) => "stale",
        Err(ApiError::NoQuorum(_)) => "no-quorum",
        Err(ApiError::NodeDown(_)) => "node-down",
        Err(ApiError::Unknown(_)) => "unknown",
        Err(ApiError::Refused(_)) => "refused",
        Err(ApiError::Garbled(_)) => "garbled",
        Err(ApiError::Unreachable(_) | ApiError::Untrusted(_)) => "no answer",
    }
}

#[test]
fn every_recorded_exchange_is_decoded() {
    let Some(recordings) = recordings() else { return };
    let mut seen = 0;
    for (file, count) in [("pve-8.4.21.jsonl", 540), ("pve-9.2.11.jsonl", 550)] {
        let all = exchanges(&recordings.join(file));
        assert_eq!(all.len(), count, "{file}");
        for exchange in all {
            seen += 1;
            let (id, response) = (exchange["id"].as_str().unwrap_or_default(), &exchange["response"]);
            if response.get("status").is_none_or(Value::is_null) {
                continue;
            }
            let answer = answer(response);
            let result = answer.data();
            let class = class(&result);
            let fits = match answer.status {
                200..=299 => matches!(class, "ok" | "garbled"),
                401 => class == "unauthorized",
                403 => class == "forbidden",
                400 => class == "parameters",
                596..=599 => class == "unknown",
                _ => !matches!(class, "ok" | "garbled" | "no answer"),
            };
            assert!(fits, "{file} {id}: {} {} is `{class}`", answer.status, answer.reason);
            if let Err(error) = &result {
                let told = error.to_string();
                assert!(!told.is_empty() && !told.contains(char::is_control), "{file} {id}: {told:?}");
                assert!(class == "garbled" || answer.reason.is_empty() || told.len() > 3, "{file} {id}: {told}");
            }
            // Only the pages for people, and what is no JSON by its nature, is no answer of the API.
            let url = exchange["request"]["url"].as_str().unwrap_or_default();
            assert!(class != "garbled" || !url.starts_with("/api2/json"), "{file} {id}: {url} gave no data");
        }
    }
    assert_eq!(seen, 1090);
}

#[test]
fn recorded_errors_are_told_apart() {
    let Some(recordings) = recordings() else { return };
    let expected = BTreeMap::from([
        ("no-auth", "unauthorized"),
        ("bad-token", "unauthorized"),
        ("unknown-path", "refused"),
        ("unknown-node", "node-down"),
        ("unknown-ct-config", "absent"),
        ("bad-type", "parameters"),
        ("vmid-taken", "taken"),
        ("put-digest-stale", "stale"),
        ("tf-config-403", "forbidden"),
        ("clone-taken", "taken"),
    ]);
    for file in ["pve-8.4.21.jsonl", "pve-9.2.11.jsonl"] {
        let mut found = 0;
        for exchange in exchanges(&recordings.join(file)) {
            let label = exchange["label"].as_str().unwrap_or_default();
            if let Some(wanted) = expected.get(label) {
                found += 1;
                assert_eq!(class(&answer(&exchange["response"]).data()), *wanted, "{file} {label}");
            }
        }
        assert!(found >= expected.len(), "{file}: {found}");
    }
}

#[test]
fn recorded_tasks_are_followed() {
    let Some(recordings) = recordings() else { return };
    let (mut tasks, mut ended) = (0, BTreeMap::<String, usize>::new());
    for file in ["pve-8.4.21.jsonl", "pve-9.2.11.jsonl"] {
        for exchange in exchanges(&recordings.join(file)) {
            let data = &exchange["response"]["body"]["data"];
            if let Some(name) = data.as_str().filter(|text| text.starts_with("UPID:")) {
                let task = Upid::parse(name).unwrap_or_else(|| panic!("{name}"));
                assert_eq!(task.node(), "pve1");
                tasks += 1;
            }
            if let Some(exit) = data["exitstatus"].as_str() {
                let kind = match Ended::of(exit) {
                    Ended::Ok => "ok",
                    Ended::Warnings(_) => "warnings",
                    Ended::Failed(_) => "failed",
                    Ended::Unknown(_) => "unknown",
                };
                *ended.entry(kind.to_owned()).or_default() += 1;
            }
        }
    }
    assert!(tasks > 100, "{tasks}");
    assert_eq!(ended.keys().map(String::as_str).collect::<Vec<_>>(), ["failed", "ok", "unknown", "warnings"]);
}
