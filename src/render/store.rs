//! What is in the store: one line each, or at length. `schema/store.schema.json` describes the JSON.

use serde::Serialize;

use super::layout::{pad, wrap};
use super::screen::{Screen, Tone};
use super::table::{Cell, table};
use super::{attributes, scrub};
use crate::plan;
use crate::resource::Stored;

/// The version of the JSON form. It grows by new members; it changes only when a member changes its meaning.
pub const STORE_FORMAT_VERSION: u32 = 1;

/// Digits of a key that are shown in the table.
const KEY_DIGITS: usize = 12;

/// Said of what is no longer what was built.
const CHANGED: &str = "its files were changed since it was built: apply builds it anew";

/// Columns of the names in front of the values.
const NAMES: usize = 8;

/// The table as text, each line ending in a line break.
pub fn store(stored: &[Stored], screen: Screen) -> String {
    if stored.is_empty() {
        return "The store is empty.\n".into();
    }
    table(["KIND", "NAME", "KEY", "DISK", "AGE", "GUESTS", "FROM"], stored.iter().map(cells), screen)
}

fn cells(one: &Stored) -> [Cell; 7] {
    let from = plan::recipe(&one.recipe).into_iter().next();
    let from = from.map_or_else(String::new, |first| format!("{} {}", first.path, attributes::value(&first.after)));
    [
        (Tone::Quiet, one.recipe.kind().into()),
        (Tone::Strong, scrub::line(one.recipe.name()).into_owned()),
        (Tone::Plain, one.recipe.key().as_str().chars().take(KEY_DIGITS).collect()),
        (Tone::Plain, format!("{}MiB", one.disk.as_mib())),
        (Tone::Plain, age(one.age_s)),
        (Tone::Plain, one.used_by.len().to_string()),
        if one.unbroken { (Tone::Plain, from) } else { (Tone::Alarm, CHANGED.into()) },
    ]
}

