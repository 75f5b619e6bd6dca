//! The accounts of the lab: a hub that holds the access key, and two accounts to deliver to.
//!
//! A boto3 script creates them once, after the emulator's start. boto3 is part of the emulator's
//! installation.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::error::LabError;

/// Regions that every account has an artifact bucket in.
pub const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];
/// External id that the deployer roles require.
pub const EXTERNAL_ID: &str = "sluice-lab";
/// Audience of the tokens that the web-identity role accepts.
pub const AUDIENCE: &str = "sts.amazonaws.com";
/// Subject of the tokens that the web-identity role accepts.
pub const SUBJECT: &str = "system:serviceaccount:sluice-system:sluice";

const ACCOUNTS: [(&str, &str); 3] = [
    ("hub", "111111111111"),
    ("dev", "222222222222"),
    ("prod", "333333333333"),
];
const SCRIPT: &str = include_str!("bootstrap.py");

/// One account and the resources that a platform team set up in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountInfo {
    /// `hub`, `dev` or `prod`.
    pub name: String,
    /// Twelve digits; also the access key of the account's root user.
    pub id: String,
    /// The role that the hub's user may assume to deliver into this account.
    pub role_arn: String,
    /// A role that functions of this account can run as.
    pub execution_role_arn: String,
    /// The service role for stacks: it may manage resources whose names begin with `lab-`, as the names of the
    /// stacks that `role_arn` may deliver do.
    pub stack_role_arn: String,
    /// The external id that assuming `role_arn` requires.
    pub external_id: String,
    /// The role for a token of the controller's `ServiceAccount`; only dev has one.
    pub web_identity_role_arn: Option<String>,
    /// Artifact bucket by region, with versioning on and a rule that aborts incomplete uploads.
    pub buckets: BTreeMap<String, String>,
    /// A bucket for files by region, without versioning, as for a website.
    pub sites: BTreeMap<String, String>,
}

/// The long-lived key of the hub's user, which may assume every account's deployer role.
#[derive(Clone, Deserialize)]
pub struct AccessKey {
    /// `AWS_ACCESS_KEY_ID`
    pub id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The script's output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accounts {
    pub(super) access_key: AccessKey,
    /// Hub, dev and prod, in this order.
    pub(super) accounts: Vec<AccountInfo>,
}

/// Creates the accounts in the emulator at `endpoint`, with `issuer` as dev's OIDC provider.
pub(super) async fn create(
    python: &Path,
    endpoint: &str,
    issuer: &str,
) -> Result<Accounts, LabError> {
    let accounts: Vec<_> = ACCOUNTS
        .iter()
        .map(|(name, id)| serde_json::json!({ "name": name, "id": id }))
        .collect();
    let request = serde_json::json!({
        "endpoint": endpoint,
        "regions": REGIONS,
        "accounts": accounts,
        "externalId": EXTERNAL_ID,
        "issuer": issuer,
        "audience": AUDIENCE,
        "subject": SUBJECT,
    });
    let answer = run(python, request.to_string().as_bytes()).await?;
    let created: Accounts = serde_json::from_slice(&answer).map_err(|e| {
        LabError::new(format!(
            "the accounts' bootstrap script did not print JSON: {e}"
        ))
    })?;
    if created.accounts.len() != ACCOUNTS.len() {
        return Err(LabError::new(
            "the accounts' bootstrap script omitted an account",
        ));
    }
    Ok(created)
}

async fn run(python: &Path, input: &[u8]) -> Result<Vec<u8>, LabError> {
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| LabError::new(format!("cannot run {}: {e}", python.display())))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).await?;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(LabError::new(format!(
        "creating the accounts in the AWS emulator failed ({}):\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}
