//! A guest's console for machines.

use serde::Serialize;

/// The lines as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn log_json(guest: &str, lines: &[String]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        format_version: u32,
        guest: &'a str,
        lines: &'a [String],
    }
    serde_json::to_string_pretty(&Document { format_version: 1, guest, lines }).map(|text| text + "\n")
}
