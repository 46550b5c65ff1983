//! A fleet file with everything it imports → one list of nodes, in the order they count.
//!
//! An import stands for the nodes of the imported file: they come where the `import` node is. A file that is imported
//! several times counts once, where it is imported first.

use camino::{Utf8Path, Utf8PathBuf};

use super::Fleet;
use super::block::Block;
use super::build;
use super::modules;
use super::node::import::IMPORT;
use super::problems::Problems;
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
        nodes: Vec::new(),
        problems: Problems::default(),
        path: Vec::new(),
    };
    loading.open(path, None);
    let Loading { sources, nodes, mut problems, .. } = loading;
    let fleet = build::fleet(&nodes, default_name, &mut problems);
    let problems = problems.finish();
    let fleet = if problems.is_empty() { Ok(fleet) } else { Err(problems) };
    (sources, fleet)
}

struct Loading<'a> {
    loader: &'a mut dyn Loader,
    sources: SourceMap,
    nodes: Vec<Node>,
    problems: Problems,
    /// Files being read, outermost first, with the import that leads on from each.
    path: Vec<(SourceId, Option<Span>)>,
}

impl Loading<'_> {
    /// Reads one file: the fleet file itself, or what the import at `asked` names.
    fn open(&mut self, path: &Utf8Path, asked: Option<&Spanned<String>>) {
        let text = match modules::embedded(path) {
            Some(text) => Ok(text.to_owned()),
            None => self.loader.read(path),
        };
        match text {
            Ok(text) => {
                let source = self.sources.add(path, text, asked.map(|asked| asked.span));
                self.parse(source);
            }
            Err(error) => {
                let problem = self.unreadable(path, asked, &error);
                self.problems.incomplete();
                self.problems.push(problem);
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
            (Some(asked), LoadError::Missing) if asked.value.starts_with("std/") => problem.help(modules::available()),
            _ => problem,
        }
    }

    fn parse(&mut self, source: SourceId) {
        let (tree, problems) = parse(&self.sources, source);
        if !problems.is_empty() {
            self.problems.incomplete();
            self.problems.extend(problems);
        }
        self.path.push((source, None));
        for node in tree.nodes {
            if node.name.value == IMPORT.name { self.import(&node) } else { self.nodes.push(node) }
        }
        self.path.pop();
    }

    fn import(&mut self, node: &Node) {
        let Some(asked) = Block::read(node, &IMPORT, &mut self.problems).text("path") else { return };
        if let Some(last) = self.path.last_mut() {
            last.1 = Some(asked.span);
        }
        let importer = &self.sources.file(asked.span.source).path;
        let path = match modules::is_embedded(importer) && !modules::is_embedded(Utf8Path::new(&asked.value)) {
            true => Utf8Path::new("std").join(&asked.value),
            false => resolve(importer, &asked.value),
        };
        match self.sources.find(&path) {
            Some(known) if self.path.iter().any(|(open, _)| *open == known) => {
                let problem = self.cycle(&asked, known);
                self.problems.push(problem);
            }
            Some(_) => {}
            None if self.path.len() > MAX_IMPORT_DEPTH || self.sources.files().count() >= MAX_FILES => {
                let message =
                    format!("found imports deeper than {MAX_IMPORT_DEPTH} files, or more than {MAX_FILES} files");
                self.problems.push(Diagnostic::error("config::import-depth", message, asked.span, "not read"));
            }
            None => self.open(&path, Some(&asked)),
        }
    }

    /// The circle of imports that `asked` closes by naming a file that is being read.
    fn cycle(&self, asked: &Spanned<String>, known: SourceId) -> Diagnostic {
        let start = self.path.iter().position(|(open, _)| *open == known).unwrap_or(0);
        let message = format!("files import each other in a circle: `{}` is being read already", shown(&asked.value));
        let mut problem = Diagnostic::error("config::import-cycle", message, asked.span, "closes the circle");
        let steps = self.path.get(start..self.path.len().saturating_sub(1)).unwrap_or_default();
        for span in steps.iter().filter_map(|(_, import)| *import) {
            problem = problem.also(span, "which is imported here");
        }
        problem.help("take one of these imports out")
    }
}

/// The path an import means: modules by name, files from the directory of the importing file.
fn resolve(importer: &Utf8Path, asked: &str) -> Utf8PathBuf {
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
