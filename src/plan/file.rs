//! One file: what it should be, what it is, and how the difference is shown.

use std::borrow::Cow;

use super::files::Written;
use super::sensitive::is_sensitive;
use super::{Aspect, Attribute, Cause, Change, Impact, Refusal, Rule, Shown};
use crate::resource::{
    Content, DesiredFile, Digest, FileKind, GuestPath, HostFile, ObservedFile, SecretContent, merge,
};

/// A file that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present<'a>(pub(super) &'a ObservedFile);

/// A file as it should be, with the content that merging into the present one gives.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    path: &'a GuestPath,
    mode: u32,
    owner: (u32, u32),
    kind: FileKind,
    content: Option<Bytes<'a>>,
    merged: bool,
    secret: Option<&'a SecretContent>,
}

/// A file's content as far as a plan needs it. Most files are as they should be: nothing is copied for those.
#[derive(Debug)]
struct Bytes<'a> {
    digest: Cow<'a, Digest>,
    size: u64,
    text: Option<Cow<'a, str>>,
}

impl<'a> Bytes<'a> {
    fn merged(bytes: Vec<u8>) -> Self {
        let (digest, size) = (Cow::Owned(Digest::of(&bytes)), bytes.len() as u64);
        Self { digest, size, text: String::from_utf8(bytes).ok().map(Cow::Owned) }
    }

    fn link(target: &'a str) -> Self {
        Self { digest: Cow::Owned(Digest::of_link(target)), size: 0, text: Some(Cow::Borrowed(target)) }
    }

    fn text(text: &'a str) -> Self {
        Self {
            digest: Cow::Owned(Digest::of(text.as_bytes())),
            size: text.len() as u64,
            text: Some(Cow::Borrowed(text)),
        }
    }

    /// A secret that was fetched. Its size is nobody's business.
    fn secret(secret: &'a SecretContent) -> Option<Self> {
        secret.digest.as_ref().map(|digest| Self { digest: Cow::Borrowed(digest), size: 0, text: None })
    }

    fn host(file: &'a HostFile) -> Self {
        Self { digest: Cow::Borrowed(&file.digest), size: file.size, text: file.text.as_deref().map(Cow::Borrowed) }
    }
}

impl<'a> Wanted<'a> {
    /// What should stand at `path`.
    ///
    /// # Errors
    /// When the result of a merge depends on content that could not be read.
    pub(super) fn of(
        path: &'a GuestPath,
        desired: &'a DesiredFile,
        present: Option<Present<'_>>,
    ) -> Result<Self, String> {
        let current = || present.map_or(Ok(&[][..]), |found| found.text(path));
        let (kind, content, merged) = match &desired.content {
            Content::Directory => (FileKind::Directory, None, false),
            Content::Host(file) => (FileKind::File, Some(Bytes::host(file)), false),
            Content::Link(target) => (FileKind::Symlink, Some(Bytes::link(target)), false),
            Content::Text(text) => (FileKind::File, Some(Bytes::text(text)), false),
            Content::Secret(secret) => (FileKind::File, Bytes::secret(secret), false),
            Content::AuthorizedKeys(keys) => {
                (FileKind::File, Some(Bytes::merged(merge::authorized_keys(current()?, keys))), true)
            }
            Content::GitIdentity { name, email } => {
                (FileKind::File, Some(Bytes::merged(merge::git_config(current()?, name, email)?)), true)
            }
        };
        let secret = if let Content::Secret(secret) = &desired.content { Some(&**secret) } else { None };
        Ok(Self { path, mode: desired.mode, owner: desired.owner, kind, content, merged, secret })
    }

    /// A directory that stands where a file or a link should be is never removed with everything in it.
    pub(super) fn refusal(&self, present: Option<Present<'_>>, change: &Change) -> Option<Refusal> {
        let found = present?.0.kind;
        (self.kind != FileKind::Directory && found == FileKind::Directory).then(|| Refusal {
            address: change.address.clone(),
            rule: Rule::DirectoryInTheWay,
            message: format!("found a directory at `{}`, expected a {}", self.path, kind_name(self.kind)),
            help: "move the directory away in the guest, or sync to another path".into(),
            source: change.source.clone(),
        })
    }

