//! How values become the bytes of an input or output, and back.
//!
//! JSON for every type with serde's traits, bytes as they are for [`Raw`], text as it is for
//! [`Text`]. The HTTP types are not here: they are more than bytes, see [`crate::Request`].

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an empty input stands for, so that `Option` and `()` can be left out.
const JSON_OF_NOTHING: &[u8] = b"null";

/// A value that can be an output of a function, or the input of a chained call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be turned into the bytes of an output or input",
    label = "not an output or input",
    note = "derive `serde::Serialize` for it to have it as JSON, or use `faaslet::Raw` or `faaslet::Text`"
)]
pub trait Encode {
    /// The type of these bytes for HTTP, if it is known.
    const CONTENT_TYPE: Option<&'static str>;

    /// The bytes.
    fn encode(&self) -> Result<Cow<'_, [u8]>, EncodeError>;
}

/// A value that can be made from the input of a function, or from a chained call's output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from the bytes of an input or output",
    label = "not an input or output",
    note = "derive `serde::Deserialize` for it to have it from JSON, or use `faaslet::Raw` or `faaslet::Text`",
    note = "it must own what it holds: `String`, not `&str`"
)]
pub trait Decode: Sized {
    /// The value.
    fn decode(bytes: Vec<u8>) -> Result<Self, DecodeError>;
}

/// Bytes as they are, as an input or an output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Raw(pub Vec<u8>);

/// Text as it is, without the quotes of JSON, as an input or an output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(pub String);

/// Bytes are not what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

/// A value cannot be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError(String);

impl<T: Serialize + ?Sized> Encode for T {
    const CONTENT_TYPE: Option<&'static str> = Some("application/json");

    fn encode(&self) -> Result<Cow<'_, [u8]>, EncodeError> {
        let json = serde_json::to_vec(self).map_err(|error| {
            EncodeError(format!("expected `{}` to become JSON: {error}", type_name::<T>()))
        })?;
        let nothing = size_of_val(self) == 0 && json == JSON_OF_NOTHING;
        Ok(Cow::Owned(if nothing { Vec::new() } else { json }))
    }
}

impl<T: DeserializeOwned> Decode for T {
    fn decode(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let json = if bytes.is_empty() { JSON_OF_NOTHING } else { &bytes };
        serde_json::from_slice(json).map_err(|error| {
            let (expected, found) =
                (type_name::<T>(), if bytes.is_empty() { "nothing" } else { "" });
            DecodeError(match found {
                "" => format!("expected JSON of `{expected}`: {error}"),
                found => format!("expected JSON of `{expected}`, found {found}"),
            })
        })
    }
}

impl Encode for Raw {
    const CONTENT_TYPE: Option<&'static str> = None;

    fn encode(&self) -> Result<Cow<'_, [u8]>, EncodeError> {
        Ok(Cow::Borrowed(&self.0))
    }
}

impl Decode for Raw {
    fn decode(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Ok(Self(bytes))
    }
}

impl Encode for Text {
    const CONTENT_TYPE: Option<&'static str> = Some("text/plain; charset=utf-8");

    fn encode(&self) -> Result<Cow<'_, [u8]>, EncodeError> {
        Ok(Cow::Borrowed(self.0.as_bytes()))
    }
}

impl Decode for Text {
    fn decode(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        String::from_utf8(bytes).map(Self).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            DecodeError(format!("expected text in UTF-8, found another byte at offset {at}"))
        })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}
impl std::error::Error for EncodeError {}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Raw {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
