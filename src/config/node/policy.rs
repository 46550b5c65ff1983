//! `policy { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::policy::{Benign, Commits, Demand, Policy, Role, Threshold};
use crate::config::problems::Problems;
use crate::syntax::{Node, Spanned};

const DEMANDS: Kind = Kind::Choice(&["agreement", "name", "approval"]);

/// The operations that may need an approval.
const OPERATIONS: Kind = Kind::Choice(&[
    "write-files",
    "replace-root",
    "restore-root",
    "destroy-guest",
    "protect-guest",
    "delete-snapshot",
    "update-cluster-guest",
    "destroy-cluster-guest",
    "rotate-signers",
    "roll-back-cluster-guest",
    "delete-cluster-snapshot",
    "restart-cluster-guest",
]);

/// `policy { people "name"; pipelines "approval"; signers "allowed_signers"; }`
pub(in crate::config) static POLICY: NodeRule = NodeRule {
    children: &[
        ChildRule::at_most_once(&PEOPLE),
        ChildRule::at_most_once(&PIPELINES),
        ChildRule::at_most_once(&BENIGN),
        ChildRule::at_most_once(&SIGNERS),
        ChildRule::at_most_once(&REVOKED),
        ChildRule::any(&THRESHOLD),
        ChildRule::any(&ROLE),
        ChildRule::at_most_once(&LIFETIME_HOURS),
        ChildRule::at_most_once(&COMMITS),
        ChildRule::at_most_once(&SYSLOG),
        ChildRule::at_most_once(&TRUST_PATHS),
        ChildRule::at_most_once(&TRUST_COMMANDS),
    ],
    default: Some("whoever starts a run agrees to all of it"),
    ..NodeRule::new(
        "policy",
        "Who has to agree before data is lost. The host's own (`/etc/regatta/policy.kdl`) and the one named by `--policy` are \
         merged with it, and each can only make it stricter.",
    )
};

static PEOPLE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "demand",
        DEMANDS,
        "`agreement`: yes to the plan; `name`: the name of what is lost, typed or as `--yes-destroy`; `approval`: signatures.",
    )],
    default: Some("\"name\""),
    ..NodeRule::new("people", "What people at a terminal need for steps that lose data.")
};

static PIPELINES: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("demand", DEMANDS, "As for `people`.")],
    default: Some("\"approval\""),
    ..NodeRule::new("pipelines", "What runs without a terminal need for steps that lose data.")
};

static BENIGN: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "what",
        Kind::Choice(&["proceed", "hold"]),
        "`proceed`: they are done; `hold`: nothing is done.",
    )],
    default: Some("\"proceed\""),
    ..NodeRule::new("benign", "What becomes of steps that lose nothing while others wait for an approval.")
};

static SIGNERS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", Kind::HostPath, "A file of the form of OpenSSH's `allowed_signers`.")],
    ..NodeRule::new(
        "signers",
        "Whose signatures count. The first policy that names them decides; the agent ignores the fleet's.",
    )
};

static REVOKED: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", Kind::HostPath, "A file of public keys, one a line.")],
    ..NodeRule::new("revoked", "Keys whose signatures do not count any more, whatever `signers` says.")
};

static THRESHOLD: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("people", Kind::Integer { min: 1, max: 100 }, "How many.")],
    properties: &[PropertyRule::optional(
        "on",
        Kind::Text,
        "A pattern of addresses, such as `vm.db*`; without, everything.",
    )],
    default: Some("1"),
    ..NodeRule::new(
        "threshold",
        "How many different people have to approve a step that loses data. The largest that applies counts.",
    )
};

static ROLE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "Its name.")],
    properties: &[PropertyRule::defaulted(
        "recovery",
        Kind::Boolean,
        "#false",
        "Its principals approve no step: their keys are kept for replacing those of the others.",
    )],
    children: &[ChildRule::once(&PRINCIPAL), ChildRule::at_most_once(&ON), ChildRule::at_most_once(&OPERATION)],
    ..NodeRule::new("role", "What some signers may approve. Where there is none, every signer may approve everything.")
};

static PRINCIPAL: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("principals", Kind::Word, "As the signers' file names them.")],
    ..NodeRule::new("principal", "Who has the role.")
};

static ON: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("patterns", Kind::Text, "Addresses, with `*`, `**` and `?`.")],
    ..NodeRule::new("on", "On which resources; on all when it is not written.")
};

static OPERATION: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("operations", OPERATIONS, "Such as `destroy-guest`.")],
    ..NodeRule::new("operation", "Which operations; all when it is not written.")
};