/// In the largest unit that there is one of.
fn age(seconds: u64) -> String {
    match seconds {
        0..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Each at length, with an empty line between them.
pub fn details(stored: &[Stored], screen: Screen) -> String {
    stored.iter().map(|one| story(one, screen)).collect::<Vec<_>>().join("\n")
}

fn story(one: &Stored, screen: Screen) -> String {
    let or_none = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let mut lines = vec![(one.recipe.kind().to_owned(), one.recipe.name().to_owned())];
    for attribute in plan::recipe(&one.recipe) {
        lines.push((attribute.path.clone(), attributes::value(&attribute.after)));
    }
    let users: Vec<&str> = one.used_by.iter().map(String::as_str).collect();
    let packages: Vec<String> = one.packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
    lines.push(("disk".into(), format!("{}MiB, built {} ago", one.disk.as_mib(), age(one.age_s))));
    lines.push(("guests".into(), or_none(users.join(", "), "none: `regatta gc` removes it")));
    if !one.unbroken {
        lines.push(("broken".into(), CHANGED.into()));
    }
    lines.push(("prepared".into(), or_none(one.prepared.join("; "), "nothing had to be put right")));
    lines.push(("contains".into(), or_none(packages.join(", "), "packages that are not known")));
    lines.iter().map(|(name, value)| line(name, value, screen)).collect()
}

/// A name, and its value on as many lines as it takes.
fn line(name: &str, value: &str, screen: Screen) -> String {
    let name = scrub::line(name);
    let start = NAMES.max(super::layout::columns(&name)) + 2;
    let mut pieces = wrap(&scrub::line(value), screen.columns().saturating_sub(start).max(20)).into_iter();
    let first = pieces.next().unwrap_or_default();
    let rest: String = pieces.map(|piece| format!("{}{piece}\n", " ".repeat(start))).collect();
    format!("{}  {first}\n{rest}", screen.paint(Tone::Quiet, &pad(&name, NAMES)))
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    store: &'a [Stored],
}

/// Everything as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn store_json(stored: &[Stored]) -> serde_json::Result<String> {
    let document = Document { format_version: STORE_FORMAT_VERSION, store: stored };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::config::{ByteSize, FileForm};
    use crate::resource::{ContentKey, ImageSpec, KernelSpec, Recipe, SourceSpec};

    fn cloud() -> Stored {
        let source = SourceSpec::File {
            form: FileForm::CloudImage,
            location: "https://mirror.test/d.qcow2".into(),
            digest: "sha256:aa".into(),
        };
        let key = ContentKey::of(&"cloud");
        Stored {
            recipe: Recipe::Image(ImageSpec {
                name: "cloud".into(),
                source,
                files: vec![],
                size: ByteSize::gib(4),
                key,
            }),
            prepared: vec!["/etc/fstab no longer mounts /boot/efi".into(), "cloud-init is off".into()],
            packages: BTreeMap::new(),
            disk: ByteSize::mib(812),
            age_s: 2 * 86_400 + 5,
            used_by: BTreeSet::from(["shop/web-1".into(), "shop/web-2".into()]),
            unbroken: true,
        }
    }

    fn kernel() -> Stored {
        let spec = KernelSpec {
            name: "default".into(),
            suite: "bookworm".into(),
            mirror: None,
            package: "linux-image-cloud-amd64".into(),
            file: None,
            image: None,
            key: ContentKey::of(&"kernel"),
        };
        let packages = BTreeMap::from([("busybox-static".into(), "1:1.35.0-4+b3".into())]);
        let recipe = Recipe::Kernel(spec);
        let (disk, used_by) = (ByteSize::mib(60), BTreeSet::new());
        Stored { recipe, prepared: vec![], packages, disk, age_s: 7200, used_by, unbroken: true }
    }

    #[test]
    fn one_line_each() {
        let [image, other] = [cloud(), kernel()].map(|one| one.recipe.key().as_str()[..12].to_owned());
        let expected = format!(
            "KIND    NAME     KEY           DISK    AGE  GUESTS  FROM\n\
             image   cloud    {image}  812MiB  2d   2       cloud-image https://mirror.test/d.qcow2\n\
             kernel  default  {other}  60MiB   2h   0       suite bookworm\n"
        );
        assert_eq!(store(&[cloud(), kernel()], Screen::plain(120)), expected);
        assert_eq!(store(&[], Screen::plain(80)), "The store is empty.\n");
    }

    #[test]
    fn what_was_changed_is_told() {
        let changed = Stored { unbroken: false, ..kernel() };
        let (table, story) =
            (store(std::slice::from_ref(&changed), Screen::plain(120)), details(&[changed], Screen::plain(120)));
        assert!(table.ends_with("its files were changed since it was built: apply builds it anew\n"), "{table}");
        assert!(
            story.contains("broken    its files were changed since it was built: apply builds it anew\n"),
            "{story}"
        );
    }

    #[test]
    fn what_was_put_right_is_told() {
        let (image, other) = (ContentKey::of(&"cloud"), ContentKey::of(&"kernel"));
        let expected = format!(
            "image     cloud\ncloud-image  https://mirror.test/d.qcow2\ndigest    sha256:aa\nsize      4GiB\n\
             key       {image}\ndisk      812MiB, built 2d ago\nguests    shop/web-1, shop/web-2\n\
             prepared  /etc/fstab no longer mounts /boot/efi; cloud-init is off\n\
             contains  packages that are not known\n\n\
             kernel    default\nsuite     bookworm\npackage   linux-image-cloud-amd64\nkey       {other}\n\
             disk      60MiB, built 2h ago\nguests    none: `regatta gc` removes it\n\
             prepared  nothing had to be put right\ncontains  busybox-static 1:1.35.0-4+b3\n"
        );
        assert_eq!(details(&[cloud(), kernel()], Screen::plain(120)), expected);
    }
}
