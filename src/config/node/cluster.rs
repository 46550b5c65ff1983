//! `cluster NAME { … }`

use super::fence::{self, FENCE};
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{Cluster, ClusterTrust, TokenSource};
use crate::syntax::{Diagnostic, Node, Spanned, shown};

/// `cluster "pve" { endpoint "https://10.0.0.1:8006"; fingerprint "48:EA:…"; token env="PVE_TOKEN" }`
pub(in crate::config) static CLUSTER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[
        ChildRule::any(&ENDPOINT),
        ChildRule::any(&FINGERPRINT),
        ChildRule::at_most_once(&CA),
        ChildRule::at_most_once(&INSECURE),
        ChildRule::once(&TOKEN),
        ChildRule::at_most_once(&FENCE),
    ],
    ..NodeRule::new("cluster", "A Proxmox VE cluster, or a single node of it, that runs guests.")
};

static ENDPOINT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("url", Kind::Url, "Such as `https://10.0.0.1:8006`.")],
    ..NodeRule::new(
        "endpoint",
        "Address of a node's API. With several, the next is asked when one does not answer; at least one is needed.",
    )
};

static FINGERPRINT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated(
        "sha256",
        Kind::Text,
        "64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256` and Proxmox show them.",
    )],
    ..NodeRule::new(
        "fingerprint",
        "Accepts only certificates with one of these SHA-256 fingerprints. Nodes renew theirs: a new one is written \
         beside the old one before.",
    )
};

static CA: NodeRule = NodeRule {
    properties: &[PropertyRule::required("file", Kind::HostPath, "Certificates in PEM form.")],
    ..NodeRule::new("ca", "Accepts only certificates that this authority signed, such as a cluster's own.")
};

static INSECURE: NodeRule = NodeRule::new(
    "insecure",
    "Accepts any certificate: whoever is in between gets the token. Every plan says so. Without it, `ca` and \
     `fingerprint`, the certificate authorities of this machine decide.",
);

static TOKEN: NodeRule = NodeRule {
    properties: &[
        PropertyRule::optional("env", Kind::Text, "Variable of the environment that holds it."),
        PropertyRule::optional("file", Kind::HostPath, "File that holds it, readable by its owner alone."),
    ],
    children: &[ChildRule::at_most_once(&COMMAND)],
    ..NodeRule::new("token", "Where the API token `USER@REALM!NAME=SECRET` comes from: exactly one source.")
};

static COMMAND: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("argument", Kind::Text, "The program and its arguments.")],
    ..NodeRule::new("command", "A command that prints the token.")
};

/// The cluster, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Cluster)> {
    let before = problems.count();
    let block = Block::read(node, &CLUSTER, problems);
    let endpoints: Vec<_> = block
        .children("endpoint")
        .filter_map(|endpoint| Block::read(endpoint, &ENDPOINT, problems).text("url"))
        .collect();
    for endpoint in &endpoints {
        if !endpoint.value.starts_with("https://") {
            let message =
                format!("found `{}`, expected an address that starts with `https://`", shown(&endpoint.value));
            problems.push(Diagnostic::error(
                "config::wrong-value",
                message,
                endpoint.span,
                "the token would be readable",
            ));
        }
    }
    if endpoints.is_empty() && problems.count() == before {
        let message = "`cluster` lacks the node `endpoint`";
        problems.push(Diagnostic::error(
            "config::missing-node",
            message,
            block.head(),
            "expected `endpoint` in its block",
        ));
    }
    let trust = trust(&block, problems);
    let token = block.children("token").filter_map(|token| decode_token(token, problems)).next();
    let fence = block.children(FENCE.name).next().map(|node| fence::decode(node, problems));
    let name = block.text("name")?;
    let cluster = Cluster {
        name: name.value.clone(),
        span: node.span,
        endpoints,
        trust: trust?,
        token: token?,
        fence: fence.unwrap_or_default(),
        declared_in: node.span.source,
    };
    Some((name, cluster))
}

fn trust(block: &Block<'_>, problems: &mut Problems) -> Option<ClusterTrust> {
    let mut accepted = Vec::new();
    for node in block.children("fingerprint") {
        for text in Block::read(node, &FINGERPRINT, problems).texts("sha256") {
            accepted.push(fingerprint(&text, problems)?);
        }
    }
    let authority = block.children("ca").filter_map(|node| Block::read(node, &CA, problems).text("file")).next();
    let insecure = block.children("insecure").next();
    if let Some(node) = insecure {
        Block::read(node, &INSECURE, problems);
    }
    match (accepted.is_empty(), authority, insecure) {
        (true, None, None) => Some(ClusterTrust::System),
        (false, None, None) => Some(ClusterTrust::Fingerprints { accepted }),
        (true, Some(file), None) => Some(ClusterTrust::Authority { file: file.value }),
        (true, None, Some(_)) => Some(ClusterTrust::Nothing),
        _ => {
            let message = "`cluster` takes one of `fingerprint`, `ca` and `insecure`";
            problems.push(Diagnostic::error("config::contradiction", message, block.head(), "more than one of them"));
            None
        }
    }
}

/// A fingerprint as Proxmox writes it.
fn fingerprint(text: &Spanned<String>, problems: &mut Problems) -> Option<String> {
    let digits: Vec<char> = text.value.chars().filter(|c| *c != ':').map(|c| c.to_ascii_uppercase()).collect();
    if digits.len() == 64 && digits.iter().all(char::is_ascii_hexdigit) {
        return Some(digits.chunks(2).map(|pair| pair.iter().collect::<String>()).collect::<Vec<_>>().join(":"));
    }
    let message = format!("found `{}`, expected a SHA-256 fingerprint: 64 hexadecimal digits", shown(&text.value));
    problems.push(Diagnostic::error("config::wrong-value", message, text.span, "not accepted"));
    None
}

fn decode_token(node: &Node, problems: &mut Problems) -> Option<Spanned<TokenSource>> {
    let before = problems.count();
    let block = Block::read(node, &TOKEN, problems);
    let command: Vec<String> = block
        .children("command")
        .flat_map(|node| Block::read(node, &COMMAND, problems).texts("argument").collect::<Vec<_>>())
        .map(|argument| argument.value)
        .collect();
    let source = match (block.text("env"), block.text("file"), command.is_empty()) {
        (Some(name), None, true) => TokenSource::Variable { name: name.value },
        (None, Some(path), true) => TokenSource::File { path: path.value },
        (None, None, false) => TokenSource::Command { argv: command },
        _ => {
            if problems.count() == before && !block.is_uncertain() {
                let message = "`token` takes exactly one of `env=`, `file=` and `command`";
                let problem =
                    Diagnostic::error("config::contradiction", message, block.head(), "not exactly one of them");
                problems.push(problem.help("the token itself never stands in a fleet file"));
            }
            return None;
        }
    };
    Some(Spanned::new(source, node.span))
}
