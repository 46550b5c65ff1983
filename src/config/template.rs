//! Strings with values in them: `"web-{zone}"`. `{{` and `}}` stand for braces.

/// A part of a string.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// The name of a value.
    Value(&'a str),
}

/// Whether a string has to be looked at at all.
pub(super) fn has_braces(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'{' | b'}'))
}

/// Takes a string apart.
///
/// # Errors
/// A brace that neither starts nor ends a value: the text from there on.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, &str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        if brace.starts_with("{{") || brace.starts_with("}}") {
            parts.push(Part::Text(&brace[..1]));
            rest = &brace[2..];
            continue;
        }
        let name = brace.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        let Some(name) = name.filter(|name| is_name(name)) else { return Err(brace) };
        parts.push(Part::Value(name));
        rest = &brace[name.len() + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// Whether a value can have this name: kebab-case.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_values_or_doubled() {
        assert_eq!(parts("web-{zone}.x"), Ok(vec![Part::Text("web-"), Part::Value("zone"), Part::Text(".x")]));
        assert_eq!(parts("{a}{b-2}"), Ok(vec![Part::Value("a"), Part::Value("b-2")]));
        assert_eq!(parts("${{HOME}}"), Ok(vec![Part::Text("$"), Part::Text("{"), Part::Text("HOME"), Part::Text("}")]));
        assert_eq!(parts(""), Ok(vec![]));
        for (wrong, from) in
            [("a{", "{"), ("a}b", "}b"), ("{}", "{}"), ("{ a }", "{ a }"), ("{A}", "{A}"), ("{a{b}", "{a{b}")]
        {
            assert_eq!(parts(wrong), Err(from), "{wrong}");
        }
    }
}
