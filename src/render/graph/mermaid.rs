//! Mermaid: the form that forges show as a picture inside markdown.

use super::label;
use crate::plan::{Graph, Op};

/// The graph as a Mermaid flowchart.
pub fn graph_mermaid(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    for step in &graph.steps {
        let lines: Vec<String> = label(step).iter().map(|line| escaped(line)).collect();
        text.push_str(&format!("  s{}[\"{}\"]\n", step.id.0, lines.join("<br/>")));
    }
    for step in &graph.steps {
        for edge in &step.after {
            text.push_str(&format!("  s{} --> s{}\n", edge.step.0, step.id.0));
        }
        for watched in &step.rescues {
            text.push_str(&format!("  s{} -.->|if it fails| s{}\n", watched.0, step.id.0));
        }
    }
    let losing =
        |op: &Op| matches!(op, Op::DestroyGuest { .. } | Op::DestroyClusterGuest { .. } | Op::ReplaceRoot { .. });
    let losing: Vec<String> =
        graph.steps.iter().filter(|step| losing(&step.op)).map(|step| format!("s{}", step.id.0)).collect();
    if !losing.is_empty() {
        text.push_str(&format!("  classDef losing stroke:#c00\n  class {} losing\n", losing.join(",")));
    }
    text
}

/// Labels are HTML with `#code;` entities: whatever could end the quotes or start a tag becomes one.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '<' | '>' | '&' | '#' | '`' => safe.push_str(&format!("#{};", u32::from(c))),
            _ => safe.push(c),
        }
    }
    safe
}
