//! `regatta cp PATH… PATH`: files into a guest or out of it, by the `scp` program with our key and the pinned host key.

use super::args::{CpArgs, Global};
use super::error::{CliError, Exit};
use super::ways::Ways;
use crate::effect::{Depth, Transfer, exec, scp_arguments};

/// The program.
const SCP: &str = "scp";

/// Becomes `scp`: progress, signals and the exit code are the program's own.
pub(super) async fn run(global: &Global, args: &CpArgs) -> Result<Exit, CliError> {
    let (guest, copy) = Copy::parse(&args.paths)?;
    let login = Ways::open(global)?.login(guest).await?;
    let depth = if args.recursive { Depth::Trees } else { Depth::Files };
    let arguments = scp_arguments(&login.target, &login.known_hosts, copy.transfer(), depth)?;
    Err(CliError::failure(exec(SCP, &arguments)).hint("the Debian package `openssh-client` has the program `scp`"))
}

/// What is copied where, without the guest's name.
#[derive(Debug, PartialEq, Eq)]
enum Copy<'a> {
    Into { from: Vec<&'a str>, to: &'a str },
    OutOf { from: Vec<&'a str>, to: &'a str },
}

impl<'a> Copy<'a> {
    /// Reads the arguments: the last is the target, and exactly one side is in one guest.
    fn parse(paths: &'a [String]) -> Result<(&'a str, Self), CliError> {
        let places: Vec<Place<'a>> = paths.iter().map(|path| Place::parse(path)).collect();
        let Some((to, from)) = places.split_last() else { return Err(wrong("found no paths")) };
        let sources: Vec<&str> = from.iter().map(|place| place.path).collect();
        let mut guests: Vec<&str> = from.iter().filter_map(|place| place.guest).collect();
        guests.dedup();
        match (to.guest, &guests[..]) {
            (Some(guest), []) => Ok((guest, Self::Into { from: sources, to: to.path })),
            (None, [guest]) if from.iter().all(|place| place.guest.is_some()) => {
                Ok((guest, Self::OutOf { from: sources, to: to.path }))
            }
            (None, []) => Err(wrong("found no guest among the paths, expected one as `GUEST:PATH`")),
            (Some(_), _) => Err(wrong("found guests on both sides, expected one side here")
                .hint("copy here first, then into the other guest")),
            (None, _) => Err(wrong("found sources in different places, expected all of them in one guest")),
        }
    }

    fn transfer(&'a self) -> Transfer<'a> {
        match self {
            Self::Into { from, to } => Transfer::ToServer { from, to },
            Self::OutOf { from, to } => Transfer::FromServer { from, to },
        }
    }
}

fn wrong(message: &str) -> CliError {
    CliError { exit: Exit::Usage, ..CliError::failure(message) }
}

/// A path, here or in a guest.
struct Place<'a> {
    guest: Option<&'a str>,
    path: &'a str,
}

impl<'a> Place<'a> {
    /// As `scp` reads it: a colon before the first slash ends the name of a guest. Nothing after it is its home directory.
    fn parse(text: &'a str) -> Self {
        match text.split_once(':') {
            Some((guest, path)) if !guest.is_empty() && !guest.contains('/') => {
                Self { guest: Some(guest), path: if path.is_empty() { "." } else { path } }
            }
            _ => Self { guest: None, path: text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(paths: &[&str]) -> Result<(String, String), Vec<String>> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let parsed = Copy::parse(&paths).map(|(guest, copy)| (guest.to_owned(), format!("{copy:?}")));
        parsed.map_err(|error| error.causes)
    }

    #[test]
    fn one_side_is_in_one_guest() {
        let copied = |guest: &str, copy: &str| Ok((guest.to_owned(), copy.to_owned()));
        assert_eq!(parse(&["a", "./b:c", "web-1:"]), copied("web-1", r#"Into { from: ["a", "./b:c"], to: "." }"#));
        assert_eq!(
            parse(&["web-1:/etc/a:b", "web-1:c", "."]),
            copied("web-1", r#"OutOf { from: ["/etc/a:b", "c"], to: "." }"#)
        );
        for (paths, expected) in [
            (&["a", "b"][..], "found no guest among the paths, expected one as `GUEST:PATH`"),
            (&["a:x", "b:y"], "found guests on both sides, expected one side here"),
            (&["a:x", "b:y", "."], "found sources in different places, expected all of them in one guest"),
            (&["a:x", "y", "."], "found sources in different places, expected all of them in one guest"),
        ] {
            assert_eq!(parse(paths), Err(vec![expected.to_owned()]), "{paths:?}");
        }
    }
}
