//! Golden cases of plans on clusters (`tests/golden/clusters/CASE/`): what `applied.kdl` made on the fake is compared with
//! `fleet.kdl`, and the whole text of the plan and its steps are the outputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regatta::render::{Length, PlanView, Screen, graph_text, plan as plan_text};

use crate::fake::Fake;
use crate::fleet::{Regatta, of_file};
use crate::golden_files::{Outputs, check};
use crate::node::Node;

#[test]
fn plans_on_clusters_read_as_they_should() {
    check("clusters", outputs);
}

fn outputs(case: &Path) -> Outputs {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(planned(case))
}

async fn planned(case: &Path) -> Outputs {
    let (fake, file) = (Fake::new(), |name: &str| fs::read_to_string(case.join(name)).ok());
    let wish = of_file(&file("fleet.kdl").unwrap());
    let regatta = Regatta::new(&fake).with_nodes(Node::new(&fake).nodes(&wish));
    if let Some(applied) = file("applied.kdl") {
        assert_eq!(regatta.apply(&of_file(&applied)).await, []);
    }
    let made = regatta.plan(&wish).await;
    let view = PlanView { screen: Screen::plain(100), length: Length::Short, next: "regatta apply", links: None };
    BTreeMap::from([
        ("expected.txt".to_owned(), plan_text(&made, view)),
        ("expected.graph.txt".to_owned(), graph_text(&made.graph)),
    ])
}
