//! A real `docker-registry` on loopback, and what is pushed to it with `umoci` and `skopeo`.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// What it is, and what it runs.
pub(crate) const PROGRAMS: [&str; 3] = ["docker-registry", "skopeo", "umoci"];

/// A registry that serves a directory. It ends with this value.
pub(crate) struct Registry {
    dir: PathBuf,
    pub(crate) port: u16,
    child: Arc<Mutex<Child>>,
}

impl Registry {
    /// Starts one, and waits until it says that it listens.
    pub(crate) fn start(dir: &Path) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Self { dir: dir.to_owned(), port, child: Arc::new(Mutex::new(serve(dir, port))) }
    }

    /// Starts it again on its port, after it died.
    pub(crate) fn restart(&self) {
        let mut child = self.child.lock().unwrap();
        end(&mut child);
        *child = serve(&self.dir, self.port);
    }

    /// Makes an image of these layers with umoci and pushes it with skopeo, under `web:TAG`.
    pub(crate) fn push(&self, tag: &str, layers: &[Vec<u8>]) {
        let layout = self.dir.join("layout");
        if !layout.exists() {
            run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
        }
        let image = format!("{}:{tag}", layout.display());
        run("umoci", &["new", "--image", &image]);
        for layer in layers {
            let file = self.dir.join("layer.tar");
            std::fs::write(&file, layer).unwrap();
            run("umoci", &["raw", "add-layer", "--image", &image, file.to_str().unwrap()]);
        }
        let to = format!("docker://{}", self.reference(tag));
        run("skopeo", &["copy", "--insecure-policy", "--dest-tls-verify=false", &format!("oci:{image}"), &to]);
    }

    /// As a fleet file names an image.
    pub(crate) fn reference(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/web:{tag}", self.port)
    }

    /// The digests of an image's manifest and of its layers: 64 digits each.
    pub(crate) fn digests(&self, tag: &str) -> (String, Vec<String>) {
        let from = format!("docker://{}", self.reference(tag));
        let inspect = |what: &str| run("skopeo", &["inspect", "--tls-verify=false", what, &from]);
        let raw: Value = serde_json::from_slice(&inspect("--raw")).unwrap();
        let digits = |digest: &Value| digest.as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let layers = raw["layers"].as_array().unwrap().iter().map(|layer| digits(&layer["digest"])).collect();
        let digest = run("skopeo", &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &from]);
        (String::from_utf8(digest).unwrap().trim().trim_start_matches("sha256:").to_owned(), layers)
    }

    /// Where the registry keeps a blob.
    pub(crate) fn blob(&self, digits: &str) -> PathBuf {
        self.dir.join("storage/docker/registry/v2/blobs/sha256").join(&digits[..2]).join(digits).join("data")
    }

    /// A second door to it: after so many bytes of one answer, the registry is killed. Gives its port, and the heads of
    /// the requests that went through.
    pub(crate) fn door(&self, killed_after: usize) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), self.port);
        let (requests, child) = (Arc::new(Mutex::new(Vec::new())), self.child.clone());
        let heard = requests.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (heard, child) = (heard.clone(), child.clone());
                let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass_on(&mut from_client, &mut to_server, &heard));
                thread::spawn(move || pass_back(server, client, killed_after, &child));
            }
        });
        (port, requests)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.child.lock().unwrap());
    }
}

fn serve(dir: &Path, port: u16) -> Child {
    let config = dir.join("registry.yml");
    let storage = dir.join("storage");
    let text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
        storage.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("listening on") {
        assert!(log.read_line(&mut said).unwrap() > 0, "the registry does not start: {said}");
    }
    // Read on, so that it never waits for us.
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}

fn end(child: &mut Child) {
    // It may be dead already.
    let _ = child.kill();
    child.wait().unwrap();
}

fn pass_on(client: &mut TcpStream, server: &mut TcpStream, heard: &Mutex<Vec<String>>) {
    let mut piece = [0; 16384];
    while let Ok(count @ 1..) = client.read(&mut piece) {
        heard.lock().unwrap().push(String::from_utf8_lossy(&piece[..count]).into_owned());
        if server.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn pass_back(mut server: TcpStream, mut client: TcpStream, killed_after: usize, child: &Mutex<Child>) {
    let (mut piece, mut passed) = ([0; 16384], 0);
    while let Ok(count @ 1..) = server.read(&mut piece) {
        passed += count;
        if passed > killed_after {
            end(&mut child.lock().unwrap());
            break;
        }
        if client.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Where programs are looked for: Debian keeps those for file systems out of an ordinary user's path.
pub(crate) fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Runs a program that must succeed; gives what it prints.
pub(crate) fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let done = Command::new(program).args(args).env("PATH", path()).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}
