//! A Firecracker that boots nothing: its API socket, its process and its serial line behave as the real one's (v1.16) were
//! seen to.
//!
//! - a socket that is there already ends it at once, and a signal leaves its own behind;
//! - it is configured before the start and not after it, and starts once;
//! - unknown paths, unknown and missing properties, and files that are not there are refused with 400;
//! - memory is saved while it is paused, and loaded by a process to which nothing else was put;
//! - `SendCtrlAltDel` ends it, as a guest's reset does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use serde_json::{Value, json};

/// The name of the test below.
pub(crate) const NAME: &str = "fake::a_fake_firecracker";

/// The fake itself, in a process of its own. It is started with its id and its socket behind two `--skip`s, which the test
/// harness takes for something else.
#[test]
#[ignore = "it is started by other tests"]
fn a_fake_firecracker() {
    let arguments: Vec<String> = std::env::args().collect();
    let skipped: Vec<&String> = arguments.windows(2).filter(|pair| pair[0] == "--skip").map(|pair| &pair[1]).collect();
    let [id, socket] = skipped[..] else { return };
    let listener = match UnixListener::bind(socket) {
        Ok(listener) => listener,
        Err(cause) => {
            eprintln!("Failed to open the API socket at: {socket}. Check that it is not already used: {cause}");
            std::process::exit(1);
        }
    };
    // In a jail, paths are the jail's.
    let root = socket.strip_suffix("/run/api.sock").unwrap_or_default().to_owned();
    let mut machine =
        Fake { id: id.clone(), state: "Not started", put: Vec::new(), log: format!("{socket}.requests"), root };
    for stream in listener.incoming() {
        machine.serve(stream.unwrap());
    }
}

struct Fake {
    id: String,
    state: &'static str,
    put: Vec<String>,
    log: String,
    root: String,
}

/// What may be put, with what it needs and what it may have besides.
const PUTS: [(&str, &[&str], &[&str]); 6] = [
    ("/machine-config", &["vcpu_count", "mem_size_mib"], &["smt", "track_dirty_pages", "huge_pages"]),
    ("/boot-source", &["kernel_image_path"], &["initrd_path", "boot_args"]),
    (
        "/drives/",
        &["drive_id", "is_root_device", "path_on_host"],
        &["is_read_only", "cache_type", "partuuid", "rate_limiter", "io_engine"],
    ),
    ("/network-interfaces/", &["iface_id", "host_dev_name"], &["guest_mac", "mtu"]),
    ("/entropy", &[], &["rate_limiter"]),
    ("/actions", &["action_type"], &[]),
];

