//! The forms that one command's result can take, on standard output and in files, several at once.

use std::str::FromStr;

use camino::Utf8PathBuf;
use clap::ValueEnum;

use super::error::{CliError, Exit};
use super::output;
use crate::effect::files;

/// A form of output. Not every command knows every form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// One JSON document per line: what happens, as it happens (`apply`, `destroy`)
    Jsonl,
    /// One line per step (`graph`)
    Text,
    /// Graphviz (`graph`)
    Dot,
    /// Mermaid (`graph`)
    Mermaid,
    /// A comment for a merge request (`plan`, `drift`)
    Markdown,
    /// A test report (`plan`, `drift`)
    Junit,
    /// Counts for GitLab's merge request widget (`plan`)
    Gitlab,
    /// Metrics for the node exporter's textfile collector (`drift`, `apply`)
    Prometheus,
    /// Code scanning (`check`)
    Sarif,
}

impl Form {
    /// The error of a command that does not know this form.
    pub(super) fn unknown_here(self, known: &str) -> CliError {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let error = CliError::failure(format!("found the form `{name}`, this command knows {known}"));
        CliError { exit: Exit::Usage, ..error }
    }
}

/// `FORM=FILE`: one more output. The file `-` is standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Out {
    form: Form,
    file: Utf8PathBuf,
}

impl FromStr for Out {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((form, file)) = text.split_once('=').filter(|(_, file)| !file.is_empty()) else {
            return Err("expected FORM=FILE, such as `json=plan.json`".into());
        };
        Ok(Self { form: Form::from_str(form, false)?, file: file.into() })
    }
}

impl Out {
    /// Refuses forms that a command does not know, before it does anything.
    pub(super) fn expect(outs: &[Self], known: &[Form]) -> Result<(), CliError> {
        let name = |form: &Form| form.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        match outs.iter().find(|out| !known.contains(&out.form)) {
            Some(out) => Err(out.form.unknown_here(&known.iter().map(name).collect::<Vec<_>>().join(", "))),
            None => Ok(()),
        }
    }
}

/// Prints in the form asked for, and writes every other output: all of it made before the first byte is written, so
/// that a wrong form leaves nothing behind.
pub(super) fn emit(form: Form, outs: &[Out], make: impl Fn(Form) -> Result<String, CliError>) -> Result<(), CliError> {
    let printed = make(form)?;
    let written = make_all(outs, make)?;
    output::data(&printed);
    publish(&written)
}

/// Writes every output: all of it made before the first byte is written.
pub(super) fn write(outs: &[Out], make: impl Fn(Form) -> Result<String, CliError>) -> Result<(), CliError> {
    publish(&make_all(outs, make)?)
}

fn make_all(outs: &[Out], make: impl Fn(Form) -> Result<String, CliError>) -> Result<Vec<(&Out, String)>, CliError> {
    outs.iter().map(|out| make(out.form).map(|text| (out, text))).collect()
}

fn publish(written: &[(&Out, String)]) -> Result<(), CliError> {
    for (out, text) in written {
        match out.file.as_str() {
            "-" => output::data(text),
            _ => files::publish(&out.file, text.as_bytes())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_names_its_form_and_its_file() {
        assert_eq!("markdown=a=b.md".parse(), Ok(Out { form: Form::Markdown, file: "a=b.md".into() }));
        for wrong in ["json", "json=", "yaml=x"] {
            assert!(wrong.parse::<Out>().is_err(), "{wrong} was accepted");
        }
    }
}