static LIFETIME_HOURS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("hours", Kind::Integer { min: 1, max: 8760 }, "How many.")],
    ..NodeRule::new("lifetime-hours", "The longest time that an approval may be in force.")
};

static COMMITS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "which",
        Kind::Choice(&["any", "signed"]),
        "`signed`: those of a signer, for `git`.",
    )],
    default: Some("\"any\""),
    ..NodeRule::new("commits", "Which commits `regatta watch` believes.")
};

static SYSLOG: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("truth", Kind::Boolean, "Whether it does.")],
    default: Some("#false"),
    ..NodeRule::new("syslog", "Whether each line of the audit log goes to syslog as well.")
};

static TRUST_PATHS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("paths", Kind::HostPath, "Absolute paths of directories.")],
    ..NodeRule::new(
        "trust-paths",
        "Directories of the host that a repository may name under `regatta watch`, beside its own. Not in a fleet file.",
    )
};

static TRUST_COMMANDS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("truth", Kind::Boolean, "Whether it may.")],
    default: Some("#false"),
    ..NodeRule::new(
        "trust-commands",
        "Whether a repository may name programs and variables of the host under `regatta watch`. Not in a fleet file.",
    )
};

/// What the node says, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Policy {
    let block = Block::read(node, &POLICY, problems);
    let mut policy = Policy::default();
    for child in block.all_children() {
        match child.name.value.as_str() {
            "people" => policy.people = demand(&Block::read(child, &PEOPLE, problems)),
            "pipelines" => policy.pipelines = demand(&Block::read(child, &PIPELINES, problems)),
            "benign" => policy.benign = Block::read(child, &BENIGN, problems).text("what").map(|text| benign(&text)),
            "signers" => policy.signers = Block::read(child, &SIGNERS, problems).text("path"),
            "revoked" => policy.revoked = Block::read(child, &REVOKED, problems).text("path"),
            "threshold" => policy.thresholds.extend(threshold(&Block::read(child, &THRESHOLD, problems))),
            "role" => policy.roles.extend(role(child, problems)),
            "lifetime-hours" => {
                let hours = Block::read(child, &LIFETIME_HOURS, problems).integer("hours");
                policy.lifetime_hours = hours.map(|hours| hours.value);
            }
            "commits" => {
                let which = Block::read(child, &COMMITS, problems).text("which");
                let signed =
                    |which: Spanned<String>| if which.value == "signed" { Commits::Signed } else { Commits::Any };
                policy.commits = which.map(signed);
            }
            "syslog" => policy.syslog = truth(&Block::read(child, &SYSLOG, problems)),
            "trust-paths" => {
                let paths = Block::read(child, &TRUST_PATHS, problems);
                policy.trust_paths = paths.texts("paths").map(|path| path.value).collect();
            }
            "trust-commands" => policy.trust_commands = truth(&Block::read(child, &TRUST_COMMANDS, problems)),
            _ => {}
        }
    }
    policy
}

fn truth(block: &Block<'_>) -> bool {
    block.boolean("truth").is_some_and(|truth| truth.value)
}

fn demand(block: &Block<'_>) -> Option<Demand> {
    Some(match block.text("demand")?.value.as_str() {
        "agreement" => Demand::Agreement,
        "name" => Demand::Name,
        _ => Demand::Approval,
    })
}

fn benign(text: &Spanned<String>) -> Benign {
    if text.value == "hold" { Benign::Hold } else { Benign::Proceed }
}

fn threshold(block: &Block<'_>) -> Option<Threshold> {
    let count = block.integer("people")?.value;
    Some(Threshold { count, on: block.text("on").map(|on| on.value) })
}

fn role(node: &Node, problems: &mut Problems) -> Option<Role> {
    let block = Block::read(node, &ROLE, problems);
    let mut words = |name: &'static str, rule: &'static NodeRule, key: &str| -> Vec<String> {
        let child = block.all_children().find(|child| child.name.value == name);
        let child = child.map(|child| Block::read(child, rule, problems));
        child.iter().flat_map(|child| child.texts(key)).map(|text| text.value).collect()
    };
    let principals = words("principal", &PRINCIPAL, "principals");
    let (on, operations) = (words("on", &ON, "patterns"), words("operation", &OPERATION, "operations"));
    let name = block.text("name")?.value;
    let is_recovery = block.boolean("recovery").is_some_and(|truth| truth.value);
    Some(Role { name, principals, on, operations, is_recovery })
}
