//! What a command says in several guests at once: each line behind the name of the guest it comes from.

use unicode_width::UnicodeWidthStr;

use super::screen::{Screen, Tone};
use super::scrub;

/// Puts guests' names before lines, all equally wide.
#[derive(Debug, Clone, Copy)]
pub struct Prefixes {
    columns: usize,
    screen: Screen,
}

impl Prefixes {
    /// For lines of these guests.
    pub fn new<'a>(guests: impl IntoIterator<Item = &'a str>, screen: Screen) -> Self {
        Self { columns: guests.into_iter().map(UnicodeWidthStr::width).max().unwrap_or(0), screen }
    }

    /// One line with its end. What the guest wrote is shown, but nothing in it works on the terminal.
    pub fn line(self, guest: &str, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        let filled = format!("{guest}{}", " ".repeat(self.columns.saturating_sub(guest.width())));
        let name = self.screen.paint(Tone::Place, &filled);
        let bar = self.screen.paint(Tone::Quiet, "│");
        let line = format!("{name} {bar} {}", scrub::line(text.strip_suffix('\r').unwrap_or(&text)));
        format!("{}\n", line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Colour;

    #[test]
    fn names_are_equally_wide_and_lines_are_harmless() {
        let prefixes = Prefixes::new(["db", "web-1"], Screen::plain(80));
        let text: String = [("web-1", &b"up 3 days\r"[..]), ("db", b""), ("db", b"\x1b[2Jgone\xff")]
            .map(|(guest, text)| prefixes.line(guest, text))
            .concat();
        assert_eq!(text, "web-1 │ up 3 days\ndb    │\ndb    │ \\u{1b}[2Jgone\u{fffd}\n");
        let coloured = Prefixes::new(["db"], Screen { width: 80, colour: Colour::Always });
        assert_eq!(coloured.line("db", b"hi"), "\u{1b}[36mdb\u{1b}[0m \u{1b}[2m│\u{1b}[0m hi\n");
    }
}
