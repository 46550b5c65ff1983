//! JUnit: every resource is a test case, so that a pipeline's test page shows what is not as declared.

use super::xml::escaped;
use crate::plan::{Action, Change, Drift, Plan};
use crate::render::screen::Screen;
use crate::render::{attributes, diff, scrub, words};

/// Columns of the text inside a failure.
const WIDTH: usize = 120;

/// A plan: changes are failures, what could not be read or is refused is an error.
pub fn plan_junit(plan: &Plan) -> String {
    let mut cases: Vec<Case> = plan.changes.iter().map(case).collect();
    cases.extend(plan.refusals.iter().map(|refusal| Case {
        name: refusal.address.to_string(),
        verdict: Verdict::Error,
        kind: words::rule(refusal.rule).into(),
        text: format!("{}\nhelp: {}", scrub::line(&refusal.message), scrub::line(&refusal.help)),
    }));
    suite(&format!("regatta plan {}", plan.fleet), &cases)
}

/// Drift: what moved is a failure, what could not be read is an error. What is right has no case of its own but is counted.
pub fn drift_junit(drift: &Drift) -> String {
    let mut cases: Vec<Case> = drift.moved.iter().chain(&drift.unreadable).map(case).collect();
    if cases.is_empty() {
        cases.push(Case {
            name: format!("{} resources", drift.compared),
            verdict: Verdict::Passed,
            kind: String::new(),
            text: String::new(),
        });
    }
    suite(&format!("regatta drift {}", drift.fleet), &cases)
}

struct Case {
    name: String,
    verdict: Verdict,
    kind: String,
    text: String,
}

#[derive(PartialEq)]
enum Verdict {
    Passed,
    Failure,
    Error,
}

fn case(change: &Change) -> Case {
    let verdict = match change.action {
        Action::None => Verdict::Passed,
        Action::Unreadable => Verdict::Error,
        Action::Create | Action::Update | Action::Replace | Action::Destroy | Action::Adopt | Action::Forget => {
            Verdict::Failure
        }
    };
    let mut lines: Vec<String> = change.note.iter().map(|note| scrub::line(note).into_owned()).collect();
    attributes::lines(&mut lines, change, diff::Length::Short, Screen::plain(WIDTH));
    Case {
        name: scrub::line(change.address.as_str()).into_owned(),
        verdict,
        kind: format!("{} {}", words::action(change.action), words::reason(change.reason)),
        text: lines.join("\n"),
    }
}

fn suite(name: &str, cases: &[Case]) -> String {
    let count = |verdict: &Verdict| cases.iter().filter(|case| case.verdict == *verdict).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n",
        escaped(name),
        cases.len(),
        count(&Verdict::Failure),
        count(&Verdict::Error)
    );
    for Case { name, verdict, kind, text: body } in cases {
        let class = name.split('.').next().unwrap_or_default();
        let element = match verdict {
            Verdict::Passed => None,
            Verdict::Failure => Some("failure"),
            Verdict::Error => Some("error"),
        };
        let start = format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(class), escaped(name));
        text.push_str(&match element {
            None => format!("{start}/>\n"),
            Some(element) => format!(
                "{start}>\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>\n",
                escaped(kind),
                escaped(body)
            ),
        });
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}
