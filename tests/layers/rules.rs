//! What each layer may import: of the crate, of other packages, of the standard library.

use std::collections::BTreeSet;

use crate::paths::{Path, paths, test_only_modules};
use crate::tokens::tokens;

/// The layers from the top, and what each may import besides itself. A layer is a folder of `src`.
const LAYERS: &[(&str, &[&str])] = &[
    ("cli", &["render", "driver", "exec", "plan", "resource", "config", "syntax", "effect"]),
    ("render", &["exec", "plan", "resource", "config", "syntax"]),
    ("driver", &["exec", "plan", "resource", "config", "syntax", "effect"]),
    ("exec", &["plan", "resource", "config", "syntax", "effect::Clock"]),
    ("plan", &["resource", "config", "syntax"]),
    ("resource", &["config", "syntax"]),
    ("config", &["syntax"]),
    ("syntax", &[]),
    ("effect", &[]),
];

/// Layers that are functions of their arguments: same bytes in, same bytes out.
const PURE: &[&str] = &["syntax", "config", "resource", "plan"];

const ANY: &[&str] = &["cli", "render", "driver", "exec", "plan", "resource", "config", "syntax", "effect"];
const IMPURE: &[&str] = &["cli", "driver", "exec", "effect"];
const OUTPUT: &[&str] = &["cli", "render"];
const DISKS: &[&str] = &["driver", "effect"];

/// Layers that work with files: the others get their content or hand it on. The command line has those its user names.
const FILES: &[&str] = &["cli", "driver", "exec", "effect"];

/// Where each package of Cargo.toml is at home. A package that is not listed is at home nowhere.
pub(crate) const HOMES: &[(&str, &[&str])] = &[
    ("anstream", OUTPUT),
    ("anstyle", OUTPUT),
    ("async_trait", IMPURE),
    ("camino", ANY),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("ext4_view", DISKS),
    ("flate2", DISKS),
    ("hmac", &["effect"]),
    ("http_body_util", &["effect"]),
    ("hyper", &["effect"]),
    ("hyper_util", &["effect"]),
    ("jiff", &["cli", "render", "driver", "exec", "effect", "plan", "resource"]),
    ("kdl", &["syntax"]),
    ("lz4_flex", DISKS),
    ("miette", &["cli", "render", "syntax"]),
    ("nix", &["effect"]),
    ("petgraph", &["plan"]),
    ("russh", &["effect"]),
    ("ruzstd", DISKS),
    ("rustix", &["effect"]),
    ("rustls_native_certs", &["effect"]),
    ("serde", ANY),
    ("serde_json", ANY),
    ("sha1", &["effect"]),
    ("sha2", &["driver", "exec", "plan", "resource", "effect"]),
    ("similar", &["render"]),
    ("strsim", &["cli", "config", "syntax"]),
    ("tar", DISKS),
    ("tempfile", DISKS),
    ("terminal_size", &["cli"]),
    ("thiserror", ANY),
    ("tokio", IMPURE),
    ("tokio_rustls", &["effect"]),
    ("tracing", IMPURE),
    ("tracing_subscriber", &["cli"]),
    ("unicode_width", OUTPUT),
    ("url", &["effect"]),
    ("uuid", &["cli", "driver", "exec", "plan", "resource", "effect"]),
];

/// What no pure layer may name, and why; the ends of paths count, so that a type that was imported is caught as well.
const IMPURITIES: &[(&[&str], &str)] = &[
    (&["std", "env"], "depends on the environment"),
    (&["std", "process"], "starts or ends processes"),
    (&["std", "net"], "opens connections (addresses are in `core::net`)"),
    (&["std", "os"], "depends on the machine"),
    (&["std", "io"], "reads or writes"),
    (&["thread", "sleep"], "waits"),
    (&["thread", "spawn"], "outlives its caller (scoped threads do not)"),
    (&["SystemTime"], "reads the clock"),
    (&["Instant"], "reads the clock"),
    (&["Timestamp", "now"], "reads the clock"),
    (&["Zoned", "now"], "reads the clock"),
    (&["Uuid", "now_v7"], "reads the clock"),
    (&["Uuid", "new_v4"], "is random"),
    (&["HashMap"], "has no order (use `BTreeMap`)"),
    (&["HashSet"], "has no order (use `BTreeSet`)"),
    (&["RandomState"], "is random"),
];

/// A file of `src`: its path below `src` and its text.
pub(crate) type Source = (String, String);

