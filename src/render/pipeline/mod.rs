//! What pipelines read: comments on merge requests, test reports, code scanning, metrics. All of it is made from the
//! values that people are shown.

mod gitlab;
mod junit;
mod markdown;
mod prometheus;
mod sarif;
mod xml;

pub use gitlab::gitlab_report;
pub use junit::{drift_junit, plan_junit};
pub use markdown::{drift_markdown, plan_markdown};
pub use prometheus::{drift_prometheus, report_prometheus};
pub use sarif::sarif;
