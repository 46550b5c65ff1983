//! A fleet file with everything it imports → one list of nodes, in the order they count.
//!
//! An import stands for the nodes of the imported file: they come where the `import` node is. A file that is imported
//! several times without parameters counts once, where it is imported first.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::block::Block;
use super::expand::Expander;
use super::node::import::IMPORT;
use super::node::module::{self, MODULE};
use super::problems::Problems;
use super::scope::{Names, Scope, bind};
use super::{Fleet, build, modules, params, pattern};
use crate::syntax::{Diagnostic, Node, SourceId, SourceMap, Span, Spanned, parse, shown};

/// What reading a configuration may ask of the world: given by the caller, so that this layer touches none.
pub trait Loader {
    /// The text of a file. Paths are those of the fleet file and those joined from it, not made absolute.
    ///
    /// # Errors
    /// It is missing, or cannot be read (also: too large, not UTF-8).
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError>;

    /// Names in a directory, for imports of patterns.
    ///
    /// # Errors
    /// As [`Loader::read`].
    fn list(&mut self, directory: &Utf8Path) -> Result<Vec<String>, LoadError>;

    /// An environment variable.
    fn variable(&mut self, name: &str) -> Option<String>;
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// There is none.
    Missing,
    /// There is one, but for this reason it cannot be read; lower case, no full stop.
    Unreadable(String),
}

/// Files that import files that import files.
const MAX_IMPORT_DEPTH: usize = 16;

/// Files of one fleet.
const MAX_FILES: usize = 1_000;

/// Reads a fleet file, everything it imports, and makes the fleet of it.
///
/// `default_name` names a fleet that does not name itself: a DNS label, see [`super::default_name`].
///
/// # Errors
/// Every mistake of every file, ordered by file and place.
pub fn load(
    path: &Utf8Path,
    default_name: &str,
    loader: &mut dyn Loader,
) -> (SourceMap, Result<Fleet, Vec<Diagnostic>>) {
    let mut loading = Loading {
        loader,
        sources: SourceMap::default(),
        problems: Problems::default(),
        path: Vec::new(),
        read: BTreeMap::new(),
        modules: BTreeSet::new(),
        made: 0,
    };
    let nodes = loading.open(path, None).nodes;
    let Loading { sources, mut problems, modules, .. } = loading;
    let mut fleet = build::fleet(nodes, default_name, &mut problems);
    fleet.provenance.modules = modules;
    let problems = problems.finish();
    let fleet = if problems.is_empty() { Ok(fleet) } else { Err(problems) };
    (sources, fleet)
}

struct Loading<'a> {
    loader: &'a mut dyn Loader,
    sources: SourceMap,
    problems: Problems,
    /// Files being read, outermost first, with the import that leads on from each.
    path: Vec<(SourceId, Option<Span>)>,
    /// Files read without parameters, with the values they share: a second import of one adds nothing.
    read: BTreeMap<Utf8PathBuf, Names>,
    /// Files that are modules.
    modules: BTreeSet<SourceId>,
    /// Nodes made by repetition so far.
    made: usize,
}

/// What one file comes to.
#[derive(Default)]
struct Contents {
    nodes: Vec<Node>,
    /// Its values, and those of the files it imports.
    names: Names,
}

/// A node of a file, or what an import of it stands for.
enum Part {
    Own(Node),
    Imported(Vec<Node>),
}

