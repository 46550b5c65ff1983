//! What a Proxmox server answered: decoded with the tolerance its schema's lies ask for, and its errors told apart.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ApiError;

/// A whole answer, as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status; Proxmox has its own above 590.
    pub status: u16,
    /// Its reason phrase: until 2025 the only place where an error was told.
    pub reason: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// Numbers, texts and truth values as one text: the same field is now the one and now the other.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(if *truth { "1" } else { "0" }.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A field as text.
pub fn text(object: &Value, key: &str) -> Option<String> {
    scalar(object.get(key)?)
}

/// A field as a number.
pub fn integer(object: &Value, key: &str) -> Option<u64> {
    let text = text(object, key)?;
    text.parse().ok().or_else(|| text.split_once('.')?.0.parse().ok())
}

/// A field as a truth value; what is not there is false.
pub fn flag(object: &Value, key: &str) -> bool {
    matches!(text(object, key).as_deref(), Some("1" | "true"))
}

/// The elements of a list; nothing where there is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Answer {
    /// The `data` of a success.
    ///
    /// # Errors
    /// What the server refused, told apart.
    pub fn data(&self) -> Result<Value, ApiError> {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        if (200..300).contains(&self.status) {
            let garbled =
                || ApiError::Garbled(format!("an answer of {} bytes that is no JSON with `data`", self.body.len()));
            return match body.ok_or_else(garbled)? {
                Value::Object(mut object) => object.remove("data").ok_or_else(garbled),
                _ => Err(garbled()),
            };
        }
        let errors = body.as_ref().and_then(|body| body.get("errors")).and_then(Value::as_object);
        let errors: BTreeMap<String, String> = errors
            .into_iter()
            .flatten()
            .map(|(key, value)| (clean(key), clean(&scalar(value).unwrap_or_else(|| value.to_string()))))
            .collect();
        let message = body.as_ref().and_then(|body| text(body, "message"));
        let said = match message.as_deref().map(str::trim) {
            Some(message) if message.len() > self.reason.len() => clean(message),
            _ => clean(self.reason.trim()),
        };
        Err(ApiError::of(self.status, said, &errors))
    }
}

/// Text of a server, fit for a message: one line, no control characters, not too long.
pub fn clean(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect();
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, reason: &str, body: &str) -> Answer {
        Answer { status, reason: reason.into(), body: body.into() }
    }

    #[test]
    fn scalars_are_read_whatever_their_type() {
        let object: Value = serde_json::json!({"a": "100", "b": 100, "c": true, "d": null, "e": 1.5, "f": "24.0"});
        assert_eq!((text(&object, "a"), text(&object, "b")), (Some("100".into()), Some("100".into())));
        assert_eq!((flag(&object, "c"), flag(&object, "d"), flag(&object, "x")), (true, false, false));
        assert_eq!((integer(&object, "e"), integer(&object, "f"), integer(&object, "d")), (Some(1), Some(24), None));
    }

    #[test]
    fn the_reason_phrase_is_kept_where_the_body_says_nothing() {
        let lost = answer(500, "CT is locked (backup)", "{\"data\":null}").data();
        assert_eq!(lost, Err(ApiError::Locked("CT is locked (backup)".into())));
        let said = answer(500, "unable to", "{\"data\":null,\"message\":\"unable to create CT 170\\n\"}").data();
        assert_eq!(said, Err(ApiError::Refused("unable to create CT 170".into())));
        assert_eq!(answer(200, "OK", "{\"data\":null}").data(), Ok(Value::Null));
        assert!(matches!(answer(200, "OK", "<html>").data(), Err(ApiError::Garbled(_))));
    }
}
