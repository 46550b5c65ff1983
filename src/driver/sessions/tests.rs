//! Sessions in a real shell with real processes of this machine, in a home of the test's own.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Instant;

use camino::Utf8Path;
use proptest::prelude::*;

use super::*;
use crate::config::{Restart, Stdin};
use crate::effect::testing::{LocalShell, scratch};
use crate::exec::Progress;
use crate::resource::{Reading, SessionSpec, SessionState};

fn name(text: &str) -> SessionName {
    text.parse().unwrap()
}

fn job(text: &str, argv: &[&str]) -> Job {
    Job {
        name: name(text),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        directory: None,
        variables: BTreeMap::new(),
        input: Input::None,
        require: Vec::new(),
        declared: None,
    }
}

async fn status(sessions: &Sessions<'_>, of: &str) -> SessionStatus {
    let all = sessions.list().await.unwrap();
    all.iter().find(|session| session.name.as_str() == of).unwrap().status
}

/// Waits for a session to end, without a fixed time.
async fn ended(sessions: &Sessions<'_>, of: &str) -> SessionStatus {
    let start = Instant::now();
    loop {
        match status(sessions, of).await {
            SessionStatus::Starting | SessionStatus::Running | SessionStatus::Stopping => {}
            status => return status,
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn logs(sessions: &Sessions<'_>, of: &str) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    sessions.logs(&name(of), Until::Ended, &mut out, &mut err).await.unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[tokio::test]
async fn a_session_runs_to_its_end_and_tells_how_it_was() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    assert_eq!(sessions.list().await, Ok(vec![]));
    let script = "printf '%s|%s|%s\\n' \"$PWD\" \"$GREETING\" \"$1\"; cat; echo oh >&2; exit 7";
    let asked = Job {
        directory: Some("/".to_owned()),
        variables: BTreeMap::from([("GREETING".to_owned(), "it's\n\"$HOME\"\\ ".to_owned())]),
        ..job("first", &["sh", "-c", script, "sh", "a  b\n"])
    };
    sessions.start(&asked).await.unwrap();
    assert_eq!(ended(&sessions, "first").await, SessionStatus::Exited(7));
    let expected = ("/|it's\n\"$HOME\"\\ |a  b\n\n".to_owned(), "oh\n".to_owned());
    assert_eq!(logs(&sessions, "first").await, expected);
    let listed = &sessions.list().await.unwrap()[0];
    assert_eq!((listed.stdout, listed.stderr, &listed.command), (23, 3, &asked.argv));
    assert_eq!(sessions.start(&asked).await, Err(SessionError::Exists(name("first"))));
    sessions.remove(&name("first")).await.unwrap();
    assert_eq!(sessions.list().await, Ok(vec![]));
    assert_eq!(sessions.remove(&name("first")).await, Err(SessionError::Missing(name("first"))));
}

#[tokio::test]
async fn what_a_session_needs_is_looked_for_first() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir);
    let sessions = Sessions::behind(&home);
    let nowhere = Job { directory: Some("/no/where".to_owned()), ..job("a", &["true"]) };
    assert_eq!(sessions.start(&nowhere).await, Err(SessionError::WorkingDirectory("/no/where".to_owned())));
    let lacking = Job { require: vec!["sh".to_owned(), "no-such; command".to_owned()], ..job("a", &["true"]) };
    assert_eq!(sessions.start(&lacking).await, Err(SessionError::MissingCommand("no-such; command".to_owned())));
    assert_eq!(sessions.list().await, Ok(vec![]), "nothing is left of what did not start");
    sessions.start(&job("b", &["no-such-command"])).await.unwrap();
    assert_eq!(ended(&sessions, "b").await, SessionStatus::Exited(127));
    assert!(logs(&sessions, "b").await.1.contains("no-such-command"));
}

#[tokio::test]
async fn a_session_is_asked_to_end_and_then_made_to() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir);
    let sessions = Sessions::behind(&home);
    // With a child of its own, which has to go as well.
    sessions.start(&job("polite", &["sh", "-c", "sleep 1000; true"])).await.unwrap();
    assert_eq!(status(&sessions, "polite").await, SessionStatus::Running);
    assert_eq!(sessions.remove(&name("polite")).await, Err(SessionError::Running(name("polite"))));
    sessions.stop(&name("polite"), Ending::Asked, Duration::from_secs(20)).await.unwrap();
    assert_eq!(status(&sessions, "polite").await, SessionStatus::Exited(143));
    sessions
        .start(&job("stubborn", &["sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.1; done"]))
        .await
        .unwrap();
    while sessions.list().await.unwrap().iter().all(|session| session.stdout == 0) {}
    let refused = sessions.stop(&name("stubborn"), Ending::Asked, Duration::from_secs(1)).await;
    assert_eq!(refused, Err(SessionError::StillRunning(name("stubborn"))));
    assert_eq!(status(&sessions, "stubborn").await, SessionStatus::Stopping);
    sessions.stop(&name("stubborn"), Ending::Forced, Duration::from_secs(20)).await.unwrap();
    assert_eq!(status(&sessions, "stubborn").await, SessionStatus::Exited(137));
}