    /// Everything that differs.
    ///
    /// # Errors
    /// When the present content is not known.
    pub(super) fn compare(
        &self,
        present: Option<Present<'_>>,
        written: Written<'_>,
        live: Impact,
    ) -> Result<Vec<Attribute>, String> {
        let Some(found) = present else { return Ok(self.anew(written, live)) };
        let mut attributes = Vec::new();
        let touched = if matches!(written, Written::Never) { Cause::Pending } else { Cause::Drift };
        if found.0.kind != self.kind {
            let (before, after) = (Shown::plain(kind_name(found.0.kind)), Shown::plain(kind_name(self.kind)));
            let impact = if found.0.kind == FileKind::File { Impact::DataLoss } else { live };
            attributes.push(self.attribute(Aspect::Kind, before, after, impact, touched));
        }
        attributes.extend(self.content(found, written, live, touched)?);
        // Where no permissions were recorded, they are taken to have moved with the content.
        let touched = attributes.last().map_or(touched, |content: &Attribute| content.cause);
        if found.0.mode != self.mode {
            let (before, after) = (Shown::Plain(mode(found.0.mode)), Shown::Plain(mode(self.mode)));
            let recorded = written.mode().map(|applied| Cause::of(Some(&applied), &self.mode, &found.0.mode));
            attributes.push(self.attribute(Aspect::Mode, before, after, live, recorded.unwrap_or(touched)));
        }
        if found.0.owner != self.owner {
            let (before, after) = (Shown::Plain(owner(found.0.owner)), Shown::Plain(owner(self.owner)));
            let recorded = written.owner().map(|applied| Cause::of(Some(&applied), &self.owner, &found.0.owner));
            attributes.push(self.attribute(Aspect::Owner, before, after, live, recorded.unwrap_or(touched)));
        }
        Ok(attributes)
    }

    /// The attributes of a file that is not there.
    fn anew(&self, written: Written<'_>, live: Impact) -> Vec<Attribute> {
        let cause = match (written, written.content(), &self.content) {
            (Written::Never, ..) => Cause::Pending,
            (_, Some(applied), Some(bytes)) if *applied != *bytes.digest && !self.merged => Cause::Both,
            (Written::Before(_) | Written::Directory, ..) => Cause::Drift,
        };
        let what = match &self.content {
            None if self.secret.is_some() => self.attribute(Aspect::Content, Shown::Absent, self.sealed(), live, cause),
            None => self.attribute(Aspect::Kind, Shown::Absent, Shown::plain(kind_name(self.kind)), live, cause),
            Some(bytes) => self.attribute(Aspect::Content, Shown::Absent, self.show(bytes), live, cause),
        };
        vec![what, self.attribute(Aspect::Mode, Shown::Absent, Shown::Plain(mode(self.mode)), live, cause)]
    }

    fn content(
        &self,
        found: Present<'_>,
        written: Written<'_>,
        live: Impact,
        touched: Cause,
    ) -> Result<Option<Attribute>, String> {
        let Some(bytes) = &self.content else { return self.unfetched(found, written, live, touched) };
        if found.0.kind != self.kind {
            return Ok(Some(self.attribute(Aspect::Content, Shown::Absent, self.show(bytes), live, touched)));
        }
        let Some(digest) = &found.0.digest else {
            return Err(format!("the content of `{}` could not be read", self.path));
        };
        if digest == bytes.digest.as_ref() {
            return Ok(None);
        }
        let cause = match written.content() {
            Some(applied) if self.merged && applied != digest => Cause::Drift,
            Some(applied) => Cause::of(Some(applied), &bytes.digest, digest),
            None => Cause::Pending,
        };
        let impact = self.content_impact(found, bytes, written, live);
        let (before, after) = self.both(found, bytes);
        Ok(Some(self.attribute(Aspect::Content, before, after, impact, cause)))
    }

