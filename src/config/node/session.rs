//! `session NAME { … }`: a command that is kept running in a guest.

use std::collections::BTreeMap;

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{Restart, Session, Stdin};
use crate::syntax::{Diagnostic, Node, Spanned, shown};

/// `session "worker" { command "python3" "worker.py"; }`
pub(in crate::config) static SESSION: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What `regatta session` calls it.")],
    properties: &[
        PropertyRule::defaulted(
            "cwd",
            Kind::Text,
            "\"~\"",
            "The working directory in the guest, absolute or below `~/`. It must be there when the session is started.",
        ),
        PropertyRule::defaulted(
            "stdin",
            Kind::Choice(&["none", "pipe"]),
            "\"none\"",
            "`pipe` lets `regatta session attach` type into it.",
        ),
        PropertyRule::defaulted(
            "restart",
            Kind::Choice(&["always", "on-failure", "never"]),
            "\"always\"",
            "Which end is drift, so that the next apply starts it again: every one, all but an exit with 0, or none.",
        ),
    ],
    children: &[ChildRule::once(&COMMAND), ChildRule::any(&ENV), ChildRule::any(&REQUIRE)],
    prioritised: true,
    impact: "live",
    ..NodeRule::new(
        "session",
        "A command that an apply keeps running in the guest, as root. Plans and drift show when it does not run; nothing in \
         the guest starts it again by itself, also not after a restart of the guest. When it changes or is no longer \
         declared, it is ended: `TERM`, and `KILL` ten seconds later.",
    )
};

static COMMAND: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("word", Kind::Content, "The program and its arguments; no shell reads them.")],
    impact: "live",
    ..NodeRule::new("command", "What is run.")
};

static ENV: NodeRule = NodeRule {
    arguments: &[
        ArgumentRule::required("name", Kind::Variable, "Its name."),
        ArgumentRule::required("value", Kind::Content, "Its value. Plans and journals show it."),
    ],
    impact: "live",
    ..NodeRule::new(
        "env",
        "A variable of its environment, besides `HOME`, `PATH` and the like. A secret belongs into a `file` that the command \
         reads.",
    )
};

static REQUIRE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("command", Kind::Text, "Names, or absolute paths.")],
    impact: "live",
    ..NodeRule::new("require", "Commands that the guest must have before it is started.")
};

/// The declaration, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Session> {
    let block = Block::read(node, &SESSION, problems);
    let words = |node: &Node, rule: &'static NodeRule, name: &str, problems: &mut Problems| {
        Block::read(node, rule, problems).texts(name).map(|word| word.value).collect::<Vec<_>>()
    };
    let command = block.children("command").next().map(|node| words(node, &COMMAND, "word", problems));
    let require = block.children("require").flat_map(|node| words(node, &REQUIRE, "command", problems)).collect();
    let mut env = BTreeMap::new();
    for node in block.children("env") {
        let variable = Block::read(node, &ENV, problems);
        let (Some(name), Some(value)) = (variable.text("name"), variable.text("value")) else { continue };
        if env.insert(name.value.clone(), value.value).is_some() {
            let message = format!("the variable `{}` of one session is set twice", shown(&name.value));
            problems.push(
                Diagnostic::error("config::duplicate-name", message, name.span, "set again here")
                    .help("leave one of them"),
            );
        }
    }
    let cwd = block.text("cwd");
    cwd.iter().for_each(|cwd| check_directory(cwd, problems));
    let word = |name: &str| block.text(name).map(|word| word.value);
    Some(Session {
        name: block.text("name")?.value,
        command: command.filter(|words| !words.is_empty())?,
        cwd: cwd.map(|cwd| cwd.value),
        env,
        stdin: if word("stdin").as_deref() == Some("pipe") { Stdin::Pipe } else { Stdin::None },
        require,
        restart: match word("restart").as_deref() {
            Some("on-failure") => Restart::OnFailure,
            Some("never") => Restart::Never,
            _ => Restart::Always,
        },
    })
}

fn check_directory(cwd: &Spanned<String>, problems: &mut Problems) {
    let path = &cwd.value;
    if path != "~" && !path.starts_with("~/") && !path.starts_with('/') || path.contains(char::is_control) {
        let message = format!("found `{}`, expected a directory of the guest, absolute or below `~/`", shown(path));
        problems.push(Diagnostic::error("config::wrong-value", message, cwd.span, "not accepted"));
    }
}