fn note(home: &Utf8Path, session: &str, file: &str, text: &str) {
    std::fs::write(home.join(".regatta/sessions").join(session).join(file), text).unwrap();
}

/// Ends processes of a session, as the kernel would when memory runs out.
fn kill(home: &Utf8Path, session: &str, file: &str) {
    let noted = std::fs::read_to_string(home.join(".regatta/sessions").join(session).join(file)).unwrap();
    let pid = noted.split(' ').next().unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn nothing_is_said_to_run_that_does_not() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    for session in ["restarted", "killed", "unwatched"] {
        sessions.start(&job(session, &["sleep", "1000"])).await.unwrap();
    }
    kill(&dir, "unwatched", "runner");
    assert_eq!(status(&sessions, "unwatched").await, SessionStatus::Running, "its job still runs");
    kill(&dir, "unwatched", "child");
    kill(&dir, "killed", "runner");
    kill(&dir, "killed", "child");
    assert_eq!(ended(&sessions, "unwatched").await, SessionStatus::Failed(Why::Lost));
    assert_eq!(ended(&sessions, "killed").await, SessionStatus::Failed(Why::Lost));
    // Another boot: the same pids are other processes.
    let boot = std::fs::read_to_string(dir.join(".regatta/sessions/restarted/boot")).unwrap();
    note(&dir, "restarted", "boot", "another\n");
    assert_eq!(status(&sessions, "restarted").await, SessionStatus::Failed(Why::Restarted));
    // Its runner writes until it has ended, and the directory goes with this test.
    note(&dir, "restarted", "boot", &boot);
    kill(&dir, "restarted", "child");
    assert_eq!(ended(&sessions, "restarted").await, SessionStatus::Exited(137));
}

#[tokio::test]
async fn a_log_has_a_bound_and_keeps_its_end() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    let flood = "i=0; while [ $i -lt 60 ]; do head -c 1000000 /dev/zero; i=$((i+1)); done; echo end";
    sessions.start(&job("flood", &["sh", "-c", flood])).await.unwrap();
    assert_eq!(ended(&sessions, "flood").await, SessionStatus::Exited(0));
    let listed = &sessions.list().await.unwrap()[0];
    assert!((LOG_LIMIT..3 * LOG_LIMIT).contains(&listed.stdout), "{}", listed.stdout);
    assert!(logs(&sessions, "flood").await.0.ends_with("end\n"));
}