    /// A secret that was not fetched: the file is right when it is what was written.
    fn unfetched(
        &self,
        found: Present<'_>,
        written: Written<'_>,
        live: Impact,
        touched: Cause,
    ) -> Result<Option<Attribute>, String> {
        let wanted = |before, impact, cause| self.attribute(Aspect::Content, before, self.sealed(), impact, cause);
        let another = Shown::Secret { seal: None };
        match (self.secret, found.0.kind, &found.0.digest, written.content()) {
            (None, ..) => Ok(None),
            (_, FileKind::File, None, _) => Err(format!("the content of `{}` could not be read", self.path)),
            (_, FileKind::File, Some(digest), Some(applied)) if digest == applied => Ok(None),
            (_, FileKind::File, _, Some(_)) => Ok(Some(wanted(another, live, Cause::Drift))),
            (_, FileKind::File, ..) => Ok(Some(wanted(another, Impact::DataLoss, Cause::Pending))),
            _ => Ok(Some(wanted(Shown::Absent, live, touched))),
        }
    }

    /// Overwriting a file that was never ours loses data (LESSON 43); a key that leaves `authorized_keys` may be
    /// somebody's only way in.
    fn content_impact(&self, found: Present<'_>, bytes: &Bytes<'_>, written: Written<'_>, live: Impact) -> Impact {
        if !self.merged {
            return if written.content().is_some() { live } else { Impact::DataLoss };
        }
        let after = bytes.text.as_deref().unwrap_or_default();
        let is_key = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        let leaves = |line: &str| !after.lines().any(|kept| kept.trim_end() == line.trim_end());
        let before = found.0.text.as_deref().unwrap_or_default();
        let is_keys = self.path.as_bytes().ends_with(b"authorized_keys");
        if is_keys && before.lines().filter(is_key).any(leaves) { Impact::Connectivity } else { live }
    }

    /// Both sides as text, or both as digests: half a diff says nothing, and half a secret says too much.
    fn both(&self, found: Present<'_>, bytes: &Bytes<'_>) -> (Shown, Shown) {
        if self.secret.is_some() {
            return (Shown::Secret { seal: None }, self.sealed());
        }
        match (shown(self.path, found), self.show(bytes)) {
            (Shown::Text(before), Shown::Text(after)) => (Shown::Text(before), Shown::Text(after)),
            _ => (digest(found.0), Shown::Digest { digest: bytes.digest.clone().into_owned(), size: bytes.size }),
        }
    }

    fn show(&self, bytes: &Bytes<'_>) -> Shown {
        match &bytes.text {
            _ if self.secret.is_some() => self.sealed(),
            Some(text) if !is_sensitive(self.path, text) => Shown::Text(text.clone().into_owned()),
            _ => Shown::Digest { digest: bytes.digest.clone().into_owned(), size: bytes.size },
        }
    }

    fn sealed(&self) -> Shown {
        Shown::Secret { seal: self.secret.and_then(|secret| secret.seal.clone()) }
    }

    fn attribute(&self, aspect: Aspect, before: Shown, after: Shown, impact: Impact, cause: Cause) -> Attribute {
        Attribute { path: self.path.to_string(), aspect, before, after, impact, cause }
    }
}

impl<'a> Present<'a> {
    /// The text to merge into: none of what will be replaced whole.
    fn text(self, path: &GuestPath) -> Result<&'a [u8], String> {
        match (self.0.kind, &self.0.text) {
            (FileKind::File, Some(text)) => Ok(text.as_bytes()),
            (FileKind::File, None) => Err(format!("`{path}` is too large or no text: there is nothing to merge into")),
            (FileKind::Directory | FileKind::Symlink | FileKind::Other, _) => Ok(&[]),
        }
    }
}

/// A present file's content as a plan may show it.
pub(super) fn shown(path: &GuestPath, found: Present<'_>) -> Shown {
    match &found.0.text {
        Some(text) if !is_sensitive(path, text) => Shown::Text(text.clone()),
        _ => digest(found.0),
    }
}

fn digest(found: &ObservedFile) -> Shown {
    match &found.digest {
        Some(digest) => Shown::Digest { digest: digest.clone(), size: found.size },
        None => Shown::plain(kind_name(found.kind)),
    }
}

pub(super) const fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Other => "special file",
    }
}

fn mode(mode: u32) -> String {
    format!("{mode:04o}")
}

fn owner((user, group): (u32, u32)) -> String {
    format!("{user}:{group}")
}
