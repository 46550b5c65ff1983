//! `exec`, `cp`, `ssh-config` and `session`.

use super::houses::{Done, Street, done};

const FLEET: &str = r#"fleet "home"
image "debian" { debootstrap suite="bookworm"; }
vm "web" count=2 {
    image "debian"
    tags "edge"
}
vm "db" { image "debian"; }
"#;

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// LESSON 19: arguments arrive as they are, each guest's exit code comes back.
#[test]
fn exec_runs_in_all_named_guests_and_collects_their_ends() {
    let Some(street) = Street::new(FLEET, &["db", "web-1", "web-2"]) else { return };
    let all = street.run(&["exec", "tag:edge", "d?", "--", "printf", "%s\\n", "it's $HOME", "a  b"], "");
    let said = ["db    │ a  b", "db    │ it's $HOME", "web-1 │ a  b", "web-1 │ it's $HOME", "web-2 │ a  b"];
    assert_eq!((all.code, &lines(&all.stdout)[..5], &*all.stderr), (0, &said[..], ""));

    let port = r#"case "$SSH_CONNECTION" in *" $0") exit 3 ;; esac; echo fine"#;
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(street.guest("web-2").join("record.json")).unwrap()).unwrap();
    let some = street.run(&["exec", "web-*", "--", "sh", "-c", port, &record["ssh_port"].to_string()], "");
    assert_eq!((some.code, &*some.stdout, &*some.stderr), (4, "web-1 │ fine\n", "web-2: exited with 3\n"));

    let one = street.run(&["exec", "db", "--", "sh", "-c", "kill -KILL $$"], "");
    assert_eq!((one.code, &*one.stderr), (137, "db: was ended by signal 9\n"));
    assert_eq!(street.run(&["exec", "db", "--", "sh", "-c", "exit 42"], "").code, 42);
}

#[test]
fn exec_gives_input_only_where_it_is_asked_to() {
    let Some(street) = Street::new(FLEET, &["web-1", "web-2"]) else { return };
    let without = street.run(&["exec", "web-1", "--", "cat"], "unheard\n");
    assert_eq!((without.code, &*without.stdout), (0, ""));
    let with = street.run(&["exec", "--stdin", "web-*", "--", "cat"], "heard\n");
    assert_eq!((with.code, lines(&with.stdout)), (0, vec!["web-1 │ heard", "web-2 │ heard"]));
}

#[test]
fn exec_tells_machines_everything() {
    let Some(mut street) = Street::new(FLEET, &["web-1", "web-2"]) else { return };
    street.stop("web-2");
    let some = street.run(&["exec", "web-*", "--format", "json", "--", "sh", "-c", "echo out; echo err >&2"], "");
    let expected = serde_json::json!({
        "format_version": 1,
        "command": ["sh", "-c", "echo out; echo err >&2"],
        "guests": [
            {"name": "web-1", "outcome": "exited", "code": 0, "signal": null, "error": null, "stdout": "out\n",
             "stderr": "err\n", "truncated": false},
            {"name": "web-2", "outcome": "failed", "code": null, "signal": null,
             "error": "guest `web-2` is stopped", "stdout": "", "stderr": "", "truncated": false},
        ],
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&some.stdout).unwrap(), expected);
    assert_eq!((some.code, &*some.stderr), (4, ""));
}

#[test]
fn exec_has_deadlines_and_refuses_names_of_nobody() {
    let Some(street) = Street::new(FLEET, &["db"]) else { return };
    let late = street.run(&["exec", "db", "--timeout", "1", "--", "sleep", "60"], "");
    assert_eq!((late.code, &*late.stderr), (255, "db: `sleep` did not end within 1s, and may still be running\n"));
    let nobody = street.run(&["exec", "wbe", "db", "--", "true"], "");
    let said = "error: no guest is named `wbe`\n  hint: the fleet has db, web-1, web-2\n";
    assert_eq!((nobody.code, &*nobody.stderr), (64, said));
}