/// The layers' names.
pub(crate) fn layer_names() -> BTreeSet<String> {
    LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Everything in these files that the layers forbid, one line each, in the order of the files.
pub(crate) fn violations(sources: &[Source]) -> Vec<String> {
    let test_files = test_files(sources);
    let mut found = Vec::new();
    for (file, text) in sources {
        let module = module_of(file);
        let Some(layer) = module.get(1).filter(|name| layer_names().contains(*name)) else {
            if !matches!(file.as_str(), "lib.rs" | "main.rs") {
                found.push(format!("{file}: stands in no layer"));
            }
            continue;
        };
        let own_test = test_files.contains(file);
        for path in paths(&tokens(text), &module) {
            let in_test = path.in_test || own_test;
            if let Some(complaint) = crate_import(layer, &path).or_else(|| outside_import(layer, &path, in_test)) {
                found.push(format!("{file}:{}: {layer} names `{}`: {complaint}", path.line, path.segments.join("::")));
            }
        }
    }
    found
}

/// `plan/change.rs` is `crate::plan::change`, `plan/mod.rs` is `crate::plan`.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let mut module = vec!["crate".to_owned()];
    module.extend(stem.split('/').filter(|part| *part != "mod").map(str::to_owned));
    module
}

/// Files that are taken in by a `#[cfg(test)] mod NAME;`, and the files of their folders.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in sources {
        for name in test_only_modules(&tokens(text)) {
            let root = module_of(file)[1..].iter().chain([&name]).cloned().collect::<Vec<_>>().join("/");
            found.extend(
                sources
                    .iter()
                    .map(|(other, _)| other)
                    .filter(|other| **other == format!("{root}.rs") || other.starts_with(&format!("{root}/")))
                    .cloned(),
            );
        }
    }
    found
}

/// A complaint about a path into the crate.
fn crate_import(layer: &str, path: &Path) -> Option<String> {
    let inside = match path.segments.first().map(String::as_str) {
        Some("crate" | "regatta") => &path.segments[1..],
        _ => return None,
    };
    let Some(target) = inside.first().filter(|name| layer_names().contains(*name)) else {
        return Some("a path into the crate must name its layer".to_owned());
    };
    let allowed = LAYERS.iter().find(|(name, _)| *name == layer).map_or(&[][..], |(_, allowed)| allowed);
    let named = inside.join("::");
    let fine = target == layer
        || allowed.iter().any(|allowed| named == *allowed || named.starts_with(&format!("{allowed}::")));
    (!fine).then(|| match allowed {
        [] => format!("{layer} imports no other layer"),
        _ => format!("{layer} may import {}", allowed.join(", ")),
    })
}

