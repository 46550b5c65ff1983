//! Where the values of a resource come from: for `regatta explain ADDRESS`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::language::suggestion;
use super::settings::Priority;
use super::{
    AuthorizedKey, Chosen, Disk, File, FileContent, Fleet, GitIdentity, Image, ImageFile, ImageSource, Kernel,
    KernelSource, Network, Origin, SecretSource, Setting, Vm,
};
use crate::syntax::{SourceMap, SourceRef, Span, Spanned, shown};

/// Every value of one resource, with where it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The resource.
    pub address: String,
    /// Its values, in the order of the reference.
    pub values: Vec<Explained>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The setting, as the fleet file calls it.
    pub setting: String,
    /// Its value, as the fleet file would write it.
    pub value: String,
    /// Who decided.
    pub decided: Decided,
    /// The module it is written in, if it is one.
    pub module: Option<String>,
    /// `default` or `force`, where one of them was written.
    pub priority: Option<&'static str>,
    /// Where it is written; nothing for defaults.
    pub place: Option<SourceRef>,
    /// The imports that lead to that file, the nearest first.
    pub imported: Vec<SourceRef>,
}

/// Who decided a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decided {
    /// Nobody: regatta's own default.
    Default,
    /// Nobody: regatta chose it for this machine, for this reason.
    Chosen(String),
    /// The resource's own block.
    Block,
    /// A profile of this name.
    Profile(String),
    /// The top of a file.
    Top,
}

/// Explains the resource at an address. `chosen` has the machines of guests that name none.
///
/// # Errors
/// There is no such resource: what was found, and the nearest address there is.
pub fn explain(
    fleet: &Fleet,
    sources: &SourceMap,
    chosen: &BTreeMap<String, Chosen>,
    address: &str,
) -> Result<Explanation, String> {
    let (kind, name) = address.split_once('.').unwrap_or((address, ""));
    // Addresses of files in a guest go on with their path.
    let (owner, path) = name.split_once('/').unwrap_or((name, ""));
    let mut explainer = Explainer { fleet, sources, chosen, values: Vec::new() };
    let known = match kind {
        "fleet" if name.is_empty() => {
            explainer.header();
            Some(())
        }
        "vm" => fleet.vms.get(name).map(|vm| explainer.vm(vm)),
        "file-sync" | "file" | "secret" => fleet.vms.get(owner).map(|vm| explainer.files(vm, kind, path)),
        "session" => fleet.vms.get(owner).map(|vm| explainer.sessions(vm, path)),
        "git-identity" | "authorized-key" => fleet.vms.get(owner).map(|vm| explainer.vm(vm)),
        "image" => fleet.images.get(name).map(|image| explainer.image(image)),
        "kernel" => fleet.kernels.get(name).map(|kernel| explainer.kernel(kernel)),
        "network" => fleet.networks.get(name).map(|network| explainer.network(network)),
        _ => None,
    };
    let mut values = explainer.values;
    if matches!(kind, "git-identity" | "authorized-key") {
        values.retain(|value| value.setting == kind);
    }
    match known {
        Some(()) if !values.is_empty() => Ok(Explanation { address: address.to_owned(), values }),
        _ => Err(unknown(fleet, address)),
    }
}

fn unknown(fleet: &Fleet, address: &str) -> String {
    let vms = fleet.vms.keys().map(|name| format!("vm.{name}"));
    let images = fleet.images.keys().map(|name| format!("image.{name}"));
    let kernels = fleet.kernels.keys().map(|name| format!("kernel.{name}"));
    let networks = fleet.networks.keys().map(|name| format!("network.{name}"));
    let known: Vec<String> = vms.chain(images).chain(kernels).chain(networks).collect();
    let near = suggestion(address, known.iter().map(String::as_str));
    let hint = near.unwrap_or_else(|| "addresses are such as `vm.web-1`, `image.bookworm` and `fleet`".into());
    format!("found no resource `{}` in the fleet file; {hint}", shown(address))
}

struct Explainer<'a> {
    fleet: &'a Fleet,
    sources: &'a SourceMap,
    chosen: &'a BTreeMap<String, Chosen>,
    values: Vec<Explained>,
}

