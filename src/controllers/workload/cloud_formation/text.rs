//! The texts of templates in archives.

use crate::{
    controllers::workload::archive::Archive,
    domain::{archive::ZipEntry, limits, workload::cloud_formation::too_large},
    ports::CallError,
};

/// The text of a template in an archive.
pub async fn text_at(archive: &Archive, entry: &ZipEntry, path: &str) -> Result<String, CallError> {
    if entry.packed.size > limits::TEMPLATE {
        return Err(archive.unfit(too_large(entry.packed.size)));
    }
    let bytes = archive.read(path, &entry.packed).await?;
    text(archive, bytes)
}

/// The bytes of a template as text.
pub fn text(archive: &Archive, bytes: Vec<u8>) -> Result<String, CallError> {
    if bytes.is_empty() {
        return Err(archive.unfit("the template is empty"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        archive.unfit(format!("the template is not UTF-8 text: see byte {at}"))
    })
}
