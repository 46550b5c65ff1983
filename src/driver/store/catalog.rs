//! What is in the store, and what each of it was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::Utf8Path;
use serde::de::DeserializeOwned;

use super::{
    Head, Kind, MANIFEST, MANIFEST_LIMIT, Manifest, Store, allocated, entries, manifest_head, seal, storage_failure,
};
use crate::config::ByteSize;
use crate::effect::files::read_bounded;
use crate::effect::paths;
use crate::exec::Failure;
use crate::resource::{ContentKey, Recipe, Stored};

impl Store {
    /// Everything that is built: images, then kernels, by name. `users` are the guests that need each.
    ///
    /// # Errors
    /// When the store cannot be read, or something in it was written in a form that this version does not know.
    pub fn catalog(&self, users: &BTreeMap<ContentKey, BTreeSet<String>>) -> Result<Vec<Stored>, Failure> {
        let fail = |cause: io::Error| storage_failure(&format!("cannot read `{}`", self.root), &cause);
        let mut catalog = Vec::new();
        for kind in [Kind::Image, Kind::Kernel] {
            let mut stored = Vec::new();
            for folder in entries(&self.root.join(kind.folder())).map_err(fail)? {
                // What is not complete is none of ours, or cleared by the next build.
                let Some(Head { key, seals, .. }) = manifest_head(&folder) else { continue };
                let mut one = describe(kind, &folder)?;
                one.unbroken = seal::unbroken(&folder, &seals).map_err(fail)?;
                one.used_by = users.get(&key).cloned().unwrap_or_default();
                stored.push(one);
            }
            stored.sort_by(|a, b| (a.recipe.name(), a.age_s).cmp(&(b.recipe.name(), b.age_s)));
            catalog.extend(stored);
        }
        Ok(catalog)
    }
}

fn describe(kind: Kind, folder: &Utf8Path) -> Result<Stored, Failure> {
    let disk = allocated(folder).map_err(|cause| storage_failure(&format!("cannot read `{folder}`"), &cause))?;
    let age_s = paths::age(folder)?.unwrap_or_default().as_secs();
    let stored = |(recipe, prepared, packages)| Stored {
        recipe,
        prepared,
        packages,
        disk: ByteSize::bytes(disk),
        age_s,
        used_by: BTreeSet::new(),
        unbroken: true,
    };
    Ok(stored(match kind {
        Kind::Image => {
            let Manifest { recipe, prepared, packages, .. } = manifest(folder)?;
            (Recipe::Image(recipe), prepared, packages)
        }
        Kind::Kernel => {
            let Manifest { recipe, prepared, packages, .. } = manifest(folder)?;
            (Recipe::Kernel(recipe), prepared, packages)
        }
    }))
}

fn manifest<R: DeserializeOwned>(folder: &Utf8Path) -> Result<Manifest<R>, Failure> {
    let path = folder.join(MANIFEST);
    let unknown = |why: String| {
        Failure::permanent(format!("cannot read `{path}`: {why}"))
            .hint("another version of regatta wrote it; `regatta gc --delete` removes it when no guest needs it")
    };
    let text = read_bounded(&path, MANIFEST_LIMIT)?.ok_or_else(|| unknown("it is gone".into()))?;
    serde_json::from_slice(&text).map_err(|error| unknown(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::effect::testing::scratch;
    use crate::resource::{ImageSpec, KernelSpec, SourceSpec};

    fn image(name: &str) -> ImageSpec {
        let source = SourceSpec::Oci { reference: "registry/web:1".into(), digest: "sha256:aa".into() };
        ImageSpec { name: name.into(), source, files: vec![], size: ByteSize::gib(1), key: ContentKey::of(&name) }
    }

    fn put<R: serde::Serialize>(store: &Store, kind: Kind, manifest: &Manifest<R>) {
        let folder = store.folder(kind, &manifest.key);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(MANIFEST), serde_json::to_vec(manifest).unwrap()).unwrap();
        fs::write(folder.join("root.img"), vec![1; 1 << 16]).unwrap();
    }

    #[test]
    fn the_catalog_has_images_by_name_and_then_kernels() {
        let (_guard, root) = scratch();
        let store = Store::new(root);
        let kernel = KernelSpec {
            name: "default".into(),
            suite: "bookworm".into(),
            mirror: None,
            package: "linux-image-cloud-amd64".into(),
            file: None,
            image: None,
            key: ContentKey::of(&"kernel"),
        };
        put(&store, Kind::Kernel, &Manifest::new(kernel.key.clone(), kernel.clone(), BTreeMap::new()));
        let packages = BTreeMap::from([("openssh-server".to_owned(), "1:9.2".to_owned())]);
        for name in ["web", "base"] {
            let manifest = Manifest::new(ContentKey::of(&name), image(name), packages.clone());
            put(&store, Kind::Image, &manifest.prepared(vec!["cloud-init is off".into()]));
        }
        fs::create_dir_all(store.root.join("images/unfinished")).unwrap();
        let users = BTreeMap::from([(ContentKey::of(&"web"), BTreeSet::from(["shop/web-1".to_owned()]))]);
        let catalog = store.catalog(&users).unwrap();
        let recipes: Vec<&Recipe> = catalog.iter().map(|stored| &stored.recipe).collect();
        let expected = [Recipe::Image(image("base")), Recipe::Image(image("web")), Recipe::Kernel(kernel)];
        assert_eq!(recipes, expected.iter().collect::<Vec<_>>());
        assert_eq!(catalog[1].used_by, users[&ContentKey::of(&"web")]);
        assert_eq!((&catalog[1].packages, &catalog[1].prepared), (&packages, &vec!["cloud-init is off".to_owned()]));
        assert!(catalog[1].disk >= ByteSize::bytes(1 << 16) && catalog[0].used_by.is_empty());
    }

    #[test]
    fn a_manifest_of_another_form_is_named() {
        let (_guard, root) = scratch();
        let store = Store::new(root);
        put(&store, Kind::Image, &Manifest::new(ContentKey::of(&"recipe"), "no recipe of ours", BTreeMap::new()));
        let failure = store.catalog(&BTreeMap::new()).unwrap_err();
        assert!(failure.causes[0].contains("manifest.json"), "{failure:?}");
        assert!(failure.hint.unwrap().contains("regatta gc --delete"));
    }
}
