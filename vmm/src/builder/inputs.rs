//! Inputs of any bytes within JSON: base64, so that they take little more room than they have.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(inputs: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
    inputs.iter().map(|input| BASE64_STANDARD.encode(input)).collect::<Vec<_>>().serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let decoded = texts.iter().map(|text| BASE64_STANDARD.decode(text));
    decoded.collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}