impl Loading<'_> {
    /// Reads one file: the fleet file itself, or what an import names.
    fn open(&mut self, path: &Utf8Path, import: Option<&Import<'_>>) -> Contents {
        let text = match modules::embedded(path) {
            Some(text) => Ok(text.to_owned()),
            None => self.loader.read(path),
        };
        match text {
            Ok(text) => {
                let source = self.sources.add(path, text, import.map(|import| import.asked.span));
                self.parse(source, import)
            }
            Err(LoadError::Missing) if import.is_some_and(|import| import.optional) => Contents::default(),
            Err(error) => {
                let problem = self.unreadable(path, import.map(|import| &import.asked), &error);
                self.problems.unread();
                self.problems.push(problem);
                Contents::default()
            }
        }
    }

    fn unreadable(&mut self, path: &Utf8Path, asked: Option<&Spanned<String>>, error: &LoadError) -> Diagnostic {
        let shown_path = shown(path.as_str());
        let message = match error {
            LoadError::Missing => format!("found no file `{shown_path}`"),
            LoadError::Unreadable(reason) => format!("cannot read `{shown_path}`: {}", shown(reason)),
        };
        let span = asked.map_or_else(
            || Span { source: self.sources.add(path, String::new(), None), start: 0, end: 0 },
            |asked| asked.span,
        );
        let label = if asked.is_some() { "imported here" } else { "the fleet file" };
        let problem = Diagnostic::error("config::unreadable", message, span, label);
        match (asked, error) {
            (None, LoadError::Missing) => {
                problem.help("name another file with `--file`, or start one with `regatta init`")
            }
            (Some(_), LoadError::Missing) if modules::is_embedded(path) => {
                problem.help(modules::available(path.as_str()))
            }
            _ => problem,
        }
    }

    fn parse(&mut self, source: SourceId, import: Option<&Import<'_>>) -> Contents {
        let (tree, problems) = parse(&self.sources, source);
        if !problems.is_empty() {
            self.problems.unread();
            self.problems.extend(problems);
        }
        let params = self.params(&tree.nodes, import);
        if params.is_some() || modules::is_embedded(&self.sources.file(source).path) {
            self.modules.insert(source);
        }
        let mut names = Names::new();
        let mut parts = Vec::new();
        self.path.push((source, None));
        for (index, node) in tree.nodes.into_iter().enumerate() {
            match node.name.value.as_str() {
                "import" => {
                    let mut node = node;
                    self.fill_parameters(&mut node, &parts, &names, params.as_ref());
                    parts.push(Part::Imported(self.import(&node, &mut names)));
                }
                "module" if import.is_some() && index == 0 => {}
                _ => parts.push(Part::Own(node)),
            }
        }
        self.path.pop();
        let contents = self.expand(parts, params.as_ref().unwrap_or(&Names::new()), names);
        match params {
            // What a module calls its values is its own business.
            Some(_) => Contents { names: Names::new(), ..contents },
            None => contents,
        }
    }

    /// The values of a module's parameters; nothing for a file that is no module.
    fn params(&mut self, nodes: &[Node], import: Option<&Import<'_>>) -> Option<Names> {
        let import = import?;
        let first = nodes.first().filter(|node| node.name.value == MODULE.name);
        match (first, &import.node.children) {
            (Some(module), _) => {
                let params = module::decode(module, &mut self.problems);
                Some(params::bind_all(&params, import.node, import.asked.span, &mut self.problems))
            }
            (None, Some(_)) => {
                let message = "found parameters for a file that is no module";
                let span = import.asked.span;
                let problem = Diagnostic::error("config::unknown-parameter", message, span, "takes no parameters");
                self.problems.push(problem.help("a module starts with a `module` node that declares them"));
                None
            }
            (None, None) => None,
        }
    }

    /// Replaces values in the block of an `import`: it sees the parameters of its file, what was imported before it, and
    /// the `let`s before it, as far as they need nothing that comes later.
    fn fill_parameters(&mut self, import: &mut Node, before: &[Part], names: &Names, params: Option<&Names>) {
        let Some(children) = &mut import.children else { return };
        let (none, mut visible, mut unsaid) = (Names::new(), names.clone(), Problems::default());
        let outer = Scope::new(params.unwrap_or(&none));
        let lets: Vec<Node> =
            before.iter().filter_map(Part::own).filter(|node| node.name.value == "let").cloned().collect();
        let (loader, sources, made) = (&mut *self.loader, &self.sources, &mut self.made);
        // What is wrong with a `let` is said when all of the file is known.
        Expander { loader, sources, problems: &mut unsaid, made }.names(&lets, &outer, &mut visible);
        let (loader, made) = (&mut *self.loader, &mut self.made);
        Expander { loader, sources, problems: &mut self.problems, made }.block(children, &outer.inside(&visible));
    }

    /// Replaces the values of a file's own nodes and puts them in order with the imported ones.
    fn expand(&mut self, parts: Vec<Part>, params: &Names, mut names: Names) -> Contents {
        let mut expander = Expander {
            loader: self.loader,
            sources: &self.sources,
            problems: &mut self.problems,
            made: &mut self.made,
        };
        let outer = Scope::new(params);
        let lets: Vec<Node> =
            parts.iter().filter_map(Part::own).filter(|node| node.name.value == "let").cloned().collect();
        expander.names(&lets, &outer, &mut names);
        let scope = outer.inside(&names);
        let mut nodes = Vec::new();
        for part in parts {
            match part {
                Part::Own(node) => expander.place(node, &scope, &mut nodes),
                Part::Imported(mut imported) => nodes.append(&mut imported),
            }
        }
        Contents { nodes, names }
    }

    /// Reads what an `import` names; its values are added to `names`.
    fn import(&mut self, node: &Node, names: &mut Names) -> Vec<Node> {
        let block = Block::read(node, &IMPORT, &mut self.problems);
        let Some(asked) = block.text("path") else { return Vec::new() };
        let optional = block.boolean("optional").is_some_and(|optional| optional.value);
        if let Some(last) = self.path.last_mut() {
            last.1 = Some(asked.span);
        }
        let import = Import { node, asked, optional };
        let mut nodes = Vec::new();
        for path in self.paths(&import) {
            nodes.append(&mut self.import_one(&path, &import, names));
        }
        nodes
    }

    /// The files an import names: one, or all that match its pattern.
    fn paths(&mut self, import: &Import<'_>) -> Vec<Utf8PathBuf> {
        let importer = self.sources.file(import.asked.span.source).path.clone();
        if modules::is_embedded(&importer) && !modules::is_embedded(Utf8Path::new(&import.asked.value)) {
            return vec![Utf8Path::new("std").join(&import.asked.value)];
        }
        let path = resolve(&importer, &import.asked.value);
        match path.file_name().filter(|name| pattern::is_pattern(name)) {
            None => vec![path],
            Some(name) => self.matching(&path, name, import),
        }
    }

    fn matching(&mut self, path: &Utf8Path, name: &str, import: &Import<'_>) -> Vec<Utf8PathBuf> {
        let directory = path.parent().unwrap_or(Utf8Path::new(""));
        let listed = self.loader.list(directory);
        let mut found: Vec<Utf8PathBuf> = listed
            .unwrap_or_default()
            .iter()
            .filter(|entry| pattern::matches(name, entry))
            .map(|entry| directory.join(entry))
            .collect();
        found.retain(|path| !self.is_open(path));
        found.sort();
        if found.is_empty() && !import.optional {
            let message = format!("found no file that matches `{}`", shown(&import.asked.value));
            self.problems.unread();
            self.problems.push(
                Diagnostic::error("config::unreadable", message, import.asked.span, "imported here")
                    .help("write `optional=#true` if that is all right"),
            );
        }
        found
    }

    fn import_one(&mut self, path: &Utf8Path, import: &Import<'_>, names: &mut Names) -> Vec<Node> {
        if self.is_open(path) {
            let problem = self.cycle(path, import);
            self.problems.push(problem);
            return Vec::new();
        }
        if self.path.len() > MAX_IMPORT_DEPTH || self.sources.files().count() >= MAX_FILES {
            let message = format!("found imports deeper than {MAX_IMPORT_DEPTH} files, or more than {MAX_FILES} files");
            let span = import.asked.span;
            self.problems.unread();
            self.problems.push(Diagnostic::error("config::import-depth", message, span, "not read"));
            return Vec::new();
        }
        let plain = import.node.children.is_none();
        let (nodes, shared) = match self.read.get(path).filter(|_| plain) {
            Some(shared) => (Vec::new(), shared.clone()),
            None => {
                let contents = self.open(path, Some(import));
                if plain {
                    self.read.insert(path.to_owned(), contents.names.clone());
                }
                (contents.nodes, contents.names)
            }
        };
        for (name, bound) in shared {
            match names.get(&name) {
                Some(known) if known.span == bound.span => {}
                _ => {
                    let again = Spanned::new(name, bound.span);
                    if let Err(problem) = bind(names, again, bound.value) {
                        self.problems.push(problem);
                    }
                }
            }
        }
        nodes
    }

    fn is_open(&self, path: &Utf8Path) -> bool {
        self.path.iter().any(|(open, _)| self.sources.file(*open).path == path)
    }

    /// The circle of imports that one closes by naming a file that is being read.
    fn cycle(&self, path: &Utf8Path, import: &Import<'_>) -> Diagnostic {
        let start = self.path.iter().position(|(open, _)| self.sources.file(*open).path == path).unwrap_or(0);
        let message =
            format!("files import each other in a circle: `{}` is being read already", shown(&import.asked.value));
        let mut problem = Diagnostic::error("config::import-cycle", message, import.asked.span, "closes the circle");
        let steps = self.path.get(start..self.path.len().saturating_sub(1)).unwrap_or_default();
        for span in steps.iter().filter_map(|(_, import)| *import) {
            problem = problem.also(span, "which is imported here");
        }
        problem.help("take one of these imports out")
    }
}

