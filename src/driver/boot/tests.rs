use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::effect::testing::scratch;
use crate::effect::{CommandError, Output, Status};

/// A systemd that remembers what it was asked.
struct Systemd {
    asked: Mutex<Vec<String>>,
    runs: bool,
    lingers: bool,
}

#[async_trait]
impl Run for Systemd {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let line = command.to_string();
        self.asked.lock().unwrap().push(line.clone());
        let lingers = if self.lingers { "Linger=yes\n" } else { "Linger=no\n" };
        let code = i32::from(!self.runs && !line.starts_with("loginctl"));
        Ok(Output { status: Status::Code(code), stdout: lingers.into(), stderr: Vec::new() })
    }
}

fn unit(folder: &Utf8Path, runs: bool, lingers: bool) -> (Arc<Systemd>, BootUnit) {
    let systemd = Arc::new(Systemd { asked: Mutex::default(), runs, lingers });
    let state = StateDir::new("/state");
    let run = Arc::clone(&systemd) as _;
    let unit = BootUnit::new("shop", "/shop/fleet.kdl", &state, Some(folder.to_owned()), run).unwrap();
    (systemd, BootUnit { reader: Reader::User, ..unit })
}

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

#[tokio::test]
async fn a_unit_is_in_place_when_it_says_what_we_would_write_and_is_linked() {
    let (_guard, dir) = scratch();
    let (systemd, unit) = unit(&dir.join("user"), true, true);
    assert!(!unit.is_in_place().unwrap());
    unit.install(&Silent).await.unwrap();
    assert!(unit.is_in_place().unwrap());
    assert_eq!(*systemd.asked.lock().unwrap(), ["systemctl --user daemon-reload"]);
    let (path, link) = unit.places().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), unit.text);
    std::fs::write(&path, "something else").unwrap();
    assert!(!unit.is_in_place().unwrap(), "another text is drift");
    unit.install(&Silent).await.unwrap();
    std::fs::remove_file(&link).unwrap();
    assert!(!unit.is_in_place().unwrap(), "a unit that nothing starts is drift");
    unit.install(&Silent).await.unwrap();
    assert!(unit.is_in_place().unwrap());
}

#[tokio::test]
async fn a_host_that_would_not_start_guests_says_why() {
    let (_guard, dir) = scratch();
    let message = async |runs, lingers| unit(&dir, runs, lingers).1.obstacle().await.map(|it| it.message);
    assert_eq!(message(true, true).await, None);
    assert!(message(true, false).await.unwrap().ends_with("waits for a login here"));
    // Where systemd runs, what it answers does not matter.
    if !Utf8Path::new(SYSTEMD).exists() {
        assert!(message(false, true).await.unwrap().contains("does not run here"));
    }
}