#[tokio::test]
async fn one_at_a_time_is_attached_and_the_input_outlives_them() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    let echo = "while read -r line; do echo \"got $line\"; [ \"$line\" != quit ] || exit 3; done";
    sessions.start(&Job { input: Input::Pipe, ..job("talk", &["sh", "-c", echo]) }).await.unwrap();
    let attach = |input: &'static str| {
        let (home, dir) = (LocalShell::with_home(dir.clone()), dir.clone());
        async move {
            let command = attach_command(&name("talk"), None);
            let argv: Vec<&str> = command.iter().map(String::as_str).collect();
            let output = home.exec(&argv, input.as_bytes(), Duration::from_secs(20)).await.unwrap();
            assert!(!dir.join(".regatta/sessions/talk/attached").exists());
            (output.status, String::from_utf8(output.stderr).unwrap())
        }
    };
    assert_eq!(attach("one\n").await, (Status::Code(0), String::new()));
    assert_eq!(attach("two\n").await, (Status::Code(0), String::new()));
    // Somebody who is attached, and alive: this process.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let born = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    let attached = dir.join(".regatta/sessions/talk/attached");
    std::fs::create_dir(&attached).unwrap();
    std::fs::write(attached.join("by"), format!("{} {born}\n", std::process::id())).unwrap();
    let command = attach_command(&name("talk"), None);
    let argv: Vec<&str> = command.iter().map(String::as_str).collect();
    let refused = home.exec(&argv, b"", Duration::from_secs(20)).await.unwrap();
    assert_eq!((refused.status, &refused.stderr[..]), (Status::Code(65), &b"attached: somebody is\n"[..]));
    std::fs::remove_dir_all(&attached).unwrap();
    assert_eq!(attach("quit\n").await.0, Status::Code(0));
    assert_eq!(ended(&sessions, "talk").await, SessionStatus::Exited(3));
    assert_eq!(logs(&sessions, "talk").await.0, "got one\ngot two\ngot quit\n");
}

/// Seen once: the connection was cut between the command and its input, and the session ran without its words.
#[tokio::test]
async fn a_job_that_was_cut_off_on_its_way_is_not_started() {
    let (_guard, dir) = scratch();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    let whole = job("a", &["sh", "-c", "echo \"$0\" >\"$1\"", "one", dir.join("ran").as_str()]).encoded();
    for length in 0..whole.len() {
        let args = ["start", "a", RUNNER, "1000", "none", "", "{}", ""];
        let output = sessions.call(&args, &whole.as_bytes()[..length], DEADLINE).await.unwrap();
        if whole[length..].trim().is_empty() {
            continue;
        }
        assert_eq!(refusal(&output), Some(("incomplete", "the job did not arrive whole")), "{length}");
        assert_eq!(sessions.list().await, Ok(vec![]), "{length}");
    }
    assert_eq!(std::fs::read_dir(dir.join(".regatta/sessions")).unwrap().count(), 1, "only the whole one");
}

fn declared(name: &str, script: &str, restart: Restart) -> SessionSpec {
    SessionSpec {
        name: name.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: Some("~/app".to_owned()),
        env: BTreeMap::new(),
        stdin: Stdin::None,
        require: Vec::new(),
        restart,
    }
}

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

async fn states(sessions: &Sessions<'_>) -> Vec<(String, SessionState)> {
    let Reading::Present(seen) = seen(sessions).await else { panic!("they cannot be listed") };
    seen.into_iter().map(|(name, session)| (name, session.state)).collect()
}