/// One `import` node.
struct Import<'a> {
    node: &'a Node,
    asked: Spanned<String>,
    optional: bool,
}

impl Part {
    const fn own(&self) -> Option<&Node> {
        match self {
            Self::Own(node) => Some(node),
            Self::Imported(_) => None,
        }
    }
}

/// The path an import means: modules by name, files from the directory of the importing file.
pub(super) fn resolve(importer: &Utf8Path, asked: &str) -> Utf8PathBuf {
    if modules::is_embedded(Utf8Path::new(asked)) {
        return asked.into();
    }
    let joined = importer.parent().unwrap_or(Utf8Path::new("")).join(asked);
    let mut normal = Utf8PathBuf::new();
    for part in joined.components() {
        match part.as_str() {
            "." => {}
            ".." if normal.file_name().is_some() => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_start_at_the_importing_file() {
        for (importer, asked, path) in [
            ("fleet.kdl", "a.kdl", "a.kdl"),
            ("dir/fleet.kdl", "./sub/../a.kdl", "dir/a.kdl"),
            ("dir/fleet.kdl", "../a.kdl", "a.kdl"),
            ("fleet.kdl", "../../a.kdl", "../../a.kdl"),
            ("/x/fleet.kdl", "/y/a.kdl", "/y/a.kdl"),
            ("dir/fleet.kdl", "std/debian", "std/debian"),
        ] {
            assert_eq!(resolve(Utf8Path::new(importer), asked), path, "{asked} in {importer}");
        }
    }
}
