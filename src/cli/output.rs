//! Standard output is data, standard error is talk: the only place that writes to either.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use camino::Utf8PathBuf;

use super::args::Color;
use super::error::CliError;
use crate::effect::Environment;
use crate::render::{Colour, Screen};

/// Decides colours for the whole process.
pub(super) fn set_color(color: Color) {
    match color {
        // The environment and the terminal decide: anstream's own default.
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Why data was lost. Kept until the command has ended: a run goes on whatever becomes of its report.
static LOST: OnceLock<String> = OnceLock::new();

/// Writes data. A reader that went away (`| head`) is no error; any other loss is kept for [`lost`].
pub(super) fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    if let Err(cause) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && cause.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(cause.to_string());
    }
}

/// The error of data that could not be written, such as that of a full disk.
pub(super) fn lost() -> Option<CliError> {
    LOST.get().map(|cause| CliError::failure("cannot write to standard output").cause(cause))
}

/// All of standard input, of at most `limit` bytes.
pub(super) fn input(limit: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|cause| CliError::failure("cannot read standard input").cause(cause))?;
    match bytes.len() as u64 > limit {
        true => Err(CliError::failure(format!("standard input has more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// Writes bytes as they are to standard output: what a guest wrote, on its way into a file or a pipe.
pub(super) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(cause) = out.write_all(bytes).and_then(|()| out.flush())
        && cause.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(cause.to_string());
    }
}

/// Writes bytes as they are to standard error.
pub(super) fn raw_talk(bytes: &[u8]) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes talk.
pub(super) fn talk(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to a terminal that is drawn on: cursor movements go through even where colours do not.
pub(super) fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a fatal error: what happened, each cause, what to do.
pub(super) fn error(error: &CliError) {
    let Some((first, causes)) = error.causes.split_first() else { return };
    let (red, bold, reset) = (
        anstyle::AnsiColor::Red.on_default().effects(anstyle::Effects::BOLD).render().to_string(),
        anstyle::Style::new().bold().render().to_string(),
        anstyle::Reset.render().to_string(),
    );
    let mut text = format!("{red}error:{reset} {first}\n");
    for cause in causes {
        text.push_str(&format!("  caused by: {cause}\n"));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("  {bold}hint:{reset} {hint}\n"));
    }
    talk(&text);
}

/// The screen that standard output is.
pub(super) fn data_screen() -> Screen {
    screen(&std::io::stdout(), anstream::AutoStream::choice(&std::io::stdout()))
}

/// The screen that standard error is.
pub(super) fn error_screen() -> Screen {
    screen(&std::io::stderr(), anstream::AutoStream::choice(&std::io::stderr()))
}

/// Where relative paths start, when standard output is a coloured terminal that is known to show hyperlinks.
pub(super) fn links() -> Option<Utf8PathBuf> {
    use std::io::IsTerminal as _;
    let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    if !colour || !std::io::stdout().is_terminal() || !shows_links(Environment::variable) {
        return None;
    }
    Environment::read().ok().map(|environment| environment.cwd)
}

/// Whether the terminal says of itself that it shows hyperlinks. There is no way to ask, and one that does not know
/// them may print them as they are.
fn shows_links(variable: impl Fn(&str) -> Option<String>) -> bool {
    // The number that VTE made them known with (0.50); terminals that set the others have always known them.
    let vte = variable("VTE_VERSION").and_then(|version| version.parse::<u32>().ok());
    let named = ["WT_SESSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "WEZTERM_PANE", "GHOSTTY_RESOURCES_DIR"];
    let programs = ["iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper"];
    // Inside of these nobody knows who shows it in the end.
    let multiplexed = variable("TMUX").is_some() || variable("TERM").is_some_and(|term| term.starts_with("screen"));
    let known = vte.is_some_and(|version| version >= 5000)
        || named.iter().any(|name| variable(name).is_some())
        || variable("TERM_PROGRAM").is_some_and(|program| programs.contains(&program.as_str()))
        || variable("TERM").is_some_and(|term| ["foot", "alacritty", "xterm-kitty"].contains(&term.as_str()));
    known && !multiplexed
}

/// A terminal has its own width; pipes and files get one that suits logs.
fn screen(stream: &impl AsFd, choice: anstream::ColorChoice) -> Screen {
    let width = terminal_size::terminal_size_of(stream).map_or(100, |(width, _)| usize::from(width.0).clamp(40, 200));
    let colour = if choice == anstream::ColorChoice::Never { Colour::Never } else { Colour::Always };
    Screen { width, colour }
}

/// Whether somebody sits at standard input.
pub(super) fn is_person() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdin().is_terminal()
}

/// Asks a yes/no question on the terminal. `None` when there is nobody to ask.
pub(super) fn ask(question: &str) -> Option<bool> {
    answer(&format!("{question} [y/N]")).map(|answer| matches!(answer.as_str(), "y" | "Y" | "yes"))
}

/// Asks for a word on the terminal. `None` when there is nobody to ask.
pub(super) fn answer(question: &str) -> Option<String> {
    if !is_person() {
        return None;
    }
    talk(&format!("{question} "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_for_terminals_that_are_known_to_show_them() {
        let shows = |set: &[(&str, &str)]| {
            shows_links(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(
            shows(&[("VTE_VERSION", "7003")]) && shows(&[("TERM_PROGRAM", "WezTerm")]) && shows(&[("TERM", "foot")])
        );
        assert!(!shows(&[]) && !shows(&[("VTE_VERSION", "4999")]) && !shows(&[("TERM", "xterm-256color")]));
        assert!(!shows(&[("VTE_VERSION", "7003"), ("TMUX", "/tmp/tmux")]));
    }
}