/// LESSON 17: there is no first use, and no other key.
#[test]
fn a_guest_with_another_host_key_is_refused() {
    let Some(street) = Street::new(FLEET, &["db", "web-1"]) else { return };
    let record = street.guest("db").join("record.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let key = |guest: &str| std::fs::read_to_string(street.guest(guest).join("host.pub")).unwrap().trim().to_owned();
    std::fs::write(&record, text.replace(&key("db"), &key("web-1"))).unwrap();
    let print = |guest: &str| {
        let path = street.guest(guest).join("host.pub");
        let listed = done(street.hermetic("ssh-keygen", &["-l", "-f", path.to_str().unwrap()]).output().unwrap());
        listed.stdout.split(' ').nth(1).unwrap().to_owned()
    };
    let refused = street.run(&["exec", "db", "--", "true"], "");
    assert_eq!(refused.code, 255);
    let said = format!("db: the host key is ssh-ed25519 {}, pinned is ssh-ed25519 {}; ", print("db"), print("web-1"));
    assert!(refused.stderr.starts_with(&said) && refused.stderr.contains("regatta repin"), "{}", refused.stderr);
    // Whoever looked at the key can trust it; no other key, of whatever type, is taken for it.
    let other = street.run(&["repin", "db", "SHA256:x"], "");
    assert!(other.code == 1 && other.stderr.contains("pinned is SHA256:"), "{other:?}");
    assert_eq!(street.run(&["repin", "db", &print("db")], "").code, 0);
    assert_eq!(street.run(&["exec", "db", "--", "true"], "").code, 0);
    assert_eq!(street.run(&["ssh", "db", "--", "true"], "").code, 0);
}

#[test]
fn cp_copies_into_a_guest_and_out_of_it() {
    let Some(street) = Street::new(FLEET, &["web-1"]) else { return };
    let far = street.home("far");
    for dir in ["far", "tree/below"] {
        std::fs::create_dir_all(street.home(dir)).unwrap();
    }
    std::fs::write(street.home("tree/below/it's $HOME"), "first\n").unwrap();
    std::fs::write(street.home("a:b"), "second\n").unwrap();
    let there = format!("web-1:{}", far.display());
    let nothing = Done { code: 0, stdout: String::new(), stderr: String::new() };
    let refused = street.run(&["cp", "tree", &there], "");
    assert!(refused.code == 1 && refused.stderr.contains("not a regular file"), "{refused:?}");
    assert_eq!(street.run(&["cp", "-r", "tree", "./a:b", &there], ""), nothing);
    assert_eq!(std::fs::read_to_string(far.join("tree/below/it's $HOME")).unwrap(), "first\n");
    assert_eq!(street.run(&["cp", &format!("{there}/a:b"), "back"], ""), nothing);
    assert_eq!(std::fs::read_to_string(street.home("back")).unwrap(), "second\n");
    assert_eq!(street.run(&["cp", "a", "b"], "").code, 64);
}

/// LESSON 18: plain `ssh`, `scp` and `rsync` know the guests, and the user's configuration is the user's.
#[test]
fn ssh_config_is_included_and_taken_away_again() {
    let Some(street) = Street::new(FLEET, &["web-1", "web-2"]) else { return };
    let printed = street.run(&["ssh-config"], "");
    assert_eq!(printed.stdout.lines().filter(|line| line.starts_with("Host web-")).count(), 2);
    assert!(!street.home(".ssh").exists() && !street.state("fleets/home/ssh_config").exists());

    let users = "Host web-1\n    Port 99\nUserKnownHostsFile /dev/null";
    let config = street.home(".ssh/config");
    std::fs::create_dir(street.home(".ssh")).unwrap();
    std::fs::write(street.home("dotfile"), users).unwrap();
    std::os::unix::fs::symlink("../dotfile", &config).unwrap();
    for _ in 0..2 {
        assert_eq!(street.run(&["ssh-config", "--install"], "").code, 0);
    }
    let with = std::fs::read_to_string(&config).unwrap();
    assert!(with.ends_with(users) && with.matches("Include").count() == 1, "{with}");
    let path = config.to_str().unwrap();
    let ran = done(street.hermetic("ssh", &["-F", path, "web-1.home", "echo", "hello"]).output().unwrap());
    assert_eq!(ran, Done { code: 0, stdout: "hello\n".into(), stderr: String::new() });
    let there = format!("web-2.home:{}", street.home("there").display());
    let copied = done(street.hermetic("scp", &["-q", "-F", path, "dotfile", &there]).output().unwrap());
    assert_eq!(copied, Done { code: 0, stdout: String::new(), stderr: String::new() });
    assert!(street.home("there").exists());

    assert_eq!(street.run(&["ssh-config", "--uninstall"], "").code, 0);
    assert_eq!(std::fs::read_to_string(street.home("dotfile")).unwrap(), users);
    assert!(std::fs::symlink_metadata(&config).unwrap().is_symlink());
    assert!(!street.state("fleets/home/ssh_config").exists());
}

/// What `session list` says about the sessions of a guest: name and state.
fn listed(street: &Street) -> Vec<(String, String)> {
    let done = street.run(&["session", "list", "--format", "json"], "");
    assert_eq!(done.code, 0, "{done:?}");
    let all: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let text = |session: &serde_json::Value, key: &str| session[key].as_str().unwrap().to_owned();
    all["sessions"].as_array().unwrap().iter().map(|one| (text(one, "name"), text(one, "state"))).collect()
}

#[test]
fn a_session_is_started_listed_attached_and_ended() {
    let Some(street) = Street::new(FLEET, &["db", "web-1"]) else { return };
    let ok = |args: &[&str], stdin: &str| {
        let done = street.run(&[&["session"], args].concat(), stdin);
        assert_eq!((done.code, &*done.stderr), (0, ""), "{args:?}");
        done.stdout
    };
    let echo = "echo \"$GREETING\"; while read -r line; do echo \"got $line\"; done";
    let options = ["--name", "talk", "--stdin", "pipe", "--env", "GREETING=it's me", "--require", "sh"];
    assert_eq!(ok(&[&["start", "db"], &options[..], &["--", "sh", "-c", echo]].concat(), ""), "talk\n");
    assert!(ok(&["start", "web-1", "--", "/bin/sleep", "1000"], "").starts_with("sleep-"));
    // The answer has half a second; on a busy machine it may only be in the log.
    assert!(["", "got one\n"].contains(&&*ok(&["attach", "db", "talk"], "one\n")));
    let table = ok(&["list"], "");
    let states: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!((states.len(), &states[1][..]), (3, &["db", "talk", "running"][..]));
    ok(&["stop", "db", "talk"], "");
    assert_eq!(ok(&["logs", "db", "talk", "--follow"], ""), "it's me\ngot one\n");
    assert!(ok(&["show", "db", "talk"], "").contains("state    exited with 143\n"));
    ok(&["rm", "db", "talk"], "");
    let sleeper = listed(&street)[0].0.clone();
    ok(&["kill", "web-1", &sleeper], "");
    assert_eq!(listed(&street), [(sleeper, "exited".to_owned())]);
    let missing = street.run(&["session", "logs", "db", "talk"], "");
    assert_eq!(
        (missing.code, &*missing.stderr),
        (1, "error: the guest has no session `talk`\n  hint: `regatta session list` lists them\n")
    );
    let lacking = street.run(&["session", "start", "db", "--require", "no-such", "--", "true"], "");
    assert_eq!((lacking.code, lacking.stderr.lines().next()), (1, Some("error: the guest has no command `no-such`")));
}
