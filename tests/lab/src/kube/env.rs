//! A container's environment: plain values, references and `envFrom`.
//!
//! Reads Secrets and config maps as the admin, as a kubelet does when it starts a container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::EnvVar;

use super::{
    ControlPlane,
    pod::{Pod, expand},
    volumes,
};
use crate::error::LabError;

/// The container's `envFrom` and `env`, with `$(NAME)` replaced by earlier values.
pub(super) fn declared(
    control_plane: &ControlPlane,
    pod: &Pod,
) -> Result<BTreeMap<String, String>, LabError> {
    let mut env = BTreeMap::new();
    for source in pod.container().env_from.iter().flatten() {
        let (what, files, optional) = match (&source.secret_ref, &source.config_map_ref) {
            (Some(secret), _) => (
                &secret.name,
                volumes::secret(control_plane, pod, &secret.name)?,
                secret.optional,
            ),
            (_, Some(map)) => (
                &map.name,
                volumes::config_map(control_plane, pod, &map.name)?,
                map.optional,
            ),
            _ => return Err(pod.cannot("an envFrom that is no secretRef or configMapRef")),
        };
        if files.is_none() && optional != Some(true) {
            return Err(pod.cannot(&format!("envFrom without {what}")));
        }
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in files.unwrap_or_default() {
            env.insert(
                format!("{prefix}{key}"),
                String::from_utf8_lossy(&value).into_owned(),
            );
        }
    }
    for variable in pod.container().env.iter().flatten() {
        if let Some(value) = env_value(control_plane, pod, variable, &env)? {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

/// `None` for an optional reference to a missing key or object.
fn env_value(
    control_plane: &ControlPlane,
    pod: &Pod,
    variable: &EnvVar,
    before: &BTreeMap<String, String>,
) -> Result<Option<String>, LabError> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(expand(
            variable.value.as_deref().unwrap_or_default(),
            before,
        )));
    };
    if let Some(field) = &from.field_ref {
        return pod.field(field).map(Some);
    }
    let (name, key, files, optional) = match (&from.secret_key_ref, &from.config_map_key_ref) {
        (Some(r), _) => (
            &r.name,
            &r.key,
            volumes::secret(control_plane, pod, &r.name)?,
            r.optional,
        ),
        (_, Some(r)) => (
            &r.name,
            &r.key,
            volumes::config_map(control_plane, pod, &r.name)?,
            r.optional,
        ),
        _ => return Err(pod.cannot(&format!("the valueFrom of {}", variable.name))),
    };
    match files.and_then(|mut files| files.remove(key)) {
        Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => Err(pod.cannot(&format!(
            "{} without the key {key} of {name}",
            variable.name
        ))),
    }
}
