//! How wide and how colourful: the only knowledge about terminals that rendering has.

use anstyle::{AnsiColor, Style};

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns; text is laid out for at least [`Screen::NARROWEST`].
    pub width: usize,
    /// Whether escape sequences are written.
    pub colour: Colour,
}

/// Whether escape sequences are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Never: a pipe, a file, `NO_COLOR`.
    Never,
    /// Always.
    Always,
}

/// What a piece of text means; the palette is here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Ordinary text.
    Plain,
    /// Names and headings.
    Strong,
    /// Text that helps but may be skipped.
    Quiet,
    /// Something comes.
    Added,
    /// Something goes.
    Removed,
    /// Something changes.
    Changed,
    /// Something is wrong.
    Alarm,
    /// A place in a diff.
    Place,
}

impl Screen {
    /// Layout does not go below this many columns.
    pub const NARROWEST: usize = 40;

    /// Without colour.
    pub const fn plain(width: usize) -> Self {
        Self { width, colour: Colour::Never }
    }

    /// Columns that layout may use.
    pub(super) fn columns(self) -> usize {
        self.width.max(Self::NARROWEST)
    }

    /// Text in its tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if self.colour == Colour::Never || tone == Tone::Plain || text.is_empty() {
            return text.into();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }
}

impl Tone {
    const fn style(self) -> Style {
        let plain = Style::new();
        match self {
            Self::Plain => plain,
            Self::Strong => plain.bold(),
            Self::Quiet => plain.dimmed(),
            Self::Added => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green))),
            Self::Removed => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))),
            Self::Changed => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow))),
            Self::Alarm => plain.bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))),
            Self::Place => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan))),
        }
    }
}
