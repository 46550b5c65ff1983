//! Which changes there can be, as a table of kind × action × impact; and that the golden cases have all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regatta::plan::{Action, Impact, Plan};
use serde_json::Value;

/// What was found: kind, action, impact.
type Cell = (String, String, String);

/// Actions, each with its impacts.
type Actions = &'static [(&'static str, &'static [&'static str])];

/// Every kind with its actions and their impacts. A combination that is not here cannot happen: images and kernels are
/// in a store that nobody uses directly; networks change while their guests run; only guests have a mark of their own, a root disk and a VMM; files belong to a
/// running guest (`live`) or to a stopped one (`none`), and only some can hold somebody else's data or keys.
const TABLE: [(&str, Actions); 10] = [
    ("image", &[("create", &["none"])]),
    ("kernel", &[("create", &["none"])]),
    ("network", &[("create", &["none"]), ("update", &["live"]), ("destroy", &["none"]), ("unreadable", &["none"])]),
    (
        "vm",
        &[
            ("create", &["none"]),
            ("update", &["none", "live", "restart", "data-loss"]),
            ("replace", &["recreate"]),
            ("destroy", &["data-loss"]),
            ("adopt", &["none"]),
            ("forget", &["none"]),
            ("unreadable", &["none"]),
        ],
    ),
    (
        "file-sync",
        &[
            ("create", &["none", "live", "data-loss"]),
            ("update", &["none", "live", "data-loss"]),
            ("destroy", &["none", "live"]),
            ("unreadable", &["none"]),
        ],
    ),
    (
        "file",
        &[
            ("create", &["none", "live"]),
            ("update", &["none", "live", "data-loss"]),
            ("destroy", &["none", "live"]),
            ("unreadable", &["none"]),
        ],
    ),
    (
        "secret",
        &[
            ("create", &["none", "live"]),
            ("update", &["none", "live", "data-loss"]),
            ("destroy", &["none", "live"]),
            ("unreadable", &["none"]),
        ],
    ),
    (
        "session",
        &[
            ("create", &["none", "live"]),
            ("update", &["none", "live"]),
            ("destroy", &["none", "live"]),
            ("unreadable", &["none"]),
        ],
    ),
    ("git-identity", &[("create", &["none", "live"]), ("update", &["none", "live"]), ("unreadable", &["none"])]),
    (
        "authorized-key",
        &[("create", &["none", "live"]), ("update", &["none", "live", "connectivity"]), ("unreadable", &["none"])],
    ),
];

fn table() -> BTreeSet<Cell> {
    let rows = TABLE.iter().flat_map(|(kind, actions)| actions.iter().map(move |row| (kind, row)));
    rows.flat_map(|(kind, (action, impacts))| impacts.iter().map(move |impact| cell(kind, action, impact))).collect()
}

fn cell(kind: &str, action: &str, impact: &str) -> Cell {
    (kind.into(), action.into(), impact.into())
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// The changes of a plan that the table does not have.
pub fn impossible(plan: &Plan) -> Vec<Cell> {
    let changes = plan.changes.iter().filter(|change| change.action != Action::None);
    let cells = changes.map(|change| cell(change.address.kind(), &word(change.action), &word(change.impact)));
    cells.filter(|cell| !table().contains(cell)).collect()
}

/// By cell of the table, the golden cases that have it.
fn golden() -> BTreeMap<Cell, Vec<String>> {
    let mut found: BTreeMap<Cell, Vec<String>> = BTreeMap::new();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan");
    for case in fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()) {
        let plan: Value = serde_json::from_str(&fs::read_to_string(case.join("expected.json")).unwrap()).unwrap();
        for change in plan["changes"].as_array().unwrap() {
            let [kind, action, impact] = ["kind", "action", "impact"].map(|key| change[key].as_str().unwrap());
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            found.entry(cell(kind, action, impact)).or_default().push(name);
        }
    }
    found
}

#[test]
fn golden_cases_have_every_kind_action_and_impact() {
    let (table, golden) = (table(), golden());
    let missing: Vec<&Cell> = table.iter().filter(|cell| !golden.contains_key(*cell)).collect();
    assert!(missing.is_empty(), "no golden case has {missing:#?}");
    let unknown: Vec<_> = golden.iter().filter(|(cell, _)| !table.contains(*cell)).collect();
    assert!(unknown.is_empty(), "the table lacks {unknown:#?}");
    let cases: BTreeSet<&String> = golden.values().flatten().collect();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
}

#[test]
fn the_table_names_every_action_and_impact_there_is() {
    let (mut actions, mut impacts): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    for (_, action, impact) in table() {
        actions.insert(action);
        impacts.insert(impact);
    }
    let all = [
        Action::Create,
        Action::Update,
        Action::Replace,
        Action::Destroy,
        Action::Adopt,
        Action::Forget,
        Action::Unreadable,
    ];
    assert_eq!(actions, all.map(word).into());
    let all = [Impact::None, Impact::Live, Impact::Restart, Impact::Recreate, Impact::Connectivity, Impact::DataLoss];
    assert_eq!(impacts, all.map(word).into());
}