/// A complaint about a path to a package or the standard library. Tests may do what their code may not.
fn outside_import(layer: &str, path: &Path, in_test: bool) -> Option<String> {
    if in_test {
        return None;
    }
    let first = path.segments.first()?;
    if let Some((_, homes)) = HOMES.iter().find(|(package, _)| package == first)
        && !homes.contains(&layer)
    {
        return Some(format!("the package is at home in {}", homes.join(", ")));
    }
    if path.segments.starts_with(&["std".to_owned(), "fs".to_owned()]) && !FILES.contains(&layer) {
        return Some(format!("files are for {}", FILES.join(", ")));
    }
    if PURE.contains(&layer) {
        let impure = |parts: &[&str]| path.segments.windows(parts.len()).any(|window| window == parts);
        if let Some((_, why)) = IMPURITIES.iter().find(|(parts, _)| impure(parts)) {
            return Some(format!("it {why}, and {layer} is pure"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(sources: &[(&str, &str)]) -> Vec<String> {
        violations(&sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn a_layer_imports_only_what_is_below() {
        assert_eq!(
            complaints(&[
                ("plan/mod.rs", "use crate::exec::Perform;"),
                ("render/text.rs", "fn f(x: crate::driver::Local) {}"),
                ("driver/local.rs", "use crate::{exec::Perform, render::Text};"),
                ("syntax/a/b.rs", "use super::super::super::config::Fleet;"),
                ("effect/ssh.rs", "use crate::resource::Digest;"),
            ]),
            [
                "plan/mod.rs:1: plan names `crate::exec::Perform`: plan may import resource, config, syntax",
                "render/text.rs:1: render names `crate::driver::Local`: render may import exec, plan, resource, config, syntax",
                "driver/local.rs:1: driver names `crate::render::Text`: driver may import exec, plan, resource, config, syntax, effect",
                "syntax/a/b.rs:1: syntax names `crate::config::Fleet`: syntax imports no other layer",
                "effect/ssh.rs:1: effect names `crate::resource::Digest`: effect imports no other layer",
            ]
        );
    }

    #[test]
    fn exec_has_the_clock_and_no_other_effect() {
        assert_eq!(complaints(&[("exec/run.rs", "use crate::effect::Clock;")]), [""; 0]);
        let refused = "exec names `crate::effect::Run`: exec may import plan, resource, config, syntax, effect::Clock";
        assert_eq!(
            complaints(&[("exec/run.rs", "use crate::effect::{Clock, Run};")]),
            [format!("exec/run.rs:1: {refused}")]
        );
        assert_eq!(complaints(&[("exec/run.rs", "use crate::effect;")]).len(), 1);
        assert_eq!(complaints(&[("exec/run.rs", "use crate::effect::*;")]).len(), 1);
    }

    #[test]
    fn a_layer_is_not_hidden_behind_the_crate_root() {
        let found = complaints(&[
            ("plan/a.rs", "use crate as root; use crate::*; use crate::Perform;"),
            ("plan/mod.rs", "use super::*;"),
            ("lib.rs", "pub mod plan;"),
            ("helpers.rs", ""),
        ]);
        assert_eq!(
            found,
            [
                "plan/a.rs:1: plan names `crate`: a path into the crate must name its layer",
                "plan/a.rs:1: plan names `crate::*`: a path into the crate must name its layer",
                "plan/a.rs:1: plan names `crate::Perform`: a path into the crate must name its layer",
                "plan/mod.rs:1: plan names `crate::*`: a path into the crate must name its layer",
                "helpers.rs: stands in no layer",
            ]
        );
    }

    #[test]
    fn a_package_stays_in_its_home() {
        for (package, homes) in HOMES {
            for (layer, _) in LAYERS {
                let found = complaints(&[(&format!("{layer}/a.rs"), &format!("fn f() {{ {package}::g() }}"))]);
                assert_eq!(found.is_empty(), homes.contains(layer), "{package} in {layer}: {found:?}");
            }
        }
        assert_eq!(
            complaints(&[("config/a.rs", "extern crate kdl;")]),
            ["config/a.rs:1: config names `kdl`: the package is at home in syntax"]
        );
    }

    #[test]
    fn pure_layers_do_not_touch_the_world() {
        for (parts, _) in IMPURITIES {
            for (layer, _) in LAYERS {
                let text = format!("use std::x;\nfn f() {{ {}::g() }}", parts.join("::"));
                let found = complaints(&[(&format!("{layer}/a.rs"), &text)]);
                assert_eq!(!found.is_empty(), PURE.contains(layer), "{parts:?} in {layer}: {found:?}");
            }
        }
        assert_eq!(
            complaints(&[("plan/a.rs", "use std::{collections::HashMap, fmt};\n\nuse core::net::Ipv4Addr;")]),
            ["plan/a.rs:1: plan names `std::collections::HashMap`: it has no order (use `BTreeMap`), and plan is pure"]
        );
    }

    #[test]
    fn files_are_for_those_who_work_with_them() {
        for (layer, _) in LAYERS {
            let found = complaints(&[(&format!("{layer}/a.rs"), "use std::{fmt, fs::File};")]);
            assert_eq!(found.is_empty(), FILES.contains(layer), "{layer}: {found:?}");
        }
        assert_eq!(
            complaints(&[("render/a.rs", "fn f() { std::fs::read(\"a\") }")]),
            ["render/a.rs:1: render names `std::fs::read`: files are for cli, driver, exec, effect"]
        );
    }

    #[test]
    fn tests_may_touch_the_world_and_still_know_only_what_is_below() {
        assert_eq!(
            complaints(&[
                (
                    "plan/a.rs",
                    "#[cfg(test)] mod tests { use std::fs; use similar::TextDiff; use crate::exec::Perform; }"
                ),
                ("plan/mod.rs", "#[cfg(test)]\nmod golden;"),
                ("plan/golden.rs", "use std::fs;"),
                ("plan/golden/case.rs", "use std::fs;"),
            ]),
            ["plan/a.rs:1: plan names `crate::exec::Perform`: plan may import resource, config, syntax"]
        );
    }

    #[test]
    fn words_in_comments_and_strings_are_no_imports() {
        let text = "//! [`Perform`](crate::exec::Perform)\n/* kdl::x */ const A: &str = \"std::fs::read\";";
        assert_eq!(complaints(&[("plan/a.rs", text)]), [""; 0]);
    }
}
