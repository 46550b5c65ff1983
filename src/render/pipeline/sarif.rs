//! SARIF 2.1.0: mistakes in fleet files for code scanning.

use serde_json::{Value, json};

use crate::syntax::{Diagnostic, Label, Severity, SourceMap};

/// All mistakes as a SARIF log with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn sarif(list: &[Diagnostic], sources: &SourceMap, tool_version: &str) -> serde_json::Result<String> {
    let mut rules: Vec<&str> = list.iter().map(|diagnostic| diagnostic.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "regatta",
                "version": tool_version,
                "rules": rules.iter().map(|code| json!({"id": code})).collect::<Vec<_>>(),
            }},
            // Columns count characters, as people do; SARIF's other choice counts UTF-16 units.
            "columnKind": "unicodeCodePoints",
            "results": list.iter().map(|diagnostic| result(diagnostic, sources)).collect::<Vec<_>>(),
        }],
    });
    serde_json::to_string_pretty(&log).map(|text| text + "\n")
}

fn result(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    let text = match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut places = diagnostic.labels.iter().map(|label| location(label, sources));
    let main: Vec<Value> = places.by_ref().take(1).collect();
    json!({
        "ruleId": diagnostic.code,
        "level": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": {"text": text},
        "locations": main,
        "relatedLocations": places.collect::<Vec<_>>(),
    })
}

fn location(label: &Label, sources: &SourceMap) -> Value {
    let start = sources.position(label.span.source, label.span.start);
    let end = sources.position(label.span.source, label.span.end);
    json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(sources.file(label.span.source).path.as_str())},
            "region": {
                "startLine": start.line, "startColumn": start.column,
                "endLine": end.line, "endColumn": end.column,
            },
        },
        "message": {"text": label.text},
    })
}

/// A relative path as a URI reference: everything but plain characters and slashes is percent-encoded.
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::Span;

    #[test]
    fn a_mistake_becomes_a_result_with_its_places() {
        let mut sources = SourceMap::default();
        let source = sources.add("a b.kdl", "ß x\n".into(), None);
        let span = Span { source, start: 3, end: 4 };
        let wrong = Diagnostic::error("config::x", "wrong", span, "here").also(span, "and here").help("mend it");
        let log: Value = serde_json::from_str(&sarif(&[wrong], &sources, "1.0").unwrap()).unwrap();
        let place = |text| {
            json!({
                "physicalLocation": {
                    "artifactLocation": {"uri": "a%20b.kdl"},
                    "region": {"startLine": 1, "startColumn": 3, "endLine": 1, "endColumn": 4},
                },
                "message": {"text": text},
            })
        };
        assert_eq!(
            log["runs"][0]["results"],
            json!([{
                "ruleId": "config::x", "level": "error", "message": {"text": "wrong\nhelp: mend it"},
                "locations": [place("here")], "relatedLocations": [place("and here")],
            }])
        );
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"], json!([{"id": "config::x"}]));
    }
}
