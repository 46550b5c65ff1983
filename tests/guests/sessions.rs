//! Sessions outlive whoever started them: regatta and the connections are killed at random moments, and afterwards
//! every session is listed as it is, with all it wrote.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::houses::Street;

const FLEET: &str = r#"fleet "home"
image "debian" { debootstrap suite="bookworm"; }
vm "a" { image "debian"; }
vm "b" { image "debian"; }
"#;

/// Lines that each job writes to both outputs.
const LINES: usize = 60;

/// Notes its pid in `$1`, counts aloud for some seconds, and notes that it is done.
const JOB: &str = r#"echo $$ >"$1"; i=0
while [ $i -lt "$2" ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); sleep 0.05; done
echo done >>"$1""#;

/// Numbers that differ from run to run: whatever the moments are, the outcome must be right.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        eprintln!("seed {}", now.as_nanos());
        Self(now.as_nanos() as u64 | 1)
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// State and code of each session, by guest and name.
type Listed = BTreeMap<String, (String, Option<i64>)>;

fn listed(street: &Street) -> Listed {
    let done = street.run(&["session", "list", "--format", "json"], "");
    assert_eq!(done.code, 0, "{done:?}");
    let all: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let entry = |one: &serde_json::Value| {
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        (format!("{}/{}", text("guest"), text("name")), (text("state"), one["code"].as_i64()))
    };
    all["sessions"].as_array().unwrap().iter().map(entry).collect()
}

fn start(street: &Street, guest: &str, name: &str) -> Child {
    let truth = street.home(&format!("truth-{guest}-{name}"));
    let lines = LINES.to_string();
    let args =
        ["session", "start", guest, "--name", name, "--", "sh", "-c", JOB, "job", truth.to_str().unwrap(), &lines];
    street.regatta(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the job itself noted: nothing, that it began, that it ended.
fn truth(street: &Street, session: &str) -> usize {
    let noted = std::fs::read_to_string(street.home(&format!("truth-{}", session.replace('/', "-"))));
    noted.map_or(0, |text| text.lines().count())
}

#[test]
fn twenty_sessions_are_listed_truthfully_after_regatta_and_the_network_were_killed() {
    let Some(street) = Street::new(FLEET, &["a", "b"]) else { return };
    let mut moments = Moments::new();
    let mut names = Vec::new();
    for number in 0..20 {
        let (guest, name) = (["a", "b"][number % 2], format!("s{number}"));
        let mut child = start(&street, guest, &name);
        std::thread::sleep(Duration::from_millis(moments.below(600)));
        if moments.below(2) == 0 {
            child.kill().unwrap();
        } else {
            street.cut_connections(guest);
        }
        child.wait().unwrap();
        names.push(format!("{guest}/{name}"));
    }
    // While they run: what is listed as running has begun, and nothing that began is missing.
    let now = listed(&street);
    for name in &names {
        let began = truth(&street, name);
        let state = now.get(name).map(|(state, _)| state.as_str());
        match state {
            None => assert_eq!(began, 0, "{name} runs and is not listed"),
            Some("running" | "exited" | "starting" | "failed") => {}
            state => panic!("{name} is {state:?}"),
        }
    }
    // Logs are followed over connections that are cut as well.
    let deadline = Instant::now() + Duration::from_secs(120);
    let last = loop {
        let now = listed(&street);
        if now.values().all(|(state, _)| state == "exited" || state == "failed") {
            break now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        let running = now.iter().find(|(_, (state, _))| state == "running").map(|(name, _)| name.clone());
        let Some((guest, name)) = running.as_deref().and_then(|name| name.split_once('/')) else { continue };
        let args = ["session", "logs", guest, name, "--follow"];
        let mut follower = street.regatta(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moments.below(300)));
        street.cut_connections(guest);
        follower.kill().unwrap();
        follower.wait().unwrap();
    };
    let mut whole = 0;
    for name in &names {
        let (state, code) = match last.get(name) {
            Some((state, code)) => (state.as_str(), *code),
            None => ("absent", None),
        };
        match (state, truth(&street, name)) {
            ("exited", 2) => {
                assert_eq!(code, Some(0), "{name}");
                let (guest, session) = name.split_once('/').unwrap();
                let logs = street.run(&["session", "logs", guest, session], "");
                let expected = |word: &str| (0..LINES).map(|line| format!("{word} {line}\n")).collect::<String>();
                assert_eq!((logs.stdout, logs.stderr), (expected("out"), expected("err")), "{name}");
                whole += 1;
            }
            // Never reached the guest, or not whole.
            ("absent" | "failed", 0) => {}
            other => panic!("{name} is {other:?}"),
        }
    }
    eprintln!("{whole} of 20 had reached their guest when they were cut off");
}
