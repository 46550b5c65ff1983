//! What people and machines read: diagnostics, plans, reports. The only layer that knows colours. Everything here is
//! a function from values to text; printing is the composition root's work.

mod attributes;
mod audit;
mod commands;
mod diagnostic;
mod diff;
mod doctor;
mod drift;
mod exec;
mod graph;
mod journal;
mod json;
mod layout;
mod link;
mod live;
mod log;
mod pipeline;
mod plan;
mod prefix;
mod progress;
mod run;
mod screen;
mod scrub;
mod sessions;
mod signers;
mod status;
mod store;
mod table;
mod words;

pub use audit::{approval, audit, audit_json, plain_line};
pub use commands::{COMMANDS_FORMAT_VERSION, commands, commands_json};
pub use diagnostic::{DIAGNOSTICS_FORMAT_VERSION, diagnostics, diagnostics_json};
pub use diff::Length;
pub use doctor::{DOCTOR_FORMAT_VERSION, doctor, doctor_json};
pub use drift::{DRIFT_FORMAT_VERSION, drift, drift_json};
pub use exec::{EXEC_FORMAT_VERSION, Ended, Ran, Said, exec_json, exec_summary};
pub use graph::{GRAPH_FORMAT_VERSION, graph_dot, graph_json, graph_mermaid, graph_text};
pub use journal::{journal_json, journal_list, journal_list_json, journal_story};
pub use json::{PLAN_FORMAT_VERSION, plan_json};
pub use live::{LiveProgress, Size};
pub use log::log_json;
pub use pipeline::{
    drift_junit, drift_markdown, drift_prometheus, gitlab_report, plan_junit, plan_markdown, report_prometheus, sarif,
};
pub use plan::{PlanView, plan};
pub use prefix::Prefixes;
pub use progress::ProgressLines;
pub use run::{cut_short, event_line, report_json, report_text};
pub use screen::{Colour, Screen};
pub use scrub::harmless;
pub use sessions::{SESSIONS_FORMAT_VERSION, SessionRow, SessionState, session_story, sessions, sessions_json};
pub use signers::{ListedSigner, signers, signers_json};
pub use status::{STATUS_FORMAT_VERSION, nodes as node_lines, status, status_json, store as store_line};
pub use store::{STORE_FORMAT_VERSION, details as store_details, store, store_json};