impl Explainer<'_> {
    fn header(&mut self) {
        let fleet = self.fleet;
        let name = format!("{:?}", fleet.name.value);
        match fleet.name.origin {
            Origin::Default => self.default("name", &name),
            Origin::Written(span) => self.add("name", span, span, name),
        }
        if let Some(owner) = &fleet.owner {
            self.add("owner", owner.span, owner.span, format!("\"{}\"", shown(&owner.value)));
        }
        match &fleet.parallelism {
            Some(steps) => self.add("parallelism", steps.span, steps.span, steps.value.to_string()),
            None => self.default("parallelism", "4"),
        }
    }

    fn vm(&mut self, vm: &Vm) {
        self.setting("cpus", vm, &vm.cpus, vm.cpus.value.to_string());
        self.setting("memory", vm, &vm.memory, format!("{:?}", vm.memory.value.to_string()));
        self.written("image", vm.span, &vm.image, format!("{:?}", vm.image.value));
        match &vm.kernel {
            Some(kernel) => self.written("kernel", vm.span, kernel, format!("{:?}", kernel.value)),
            None => self.default("kernel", "the cloud kernel of the image's suite"),
        }
        match &vm.network {
            Some(network) => self.written("network", vm.span, network, format!("{:?}", network.value)),
            None => self.default("network", "a user-mode network"),
        }
        self.attachment(vm);
        for forward in &vm.forwards {
            let value = format!("host={} guest={}", forward.value.host, forward.value.guest);
            self.written("forward", vm.span, forward, value);
        }
        self.setting("work-disk", vm, &vm.work_disk, format!("size=\"{}\"", vm.work_disk.value));
        for disk in &vm.disks {
            let Disk { name, size, at } = &disk.value;
            let at = at.as_ref().map(|at| format!(" at=\"{}\"", shown(at))).unwrap_or_default();
            self.written("disk", vm.span, disk, format!("\"{name}\" size=\"{size}\"{at}"));
        }
        self.machine(vm);
        if let Some(jailer) = &vm.jailer {
            self.written("jailer", vm.span, jailer, format!("user=\"{}\"", shown(&jailer.value)));
        }
        self.setting("accel", vm, &vm.accel, format!("{:?}", format!("{:?}", vm.accel.value).to_lowercase()));
        for key in &vm.authorized_keys {
            let value = match &key.value {
                AuthorizedKey::File(path) => format!("file=\"{}\"", shown(path)),
                AuthorizedKey::Inline(line) => format!("\"{}\"", shown(line)),
            };
            self.written("authorized-key", vm.span, key, value);
        }
        if let Some(identity) = &vm.git_identity {
            let value = match &identity.value {
                GitIdentity::Host => "from=\"host\"".into(),
                GitIdentity::Given { name, email } => format!("name=\"{}\" email=\"{}\"", shown(name), shown(email)),
            };
            self.written("git-identity", vm.span, identity, value);
        }
        ["file-sync", "file", "secret"].into_iter().for_each(|kind| self.files(vm, kind, ""));
        self.sessions(vm, "");
        for guest in &vm.after {
            self.written("after", vm.span, guest, format!("{:?}", guest.value));
        }
        for tag in &vm.tags {
            self.written("tags", vm.span, tag, format!("{:?}", tag.value));
        }
        if vm.autostart.value {
            self.setting("autostart", vm, &vm.autostart, format!("#{}", vm.autostart.value));
        }
        if let Some(protect) = &vm.protect {
            self.written("protect", vm.span, protect, format!("#{}", protect.value));
        }
        for pattern in &vm.ignore_drift {
            self.written("ignore-drift", vm.span, pattern, format!("{:?}", pattern.value));
        }
    }

    fn machine(&mut self, vm: &Vm) {
        match self.chosen.get(&vm.name) {
            Some(Chosen { machine, why, .. }) => {
                self.nowhere("machine", &format!("{:?}", machine.word()), Decided::Chosen(why.clone()));
            }
            None => self.setting("machine", vm, &vm.machine, format!("{:?}", vm.machine.value.word())),
        }
    }

    /// Files of one kind of address: the one at a path, or all.
    fn files(&mut self, vm: &Vm, kind: &str, path: &str) {
        let asked = |found: &str| path.is_empty() || path.strip_prefix("~/").unwrap_or(path) == found;
        for sync in vm.file_syncs.iter().filter(|sync| kind == "file-sync" && asked(&sync.value.to.value)) {
            let value = format!("\"{}\" to=\"~/{}\"", shown(&sync.value.from), shown(&sync.value.to.value));
            self.written("file-sync", vm.span, sync, value);
        }
        for file in vm.files.iter().filter(|file| asked(&file.value.path.value)) {
            let File { path, content, .. } = &file.value;
            if kind == if matches!(content, FileContent::Secret(_)) { "secret" } else { "file" } {
                let value = format!("\"~/{}\" {{ {} }}", shown(&path.value), said(content));
                self.written("file", vm.span, file, value);
            }
        }
    }

    /// The session of a name, or all.
    fn sessions(&mut self, vm: &Vm, name: &str) {
        for session in vm.sessions.iter().filter(|session| name.is_empty() || session.value.name == name) {
            let words: Vec<String> = session.value.command.iter().map(|word| format!("\"{}\"", shown(word))).collect();
            let (name, restart) = (&session.value.name, session.value.restart.word());
            let value = format!("\"{name}\" restart=\"{restart}\" {{ command {} }}", words.join(" "));
            self.written("session", vm.span, session, value);
        }
    }

    /// Addresses on a bridge: declared, or made up.
    fn attachment(&mut self, vm: &Vm) {
        let Some(attachment) = &vm.attachment else { return };
        match &vm.address {
            Some(address) => self.written("address", vm.span, address, format!("\"{}\"", address.value)),
            None => self.default("address", &format!("\"{}\"", attachment.address)),
        }
        match &vm.mac {
            Some(mac) => self.written("mac", vm.span, mac, format!("\"{}\"", mac.value)),
            None => self.default("mac", &format!("\"{}\"", attachment.mac)),
        }
    }

    fn network(&mut self, network: &Network) {
        let mode = if network.bridge.is_some() { "\"bridge\"" } else { "\"user\"" };
        self.either("mode", network.span, &network.mode, mode.into());
        let Some(bridge) = &network.bridge else { return };
        self.written("subnet", network.span, &bridge.subnet, format!("\"{}\"", bridge.subnet.value));
        if let Some(subnet) = &bridge.subnet6 {
            self.written("subnet6", network.span, subnet, format!("\"{}\"", subnet.value));
        }
        self.either("nat", network.span, &bridge.nat, format!("#{}", bridge.nat.value));
        self.either("isolate", network.span, &bridge.isolate, format!("#{}", bridge.isolate.value));
        for (name, setting) in [("dhcp", &bridge.dhcp), ("dns", &bridge.dns)].into_iter().filter(|(_, it)| it.value) {
            self.either(name, network.span, setting, "#true".into());
        }
        for server in &bridge.nameservers {
            self.written("nameserver", network.span, server, format!("\"{}\"", server.value));
        }
    }

    fn image(&mut self, image: &Image) {
        let quoted = |text: &Spanned<String>| format!("\"{}\"", shown(&text.value));
        match &image.source {
            ImageSource::Debootstrap { suite, mirror, packages, commands } => {
                self.written("suite", image.span, suite, quoted(suite));
                mirror.iter().for_each(|mirror| self.written("mirror", image.span, mirror, quoted(mirror)));
                packages.iter().for_each(|package| self.written("package", image.span, package, quoted(package)));
                for command in commands {
                    let words: Vec<String> =
                        command.value.0.iter().map(|word| format!("\"{}\"", shown(word))).collect();
                    self.written("run", image.span, command, words.join(" "));
                }
            }
            ImageSource::Oci { reference } => self.written("oci", image.span, reference, quoted(reference)),
            ImageSource::Directory { path } => self.written("directory", image.span, path, quoted(path)),
            ImageSource::File { form, location, sha256 } => {
                self.written(form.word(), image.span, location, quoted(location));
                sha256.iter().for_each(|sha256| self.written("sha256", image.span, sha256, quoted(sha256)));
            }
        }
        for file in &image.files {
            let ImageFile { path, mode, content } = &file.value;
            let said = format!("mode {mode:04o}, content of {} bytes", content.len());
            self.written(&format!("file {}", shown(path)), image.span, file, said);
        }
        self.either("size", image.span, &image.size, format!("\"{}\"", image.size.value));
    }

    fn kernel(&mut self, kernel: &Kernel) {
        match &kernel.source {
            KernelSource::Debian { suite, mirror, package } => {
                self.written("suite", kernel.span, suite, format!("{:?}", suite.value));
                if let Some(mirror) = mirror {
                    self.written("mirror", kernel.span, mirror, format!("{:?}", mirror.value));
                }
                self.either("package", kernel.span, package, format!("{:?}", package.value));
            }
            KernelSource::Image { image } => self.written("image", kernel.span, image, format!("{:?}", image.value)),
            KernelSource::File { location, sha256 } => {
                self.written("file", kernel.span, location, format!("{:?}", location.value));
                self.written("sha256", kernel.span, sha256, format!("{:?}", sha256.value));
            }
        }
        for argument in &kernel.arguments {
            self.written("arguments", kernel.span, argument, format!("{:?}", argument.value));
        }
    }

    fn setting<T>(&mut self, setting: &str, vm: &Vm, value: &Setting<T>, shown: String) {
        self.either(setting, vm.span, value, shown);
    }

    fn either<T>(&mut self, setting: &str, block: Span, value: &Setting<T>, shown: String) {
        match value.origin {
            Origin::Default => self.default(setting, &shown),
            Origin::Written(span) => self.add(setting, block, span, shown),
        }
    }

    fn written<T>(&mut self, setting: &str, block: Span, value: &Spanned<T>, shown: String) {
        self.add(setting, block, value.span, shown);
    }

    fn default(&mut self, setting: &str, value: &str) {
        self.nowhere(setting, value, Decided::Default);
    }

    /// A value that nobody wrote.
    fn nowhere(&mut self, setting: &str, value: &str, decided: Decided) {
        self.values.push(Explained {
            setting: setting.into(),
            value: value.into(),
            decided,
            module: None,
            priority: None,
            place: None,
            imported: Vec::new(),
        });
    }

    fn add(&mut self, setting: &str, block: Span, span: Span, value: String) {
        let profile = self.fleet.provenance.profiles.iter().find(|(_, profile)| profile.contains(span));
        let decided = match profile {
            _ if block.contains(span) => Decided::Block,
            Some((name, _)) => Decided::Profile(name.clone()),
            None => Decided::Top,
        };
        let priority = self.fleet.provenance.priorities.get(&span).and_then(|priority| match priority {
            Priority::Default => Some("default"),
            Priority::Normal => None,
            Priority::Force => Some("force"),
        });
        let file = self.sources.file(span.source);
        let module = self.fleet.provenance.modules.contains(&span.source).then(|| file.path.to_string());
        let imports = std::iter::successors(file.imported_at, |import| self.sources.file(import.source).imported_at);
        self.values.push(Explained {
            setting: setting.into(),
            value,
            decided,
            module,
            priority,
            place: Some(self.sources.source_ref(span)),
            imported: imports.map(|import| self.sources.source_ref(import)).collect(),
        });
    }
}

