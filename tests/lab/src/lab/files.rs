//! Files in the buckets of an account, read and written with full access.

use std::collections::BTreeMap;

use aws_sdk_s3::{
    error::{DisplayErrorContext, SdkError},
    primitives::ByteStream,
};

use super::{HUB_REGION, Lab};
use crate::{error::LabError, runtime};

/// An object without its time of modification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFile {
    /// The content, as text.
    pub text: String,
    /// The content type.
    pub content_type: String,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Lab {
    /// An account's bucket for sites in the hub's region, without versioning.
    pub fn site_bucket(&self, account: &str) -> Result<&str, LabError> {
        let mut accounts = self.aws.accounts().iter();
        let found = accounts.find(|info| info.name == account);
        let bucket = found.and_then(|info| info.sites.get(HUB_REGION));
        bucket
            .map(String::as_str)
            .ok_or_else(|| LabError::new(format!("account {account} has no bucket for sites")))
    }

    /// The files below a prefix of that bucket, by their keys without the prefix.
    pub fn files(
        &self,
        account: &str,
        prefix: &str,
    ) -> Result<BTreeMap<String, SiteFile>, LabError> {
        let bucket = self.site_bucket(account)?;
        let s3 = self.s3(account)?;
        let read = async {
            let mut files = BTreeMap::new();
            let list = s3.list_objects_v2().bucket(bucket).prefix(prefix);
            let page = list.send().await.map_err(|e| failed(prefix, &e))?;
            for key in page.contents().iter().filter_map(|object| object.key()) {
                let get = s3.get_object().bucket(bucket).key(key);
                let found = match get.send().await.map_err(SdkError::into_service_error) {
                    Err(error) if error.is_no_such_key() => continue,
                    found => found.map_err(|e| failed(key, &e))?,
                };
                let bytes = found.body.collect().await;
                let bytes = bytes.map_err(|e| failed(key, &e))?.into_bytes();
                let file = SiteFile {
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                    content_type: found.content_type.unwrap_or_default(),
                    metadata: found.metadata.unwrap_or_default().into_iter().collect(),
                };
                let path = key.strip_prefix(prefix).unwrap_or(key);
                files.insert(path.to_owned(), file);
            }
            Ok(files)
        };
        runtime::handle().block_on(read)
    }

    /// Puts a file into that bucket, past Sluice.
    pub fn put_file(&self, account: &str, key: &str, text: &str) -> Result<(), LabError> {
        let put = self.s3(account)?.put_object();
        let put = put.bucket(self.site_bucket(account)?).key(key);
        let put = put.body(ByteStream::from(text.as_bytes().to_vec())).send();
        let put = runtime::handle().block_on(put);
        put.map(drop).map_err(|e| failed(key, &e))
    }

    /// An S3 client with the root credentials of an account, straight to the emulator; its futures run on
    /// [`runtime::handle`].
    pub fn s3(&self, account: &str) -> Result<aws_sdk_s3::Client, LabError> {
        let config = self.aws.sdk_config(self.account_id(account)?, HUB_REGION);
        Ok(aws_sdk_s3::Client::new(&config))
    }
}

fn failed(what: &str, error: &impl std::error::Error) -> LabError {
    LabError::new(format!("{what}: {}", DisplayErrorContext(error)))
}
