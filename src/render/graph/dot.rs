//! Graphviz.

use super::label;
use crate::plan::{Graph, Op, Step};

/// The graph for `dot -Tsvg`.
pub fn graph_dot(graph: &Graph) -> String {
    let mut text = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for step in &graph.steps {
        text.push_str(&node(step));
    }
    for step in &graph.steps {
        for edge in &step.after {
            text.push_str(&format!("  s{} -> s{} [tooltip={}];\n", edge.step.0, step.id.0, quoted(&edge.why)));
        }
        for watched in &step.rescues {
            text.push_str(&format!("  s{} -> s{} [style=dashed, tooltip=\"if it fails\"];\n", watched.0, step.id.0));
        }
    }
    text.push_str("}\n");
    text
}

fn node(step: &Step) -> String {
    let lines: Vec<String> = label(step).iter().map(|line| escaped(line)).collect();
    let style = match step.op {
        Op::DestroyGuest { .. } | Op::DestroyClusterGuest { .. } | Op::ReplaceRoot { .. } => ", color=red",
        _ => "",
    };
    format!("  s{} [label=\"{}\"{style}];\n", step.id.0, lines.join("\\n"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Inside double quotes DOT knows only the escaped quote; a backslash would start an escape of the label's own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
