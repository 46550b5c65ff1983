use camino::Utf8Path;

use super::*;
use crate::config::{self, LoadError, Loader};
use crate::resource::{ContentKey, Digest, FileKind, GuestPath, HostEntry, HostInput, HostTree};

/// One file and nothing else.
struct OneFile(&'static str);

impl Loader for OneFile {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        if path == "fleet.kdl" { Ok(self.0.into()) } else { Err(LoadError::Missing) }
    }

    fn list(&mut self, _directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Err(LoadError::Missing)
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        None
    }
}

pub(super) fn fleet(text: &'static str) -> (SourceMap, Fleet) {
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "test", &mut OneFile(text));
    (sources, fleet.unwrap())
}

fn image_key(text: &'static str) -> ContentKey {
    let (sources, fleet) = fleet(text);
    let desired = lower(&fleet, &sources, &Inputs::default()).unwrap().desired;
    match &desired.resources[&Address::vm("a")].resource {
        Resource::Vm(vm) => vm.image.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_is_named_by_what_it_is_built_from() {
    let key = image_key("image \"i\" { debootstrap suite=\"s\" { package \"a\" \"b\"; }; }; vm \"a\" { image \"i\"; }");
    let same = image_key(
        "image \"x\" { size \"2GiB\"; debootstrap suite=\"s\" { package \"b\"; package \"a\" \"udev\"; }; }; vm \"a\" { image \"x\"; }",
    );
    let other = image_key("image \"i\" { debootstrap suite=\"s\" { package \"a\"; }; }; vm \"a\" { image \"i\"; }");
    assert_eq!(key, same);
    assert_ne!(key, other);
}

#[test]
fn only_what_guests_use_is_read_and_built() {
    let (sources, fleet) = fleet(
        "image \"used\" { debootstrap suite=\"s\"; }; image \"unused\" { debootstrap suite=\"s\"; }\n\
         authorized-key file=\"~/k.pub\"; profile \"p\" { file-sync \"~/unused\" to=\"~/u\"; }\n\
         vm \"a\" { image \"used\"; file-sync \"b\" to=\"~/b\"; git-identity from=\"host\"; }",
    );
    let declared_in = fleet.vms["a"].span.source;
    let path = |written: &str| HostPath {
        written: written.into(),
        declared_in,
        include: Default::default(),
        exclude: Default::default(),
        links: Default::default(),
    };
    let paths = BTreeSet::from([path("b"), path("~/k.pub")]);
    assert_eq!(
        requests(&fleet),
        Requests { paths, secrets: BTreeSet::new(), images: BTreeSet::new(), git_identity: true }
    );
    let lowered = lower(&fleet, &sources, &Inputs::default()).unwrap();
    let addresses: Vec<&str> = lowered.desired.resources.keys().map(Address::as_str).collect();
    assert_eq!(addresses, ["authorized-key.a", "image.used", "kernel.default-s", "vm.a"]);
    let codes: Vec<&str> = lowered.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["host::missing", "host::missing", "host::no-git-identity"]);
}

/// LESSON 10: a file keeps its executable bit, what would give it somebody's rights stays here, and that is said.
#[test]
fn special_bits_do_not_cross_over_and_that_is_said() {
    let modes = |text: &'static str| {
        let (sources, fleet) = fleet(text);
        let entry = |kind, mode| HostEntry { kind, mode, size: 0, digest: Some(Digest::of(b"")), text: None };
        let entries = BTreeMap::from([
            (GuestPath::root(), HostEntry { digest: None, ..entry(FileKind::Directory, 0o2755) }),
            (GuestPath::new("run").unwrap(), entry(FileKind::File, 0o755)),
            (GuestPath::new("su").unwrap(), entry(FileKind::File, 0o4755)),
        ]);
        let tree = HostTree { root: "/home/me/t".into(), entries, skipped: vec![] };
        let paths = requests(&fleet).paths.into_iter().map(|path| (path, HostInput::Tree(tree.clone()))).collect();
        let lowered = lower(&fleet, &sources, &Inputs { paths, ..Inputs::default() }).unwrap();
        let warnings: Vec<String> = lowered.warnings.iter().map(|warning| warning.message.clone()).collect();
        match &lowered.desired.resources[&Address::file_sync("a", "~/t")].resource {
            Resource::Files(set) => (set.files.values().map(|file| file.mode).collect::<Vec<_>>(), warnings),
            other => panic!("{other:?}"),
        }
    };
    let dropped = "`~/su` of `~/t` loses its set-user-id, set-group-id or sticky bit".to_owned();
    let image = "image \"i\" { debootstrap suite=\"s\"; }; vm \"a\" { image \"i\"; file-sync \"~/t\" to=\"~/t\"; }";
    assert_eq!(modes(image), (vec![0o755, 0o755, 0o755], vec![dropped]));
    let stated = "image \"i\" { debootstrap suite=\"s\"; }; vm \"a\" { image \"i\"; file-sync \"~/t\" to=\"~/t\" mode=\"0700\"; }";
    assert_eq!(modes(stated), (vec![0o755, 0o700, 0o700], vec![]));
}