/// What is in a file, or where it comes from. A text is only measured: it may have many lines.
fn said(content: &FileContent) -> String {
    match content {
        FileContent::Text(text) => format!("content of {} bytes", text.len()),
        FileContent::Secret(secret) => match &secret.source {
            SecretSource::Variable(name) => format!("secret env=\"{name}\""),
            SecretSource::File(path) => format!("secret file=\"{}\"", shown(path)),
            SecretSource::Command { program, .. } => format!("secret command=\"{}\" …", shown(program)),
        },
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decided {
            Decided::Default => f.write_str("regatta's default")?,
            Decided::Chosen(why) => write!(f, "chosen: {}", shown(why))?,
            Decided::Block => f.write_str("its own block")?,
            Decided::Profile(name) => write!(f, "profile `{name}`")?,
            Decided::Top => f.write_str("the top of the file")?,
        }
        if let Some(module) = &self.module {
            write!(f, " of module `{}`", shown(module))?;
        }
        if let Some(priority) = self.priority {
            write!(f, ", ({priority})")?;
        }
        if let Some(place) = &self.place {
            write!(f, ", {place}")?;
        }
        self.imported.iter().try_for_each(|import| write!(f, ", imported at {import}"))
    }
}

impl fmt::Display for Explanation {
    /// The address, then a line for each value: setting and value, then who decided and where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", shown(&self.address))?;
        let said = |value: &Explained| format!("{} {}", value.setting, value.value);
        let width = self.values.iter().map(|value| said(value).chars().count()).max().unwrap_or(0);
        for value in &self.values {
            writeln!(f, "  {:width$}  {value}", said(value))?;
        }
        Ok(())
    }
}
