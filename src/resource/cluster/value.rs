//! A field's value in canonical form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Properties;

/// A value in canonical form: equal values are equal texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// One text: numbers, truth values, sizes with their unit and lists as well.
    Text(String),
    /// Several values by key.
    Properties(Properties),
}

impl Value {
    /// The text, unless it is several values.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Properties(_) => None,
        }
    }

    /// The values by key, unless it is one text.
    pub const fn as_properties(&self) -> Option<&Properties> {
        match self {
            Self::Properties(properties) => Some(properties),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Properties(properties) => f.write_str(&properties.text(None)),
        }
    }
}
