//! A pod's volumes as files of the host.
//!
//! Reads Secrets and config maps as the admin and requests tokens as a kubelet does. A missing source that
//! is not optional keeps a pod from starting; here it is an error.

use std::{collections::BTreeMap, fs, path::Path};

use k8s_openapi::{
    ByteString,
    api::core::v1::{
        ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret, Volume, VolumeMount, VolumeProjection,
    },
};
use serde::de::DeserializeOwned;

use super::{
    ControlPlane, User,
    pod::{Pod, under},
};
use crate::error::LabError;

type Files = BTreeMap<String, Vec<u8>>;

/// Writes the files that the container mounts below `root`.
pub(super) fn materialise(
    control_plane: &ControlPlane,
    pod: &Pod,
    root: &Path,
) -> Result<(), LabError> {
    let mounts: &[VolumeMount] = pod.container().volume_mounts.as_deref().unwrap_or_default();
    for mount in mounts {
        let volumes = pod.spec.volumes.as_deref().unwrap_or_default();
        let volume = volumes
            .iter()
            .find(|volume| volume.name == mount.name)
            .ok_or_else(|| {
                pod.cannot(&format!(
                    "the mount {}: there is no such volume",
                    mount.name
                ))
            })?;
        let target = under(root, &mount.mount_path);
        if mount.sub_path_expr.is_some() {
            return Err(pod.cannot(&format!("subPathExpr of the mount {}", mount.name)));
        }
        if volume.empty_dir.is_some() {
            // Lives as long as the pod: a restarted container finds its earlier files.
            fs::create_dir_all(target)?;
            continue;
        }
        let files = contents(control_plane, pod, volume)?;
        if let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
            let missing = || {
                pod.cannot(&format!(
                    "the mount {}: its volume has no file {path}",
                    mount.name
                ))
            };
            write(&target, files.get(path).ok_or_else(missing)?)?;
            continue;
        }
        fs::create_dir_all(&target)?;
        for (path, bytes) in &files {
            write(&target.join(path), bytes)?;
        }
    }
    Ok(())
}

/// The data of a Secret, or `None` if it does not exist.
pub(super) fn secret(
    control_plane: &ControlPlane,
    pod: &Pod,
    name: &str,
) -> Result<Option<Files>, LabError> {
    let secret: Option<Secret> = get(control_plane, pod, "secret", name)?;
    Ok(secret.map(|secret| bytes(secret.data)))
}

/// The data of a `ConfigMap`, or `None` if it does not exist.
pub(super) fn config_map(
    control_plane: &ControlPlane,
    pod: &Pod,
    name: &str,
) -> Result<Option<Files>, LabError> {
    let map: Option<ConfigMap> = get(control_plane, pod, "configmap", name)?;
    Ok(map.map(|map| {
        let text = map
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, text)| (key, text.into_bytes()));
        text.chain(bytes(map.binary_data)).collect()
    }))
}

fn bytes(data: Option<BTreeMap<String, ByteString>>) -> Files {
    data.unwrap_or_default()
        .into_iter()
        .map(|(key, bytes)| (key, bytes.0))
        .collect()
}

fn get<T: DeserializeOwned>(
    control_plane: &ControlPlane,
    pod: &Pod,
    kind: &str,
    name: &str,
) -> Result<Option<T>, LabError> {
    let namespace = pod.namespace.as_str();
    let args = [
        "get",
        kind,
        name,
        "--namespace",
        namespace,
        "--ignore-not-found",
        "--output=json",
    ];
    let text = control_plane.kubectl_text(User::Admin, &args)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let object = serde_json::from_str(&text);
    object
        .map(Some)
        .map_err(|e| LabError::new(format!("{kind} {namespace}/{name}: {e}")))
}

fn contents(control_plane: &ControlPlane, pod: &Pod, volume: &Volume) -> Result<Files, LabError> {
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let files = secret(control_plane, pod, name)?;
        return select(
            pod,
            &format!("secret {name}"),
            files,
            source.items.as_deref(),
            source.optional,
        );
    }
    if let Some(source) = &volume.config_map {
        let files = config_map(control_plane, pod, &source.name)?;
        return select(
            pod,
            &format!("configmap {}", source.name),
            files,
            source.items.as_deref(),
            source.optional,
        );
    }
    if let Some(source) = &volume.downward_api {
        return downward(pod, source.items.as_deref());
    }
    if let Some(source) = &volume.projected {
        let mut all = Files::new();
        for projection in source.sources.iter().flatten() {
            all.extend(projected(control_plane, pod, projection)?);
        }
        return Ok(all);
    }
    Err(pod.cannot(&format!("the type of the volume {}", volume.name)))
}

fn projected(
    control_plane: &ControlPlane,
    pod: &Pod,
    source: &VolumeProjection,
) -> Result<Files, LabError> {
    if let Some(token) = &source.service_account_token {
        let audience = token
            .audience
            .as_deref()
            .filter(|audience| !audience.is_empty());
        let text = control_plane.token_for(&pod.namespace, pod.service_account(), audience)?;
        return Ok(Files::from([(token.path.clone(), text.into_bytes())]));
    }
    if let Some(source) = &source.secret {
        let files = secret(control_plane, pod, &source.name)?;
        return select(
            pod,
            &format!("secret {}", source.name),
            files,
            source.items.as_deref(),
            source.optional,
        );
    }
    if let Some(source) = &source.config_map {
        let files = config_map(control_plane, pod, &source.name)?;
        return select(
            pod,
            &format!("configmap {}", source.name),
            files,
            source.items.as_deref(),
            source.optional,
        );
    }
    if let Some(source) = &source.downward_api {
        return downward(pod, source.items.as_deref());
    }
    Err(pod.cannot("a projected source that is no token, secret, configMap or downwardAPI"))
}

fn downward(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>) -> Result<Files, LabError> {
    let value = |item: &DownwardAPIVolumeFile| {
        let field = item
            .field_ref
            .as_ref()
            .ok_or_else(|| pod.cannot("a resourceFieldRef"))?;
        Ok((item.path.clone(), pod.field(field)?.into_bytes()))
    };
    items.unwrap_or_default().iter().map(value).collect()
}

/// The files that `items` selects, under their paths; all files without `items`.
fn select(
    pod: &Pod,
    what: &str,
    files: Option<Files>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Files, LabError> {
    let optional = optional == Some(true);
    let Some(files) = files else {
        return if optional {
            Ok(Files::new())
        } else {
            Err(pod.cannot(&format!("without the {what}")))
        };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(files);
    };
    let mut selected = Files::new();
    for item in items {
        match files.get(&item.key) {
            Some(bytes) => drop(selected.insert(item.path.clone(), bytes.clone())),
            None if optional => {}
            None => return Err(pod.cannot(&format!("without the key {} of the {what}", item.key))),
        }
    }
    Ok(selected)
}

/// Replaces the file atomically: a running controller never reads half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)?;
    Ok(())
}
