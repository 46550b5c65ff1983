use camino::Utf8Path;

use super::*;
use crate::config::{self, LoadError, Loader};
use crate::resource::ContentKey;

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

fn fleet(text: &'static str) -> (SourceMap, Fleet) {
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