impl Fake {
    fn serve(&mut self, mut stream: UnixStream) {
        let Some((method, path, body)) = read(&stream) else { return };
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(&self.log).unwrap();
        writeln!(log, "{}", json!({ "method": method, "path": path, "body": body })).unwrap();
        let answer = self.answer(&method, &path, body.as_ref());
        let (status, text) = match answer {
            Ok(Value::Null) => ("204 No Content", String::new()),
            Ok(value) => ("200 OK", value.to_string()),
            Err(why) => ("400 Bad Request", json!({ "fault_message": why }).to_string()),
        };
        let head = format!("HTTP/1.1 {status}\r\nServer: Firecracker API\r\nConnection: keep-alive\r\n");
        let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len());
        if self.state == "Ended" {
            std::process::exit(0);
        }
    }

    fn answer(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let started = self.state != "Not started";
        match (method, path) {
            ("GET", "/") => Ok(json!({
                "app_name": "Firecracker", "id": self.id, "state": self.state, "vmm_version": "1.16.1",
            })),
            ("PATCH", "/vm") if started => {
                self.state = match body.and_then(|body| body["state"].as_str()) {
                    Some("Paused") => "Paused",
                    Some("Resumed") => "Running",
                    _ => return Err("unknown variant".into()),
                };
                Ok(Value::Null)
            }
            ("PUT", "/snapshot/create") if self.state == "Paused" => {
                for (key, content) in [("snapshot_path", "devices"), ("mem_file_path", "memory")] {
                    let file = body.and_then(|body| body[key].as_str()).ok_or(format!("missing field `{key}`"))?;
                    std::fs::write(file, content).map_err(|error| error.to_string())?;
                }
                Ok(Value::Null)
            }
            ("PUT", "/snapshot/create") => Err("Cannot save a microVM that is not paused.".into()),
            ("PUT", "/snapshot/load") if !started && self.put.is_empty() => self.load(body),
            ("PUT", "/snapshot/load") => Err("Loading a microVM snapshot is not allowed after configuring it.".into()),
            ("PUT", "/actions") => self.act(body.and_then(|body| body["action_type"].as_str()).unwrap_or_default()),
            ("PUT", _) if started => Err("The requested operation is not supported after starting the microVM.".into()),
            ("PUT", _) => self.configure(path, body),
            _ => Err(format!("Invalid request method and/or path: {method} {path}.")),
        }
    }

    /// Takes up what [`Fake::answer`] saved.
    fn load(&mut self, body: Option<&Value>) -> Result<Value, String> {
        let body = body.ok_or("Empty PUT request.")?;
        let (devices, backend) = (&body["snapshot_path"], &body["mem_backend"]);
        for (file, content) in [(devices, "devices"), (&backend["backend_path"], "memory")] {
            let file = file.as_str().ok_or("missing field")?;
            let found = std::fs::read_to_string(file).map_err(|error| format!("{error} {file}"))?;
            if found != content {
                return Err(format!("found `{found}`, expected `{content}`"));
            }
        }
        println!("went on: regatta-init: starting the guest's init");
        self.state = if body["resume_vm"] == true { "Running" } else { "Paused" };
        Ok(Value::Null)
    }

    fn configure(&mut self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let known = PUTS.iter().find(|(known, ..)| *known == path || (known.ends_with('/') && path.starts_with(known)));
        let (_, required, optional) = known.ok_or(format!("Invalid request method and/or path: PUT {path}."))?;
        let body = body.and_then(Value::as_object).ok_or("Empty PUT request.")?;
        if let Some(missing) = required.iter().find(|key| !body.contains_key(**key)) {
            return Err(format!("missing field `{missing}`"));
        }
        if let Some(unknown) =
            body.keys().find(|key| !required.contains(&key.as_str()) && !optional.contains(&key.as_str()))
        {
            return Err(format!("unknown field `{unknown}`"));
        }
        for key in ["kernel_image_path", "initrd_path", "path_on_host"] {
            if let Some(file) = body.get(key).and_then(Value::as_str)
                && !Path::new(&format!("{}{file}", self.root)).is_file()
            {
                return Err(format!("No such file or directory (os error 2) {file}"));
            }
        }
        self.put.push(path.to_owned());
        Ok(Value::Null)
    }

    fn act(&mut self, action: &str) -> Result<Value, String> {
        match (action, self.state) {
            ("InstanceStart", "Not started") => {
                if !self.put.iter().any(|path| path == "/boot-source") {
                    return Err("Cannot start microvm without kernel configuration.".into());
                }
                println!("regatta-init: starting the guest's init");
                self.state = "Running";
                Ok(Value::Null)
            }
            ("InstanceStart", _) => Err("The requested operation is not supported after starting the microVM.".into()),
            ("SendCtrlAltDel", "Running") => {
                println!("reboot: Restarting system");
                self.state = "Ended";
                Ok(Value::Null)
            }
            ("SendCtrlAltDel", "Paused") => Ok(Value::Null),
            _ => Err(format!("unknown variant `{action}`")),
        }
    }
}

/// One request: method, path and body.
fn read(stream: &UnixStream) -> Option<(String, String, Option<Value>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = if body.is_empty() { None } else { Some(serde_json::from_slice(&body).ok()?) };
    Some((method, path, body))
}
