//! The key that signs service-account tokens.
//!
//! Kubernetes reads PEM: PKCS #8 for the private half, `SubjectPublicKeyInfo` for the public one.

use std::{fmt::Write as _, fs, path::Path};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::{SecureRandom as _, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::error::LabError;

/// Writes a new ECDSA P-256 key pair.
pub(super) fn write_signing_key(private: &Path, public: &Path) -> Result<(), LabError> {
    let failed = |_| LabError::new("the service-account signing key could not be made");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
    let pkcs8 = pair.to_pkcs8v1().map_err(failed)?;
    let spki: PublicKeyX509Der = pair.public_key().as_der().map_err(failed)?;
    fs::write(private, pem("PRIVATE KEY", pkcs8.as_ref()))?;
    fs::write(public, pem("PUBLIC KEY", spki.as_ref()))?;
    Ok(())
}

/// The public key in X.509 format (DER), from PEM.
pub(super) fn public_key(pem: &str) -> Result<Vec<u8>, LabError> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    let der = STANDARD.decode(text);
    der.map_err(|_| LabError::new("the key of the service accounts' tokens is not PEM"))
}

/// A random bearer token: other users of this machine can reach the API server too.
pub(super) fn random_token() -> Result<String, LabError> {
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| LabError::new("no random bytes for a token"))?;
    Ok(hex::encode(bytes))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        let _ = writeln!(pem, "{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(pem, "-----END {label}-----");
    pem
}
