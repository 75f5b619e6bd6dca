//! STS's checks of the token of `AssumeRoleWithWebIdentity`, which the emulator lacks: the token is
//! well-formed, comes from a provider of the account, is signed, is for an audience of that provider, and
//! has not expired. The emulator checks whether the role trusts the subject.
//!
//! (Source: STS API Reference, `AssumeRoleWithWebIdentity`, "Errors"; the wording of the messages as issues
//! of client libraries quote it, such as
//! <https://github.com/aws-actions/configure-aws-credentials/issues/280>.)

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::Value;
use url::form_urlencoded;

use super::{operation::Operation, proxy::Proxy, reply::Reply};
use crate::error::LabError;

/// The public key of the tokens' issuer, once it is known.
#[derive(Default)]
pub(super) struct IssuerKey(Mutex<Option<Vec<u8>>>);

impl IssuerKey {
    pub(super) fn set(&self, key: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    fn get(&self) -> Option<Vec<u8>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A decoded token.
struct Token {
    header: Value,
    claims: Value,
    /// The signed part.
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    fn of(text: &str) -> Option<Self> {
        let [header, claims, signature] = text.split('.').collect::<Vec<_>>().try_into().ok()?;
        let json = |part: &str| -> Option<Value> {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            signed: format!("{header}.{claims}"),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether the signature is valid. Without the issuer's key, any signature is.
    fn is_signed(&self, key: Option<Vec<u8>>) -> bool {
        if self.header["alg"] == "none" || self.signature.is_empty() {
            return false;
        }
        key.is_none_or(|key| {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
            let is_own = self.header["alg"] == "ES256";
            is_own && key.verify(self.signed.as_bytes(), &self.signature).is_ok()
        })
    }

    fn is_for(&self, audience: &str) -> bool {
        match &self.claims["aud"] {
            Value::Array(all) => all.iter().any(|one| one == audience),
            one => one == audience,
        }
    }
}

/// STS's refusal of a token; `None` for a valid token and for any other operation.
pub(super) async fn refuse(
    proxy: &Proxy,
    operation: &Operation,
    body: &[u8],
) -> Result<Option<Reply>, LabError> {
    if operation.name != "AssumeRoleWithWebIdentity" {
        return Ok(None);
    }
    let form = form_urlencoded::parse(body);
    let token = form
        .into_owned()
        .find(|(name, _)| name == "WebIdentityToken");
    let text = token.map(|(_, token)| token).unwrap_or_default();
    let Some(token) = Token::of(&text) else {
        return Ok(Some(invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        )));
    };
    let issuer = token.claims["iss"].as_str().unwrap_or_default();
    let Some(audiences) = audiences(proxy, &operation.resource, issuer).await? else {
        return Ok(Some(invalid(&format!(
            "No OpenIDConnect provider found in your account for {issuer}"
        ))));
    };
    if !token.is_signed(proxy.issuer_key.get()) {
        return Ok(Some(invalid(
            "Couldn't retrieve verification key from your identity provider, please reference \
             AssumeRoleWithWebIdentity documentation for requirements",
        )));
    }
    let (now, end) = (Timestamp::now().as_second(), token.claims["exp"].as_i64());
    if end.is_none_or(|end| end <= now) {
        let message = format!(
            "Token expired: current date/time {now} must be before the expiration date/time {}",
            end.unwrap_or_default()
        );
        return Ok(Some(Reply::error(
            "sts",
            400,
            "ExpiredTokenException",
            &message,
        )));
    }
    if !audiences.iter().any(|audience| token.is_for(audience)) {
        return Ok(Some(invalid("Incorrect token audience")));
    }
    Ok(None)
}

fn invalid(message: &str) -> Reply {
    Reply::error("sts", 400, "InvalidIdentityToken", message)
}

/// The audiences of the account's provider for this issuer; `None` without such a provider.
async fn audiences(
    proxy: &Proxy,
    role: &str,
    issuer: &str,
) -> Result<Option<Vec<String>>, LabError> {
    let account = role.split(':').nth(4).unwrap_or_default();
    let provider = issuer.trim_start_matches("https://");
    let arn = format!("arn:aws:iam::{account}:oidc-provider/{provider}");
    let form = [
        ("Action", "GetOpenIDConnectProvider"),
        ("Version", "2010-05-08"),
        ("OpenIDConnectProviderArn", arn.as_str()),
    ];
    let reply = proxy.backend.ask_form(account, "iam", &form).await?;
    if !reply.status.is_success() {
        return Ok(None);
    }
    let xml = String::from_utf8_lossy(&reply.body).into_owned();
    let list = super::keys::element(&xml, "ClientIDList").unwrap_or_default();
    let members = list.split("<member>").skip(1);
    let names = members.filter_map(|member| member.split("</member>").next());
    Ok(Some(names.map(str::to_owned).collect()))
}