#[tokio::test]
async fn declared_sessions_are_kept_as_they_are_declared() {
    let (_guard, dir) = scratch();
    std::fs::create_dir(dir.join("app")).unwrap();
    let home = LocalShell::new();
    let sessions = Sessions::behind(&home).in_home(dir.as_str());
    let keep = async |declared: &[SessionSpec], remove: &[&str]| {
        let remove: Vec<String> = remove.iter().map(|name| (*name).to_owned()).collect();
        keep(&sessions, declared, &remove, dir.as_str(), &Silent).await
    };
    let running = |name: &str| (name.to_owned(), SessionState::Running);
    let server = declared("server", "echo \"first $PWD\"; sleep 1000", Restart::Always);
    let once = declared("once", "echo done; exit 3", Restart::Never);
    keep(&[server.clone(), once.clone()], &[]).await.unwrap();
    assert_eq!(ended(&sessions, "once").await, SessionStatus::Exited(3));
    let pids = || std::fs::read_to_string(dir.join(".regatta/sessions/server/child")).unwrap();
    let before = pids();
    // Doing it again changes nothing: neither what runs nor what has ended for good.
    keep(&[server.clone(), once.clone()], &[]).await.unwrap();
    assert_eq!(
        (pids(), states(&sessions).await),
        (before.clone(), vec![("once".into(), SessionState::Exited(3)), running("server")])
    );
    // What ended is started again, and its logs stay.
    sessions.stop(&name("server"), Ending::Asked, Duration::from_secs(20)).await.unwrap();
    keep(std::slice::from_ref(&server), &[]).await.unwrap();
    assert_ne!(pids(), before);
    // What is declared otherwise is ended first; what goes, goes with its logs.
    let other = declared("server", "echo second; sleep 1000", Restart::Always);
    keep(&[other], &["once", "never-was"]).await.unwrap();
    assert_eq!(states(&sessions).await, vec![running("server")]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    sessions.logs(&name("server"), Until::Now, &mut out, &mut err).await.unwrap();
    assert!(!String::from_utf8_lossy(&out).contains("first"), "it is another session");
    keep(&[], &["server"]).await.unwrap();
    assert_eq!(states(&sessions).await, vec![]);
}

#[tokio::test]
async fn a_declared_session_that_is_started_again_leaves_its_logs() {
    let (_guard, dir) = scratch();
    std::fs::create_dir(dir.join("app")).unwrap();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    let spec = declared("job", "echo run >>count; wc -l <count; exit 1", Restart::OnFailure);
    for run in 1..=3 {
        // It may have ended before it is looked at again, which is told.
        let kept = keep(&sessions, std::slice::from_ref(&spec), &[], dir.as_str(), &Silent).await;
        if let Err(failure) = kept {
            assert_eq!(failure.causes, ["session `job` did not stay: exited 1"]);
        }
        assert_eq!(ended(&sessions, "job").await, SessionStatus::Exited(1));
        let last = if run == 1 { String::new() } else { format!("{}\n", run - 1) };
        assert_eq!(logs(&sessions, "job").await.0, format!("{last}{run}\n"));
    }
}

#[tokio::test]
async fn what_was_started_by_hand_is_left_alone() {
    let (_guard, dir) = scratch();
    std::fs::create_dir(dir.join("app")).unwrap();
    let home = LocalShell::with_home(dir.clone());
    let sessions = Sessions::behind(&home);
    sessions.start(&job("mine", &["sleep", "1000"])).await.unwrap();
    let spec = declared("mine", "true", Restart::Always);
    let refused = keep(&sessions, &[spec], &["mine".to_owned()], dir.as_str(), &Silent).await.unwrap_err();
    assert_eq!(refused.causes, ["found a session `mine` that was started by hand"]);
    assert_eq!(status(&sessions, "mine").await, SessionStatus::Running);
    sessions.stop(&name("mine"), Ending::Forced, Duration::from_secs(20)).await.unwrap();
}

#[test]
fn a_garbled_listing_is_no_listing() {
    let line = "a\trunning\t\t12\t3\t4\t\t{\"command\":[\"x\"],\"input\":\"none\"}\n";
    assert_eq!(listing::parse(line.as_bytes()).unwrap().len(), 1);
    for wrong in [
        "a",
        "A\trunning\t\t1\t2\t3\t\t",
        "a\tdancing\t\t1\t2\t3\t\t",
        "a\texited\tx\t1\t2\t3\t\t",
        "a\trunning\t\t1\t\t3\t\t",
    ] {
        assert!(listing::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_name_is_a_directory_of_its_own() {
    for wrong in ["", "..", "a/b", "A", "-a", "a b", &"a".repeat(64)] {
        assert!(wrong.parse::<SessionName>().is_err(), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    /// LESSON 19: whatever the words are, the guest's shell reads them back as they are.
    #[test]
    fn words_survive_the_guests_shell(words in proptest::collection::vec(r#"([ -~]|[\n\t'"\\$`!*?~=#\r]|\PC|[\x01-\x1f]){0,12}"#, 1..6)) {
        let encoded = Job { argv: words.clone(), ..job("a", &[]) }.encoded();
        let read = r#"while read -r kind word; do [ "$kind" = word ] || continue; word=$(printf '%b.' "$word"); printf '%s\0' "${word%.}"; done"#;
        let mut child = std::process::Command::new("sh").args(["-c", read]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), encoded.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        prop_assert_eq!(output.stdout, expected);
    }
}
