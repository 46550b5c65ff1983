//! Standard output is data, standard error is talk: the only place that writes to either.

use std::io::Write as _;

use super::args::Color;
use super::error::CliError;

/// Decides colours for the whole process.
pub(super) fn set_color(color: Color) {
    match color {
        // The environment and the terminal decide: anstream's own default.
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Writes data. A reader that went away (`| head`) is no error.
pub(super) fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes talk.
pub(super) fn talk(text: &str) {
    let mut out = anstream::stderr().lock();
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

/// Columns of the terminal standard output goes to; 100 when it is none.
pub(super) fn width() -> usize {
    terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0).clamp(40, 200))
}

/// Asks a yes/no question on the terminal. `None` when there is nobody to ask.
pub(super) fn ask(question: &str) -> Option<bool> {
    use std::io::IsTerminal as _;
    if !std::io::stdin().is_terminal() {
        return None;
    }
    talk(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}
