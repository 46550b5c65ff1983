//! GitLab's `artifacts:reports:terraform`: three counts that a merge request shows.

use serde::Serialize;

use crate::plan::Plan;

#[derive(Serialize)]
struct Counts {
    create: usize,
    update: usize,
    delete: usize,
}

/// The counts as one line of JSON. What changes its mark counts as updated; what is replaced is both created and deleted, as GitLab's own example counts it.
///
/// # Errors
/// Never: it holds numbers.
pub fn gitlab_report(plan: &Plan) -> serde_json::Result<String> {
    let sum = plan.summary();
    let counts = Counts {
        create: sum.create + sum.replace,
        update: sum.update + sum.adopt + sum.forget,
        delete: sum.destroy + sum.replace,
    };
    serde_json::to_string(&counts).map(|text| text + "\n")
}
