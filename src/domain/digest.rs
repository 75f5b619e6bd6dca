//! SHA-256 digests: of artifacts, packages, configurations and keys.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_slice(digest(&SHA256, bytes).as_ref())
    }

    /// The digest of the canonical JSON of a value: keys sorted, no white space.
    ///
    /// `serde_json` keeps maps sorted as long as its `preserve_order` feature is off, so the
    /// conversion to [`serde_json::Value`] makes it canonical.
    pub fn of_json(value: &impl serde::Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        Self::of(value.to_string().as_bytes())
    }

    /// Parses 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Parses Base64, the format of Lambda's `CodeSha256`.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The digest in Base64, the format of Lambda's `CodeSha256`.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// The first eight digits, for names and messages.
    pub fn short(self) -> String {
        hex::encode(&self.0[..4])
    }

    fn from_slice(bytes: &[u8]) -> Self {
        let mut array = [0; 32];
        array.copy_from_slice(bytes);
        Self(array)
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// In the format of [`fmt::Display`].
impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses 64 hexadecimal digits.
impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not a SHA-256 digest"))
    }
}

/// Computes a digest over bytes that come in pieces.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Sha256 {
        Sha256::from_slice(self.0.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_round_trip_through_hex_and_base64() {
        let digest = Sha256::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(Sha256::from_hex(EMPTY), Some(digest));
        assert_eq!(Sha256::from_base64(&digest.to_base64()), Some(digest));
        assert_eq!(Sha256::from_hex("e3b0"), None);
    }

    #[test]
    fn a_digest_is_hexadecimal_in_json() {
        let text = format!("\"{EMPTY}\"");
        let digest = Sha256::of(b"");
        assert_eq!(serde_json::to_string(&digest).ok(), Some(text.clone()));
        assert_eq!(serde_json::from_str(&text).ok(), Some(digest));
        assert!(serde_json::from_str::<Sha256>("\"e3b0\"").is_err());
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let mut hasher = Hasher::default();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Sha256::of(b"abc"));
    }

    #[test]
    fn json_digest_does_not_depend_on_the_order_of_keys() {
        let one = serde_json::from_str::<serde_json::Value>(r#"{"a":1,"b":2}"#);
        let two = serde_json::from_str::<serde_json::Value>(r#"{"b":2,"a":1}"#);
        assert_eq!(Sha256::of_json(&one.ok()), Sha256::of_json(&two.ok()));
    }
}
