//! `regatta fmt`: writes fleet files the one way. Changes white space only, and nothing at all in a file with mistakes.

use camino::{Utf8Path, Utf8PathBuf};

use super::args::{FmtArgs, Global};
use super::error::{CliError, Exit};
use super::loader::FileLoader;
use super::{output, session};
use crate::config::{self, LoadError, Loader as _};
use crate::effect::{Environment, files};
use crate::syntax::{self, SourceMap};

/// Formats the files named, or the fleet file and every file it imports.
pub(super) fn run(global: &Global, args: &FmtArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let paths = if args.files.is_empty() { imported(global, &environment) } else { args.files.clone() };
    let (mut mistakes, mut differing) = (false, false);
    for path in paths {
        let text = read(&path, &environment)?;
        let spelt = if args.upgrade { syntax::upgrade(&text) } else { text.clone() };
        let mut sources = SourceMap::default();
        let source = sources.add(&path, spelt, None);
        match syntax::format(&sources, source) {
            Err(found) => {
                mistakes = true;
                session::tell(&found, &sources, global.format)?;
            }
            Ok(formatted) if formatted != text => {
                differing = true;
                output::data(&format!("{path}\n"));
                if !args.check {
                    files::rewrite(&environment.cwd.join(&path), formatted.as_bytes())?;
                }
            }
            Ok(_) => {}
        }
    }
    Ok(if mistakes || (args.check && differing) { Exit::Failure } else { Exit::Success })
}

/// The fleet file and every file it imports, as far as they can be read. Modules of regatta are no files.
fn imported(global: &Global, environment: &Environment) -> Vec<Utf8PathBuf> {
    let (sources, _) = config::load(&global.file, "fleet", &mut FileLoader::new(environment));
    let paths = sources.files().map(|(_, file)| file.path.clone());
    let mut paths: Vec<Utf8PathBuf> = paths.filter(|path| !config::is_module(path)).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn read(path: &Utf8Path, environment: &Environment) -> Result<String, CliError> {
    FileLoader::new(environment).read(path).map_err(|error| {
        CliError::failure(match error {
            LoadError::Missing => format!("found no file `{path}`"),
            LoadError::Unreadable(reason) => format!("cannot read `{path}`: {reason}"),
        })
    })
}
