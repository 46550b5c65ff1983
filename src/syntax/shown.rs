//! Text of others, made fit to print.

use super::word::is_forbidden;

/// Characters of one quotation; what is longer is cut.
const LIMIT: usize = 60;

/// Foreign text as it may stand in a message: control and invisible characters escaped, long text cut.
pub fn shown(text: &str) -> String {
    let mut safe = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == LIMIT {
            safe.push('…');
            break;
        }
        if c.is_control() || is_forbidden(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_cuts() {
        assert_eq!(shown("größe \u{1b}[31m\u{202e}\n"), "größe \\u{1b}[31m\\u{202e}\\n");
        assert_eq!(shown(&"ä".repeat(61)), "ä".repeat(60) + "…");
    }
}
