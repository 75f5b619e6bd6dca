//! A Deployment's pod template as a kubelet would run it: arguments and environment.
//!
//! Pure except for the choice of free ports. A field that asks for something the lab cannot do is an error
//! and never ignored: a chart that works here must mean the same in a pod.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, ObjectFieldSelector, PodSpec},
};

use crate::{error::LabError, process::free_port};

/// The name that the container must have.
const CONTAINER: &str = "controller";

/// The default mount path of a pod's token.
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// One pod of a Deployment, as the downward API describes it.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub spec: PodSpec,
}

impl Pod {
    /// The pod `name` that the Deployment's template describes.
    pub fn of(deployment: Deployment, name: String) -> Result<Self, LabError> {
        let namespace = deployment.metadata.namespace.unwrap_or_default();
        let template = deployment
            .spec
            .map(|spec| spec.template)
            .unwrap_or_default();
        let metadata = template.metadata.unwrap_or_default();
        let pod = Self {
            name,
            namespace,
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            spec: template.spec.unwrap_or_default(),
        };
        pod.check()?;
        Ok(pod)
    }

    /// The container.
    pub fn container(&self) -> &Container {
        &self.spec.containers[0]
    }

    /// Its service account.
    pub fn service_account(&self) -> &str {
        self.spec
            .service_account_name
            .as_deref()
            .unwrap_or("default")
    }

    /// A `fieldRef`'s value.
    pub fn field(&self, field: &ObjectFieldSelector) -> Result<String, LabError> {
        let path = field.field_path.as_str();
        let keyed = |map: &BTreeMap<String, String>, prefix: &str| {
            let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
            Some(map.get(key).cloned().unwrap_or_default())
        };
        match path {
            "metadata.name" => Ok(self.name.clone()),
            // No API server assigned one; the name is as unique.
            "metadata.uid" => Ok(format!("uid-of-{}", self.name)),
            "metadata.namespace" => Ok(self.namespace.clone()),
            "spec.serviceAccountName" => Ok(self.service_account().to_owned()),
            "spec.nodeName" => Ok("lab".to_owned()),
            "status.podIP" | "status.hostIP" => Ok("127.0.0.1".to_owned()),
            _ => keyed(&self.labels, "metadata.labels['")
                .or_else(|| keyed(&self.annotations, "metadata.annotations['"))
                .ok_or_else(|| self.cannot(&format!("fieldRef {path}"))),
        }
    }

    /// The error for something that the lab does not support.
    pub fn cannot(&self, what: &str) -> LabError {
        LabError::new(format!(
            "pod {}/{}: the lab does not support {what}",
            self.namespace, self.name
        ))
    }

    fn check(&self) -> Result<(), LabError> {
        let names: Vec<_> = self
            .spec
            .containers
            .iter()
            .map(|container| container.name.as_str())
            .collect();
        if names != [CONTAINER] {
            return Err(self.cannot(&format!(
                "containers {names:?}, only a single one named `{CONTAINER}`"
            )));
        }
        if self
            .spec
            .init_containers
            .as_ref()
            .is_some_and(|containers| !containers.is_empty())
        {
            return Err(self.cannot("init containers"));
        }
        let mounted = self
            .container()
            .volume_mounts
            .iter()
            .flatten()
            .any(|mount| mount.mount_path == TOKEN_DIR);
        if self.spec.automount_service_account_token == Some(false) && !mounted {
            return Err(LabError::new(format!(
                "pod {}/{}: automountServiceAccountToken is false and no volume gives a token, so that in a \
                 cluster the controller could not talk to the API server",
                self.namespace, self.name
            )));
        }
        Ok(())
    }
}

/// Replaces `$(NAME)` by the variable's value, as Kubernetes does in `command`, `args` and `env`:
/// an unknown name stays, `$$(NAME)` means `$(NAME)`.
pub(super) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix("$(")
            .and_then(|after| after.split_once(')'))
        {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[..rest.len() - after.len()]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// How paths and ports of the container appear on the host.
#[derive(Debug, Default)]
pub(super) struct HostView {
    mounts: Vec<(String, PathBuf)>,
    ports: BTreeMap<u16, u16>,
}

impl HostView {
    /// The mount paths of `container`, each below `root`.
    pub fn of(container: &Container, root: &Path) -> Self {
        let paths = container
            .volume_mounts
            .iter()
            .flatten()
            .map(|mount| mount.mount_path.as_str());
        let mut mounts: Vec<_> = paths
            .map(|path| (path.trim_end_matches('/').to_owned(), under(root, path)))
            .collect();
        // A nested mount takes precedence.
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self {
            mounts,
            ports: BTreeMap::new(),
        }
    }

    /// Container port to host port, for every address that was rewritten.
    pub fn ports(&self) -> &BTreeMap<u16, u16> {
        &self.ports
    }

    /// Translates an argument: a value, or a flag with one.
    pub fn argument(&mut self, argument: &str) -> Result<String, LabError> {
        match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => {
                Ok(format!("{flag}={}", self.value(value)?))
            }
            _ => self.value(argument),
        }
    }

    /// Translates a mounted path or an address to listen on; anything else stays.
    pub fn value(&mut self, value: &str) -> Result<String, LabError> {
        if let Some(port) = listen_port(value) {
            return Ok(format!("127.0.0.1:{}", self.port(port)?));
        }
        for (path, host) in &self.mounts {
            match value.strip_prefix(path.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    return Ok(format!("{}{rest}", host.display()));
                }
                _ => {}
            }
        }
        Ok(value.to_owned())
    }

    fn port(&mut self, container: u16) -> Result<u16, LabError> {
        if let Some(&host) = self.ports.get(&container) {
            return Ok(host);
        }
        let host = free_port()?;
        self.ports.insert(container, host);
        Ok(host)
    }
}

/// A container's path below `root`.
pub(super) fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_matches('/'))
}

fn listen_port(value: &str) -> Option<u16> {
    let port = ["0.0.0.0:", "[::]:", ":"]
        .into_iter()
        .find_map(|any| value.strip_prefix(any))?;
    port.parse().ok().filter(|&port| port != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_a_pod() {
        let env = BTreeMap::from([("NAME".to_owned(), "sluice".to_owned())]);
        assert_eq!(expand("--id=$(NAME)-$(NAME)", &env), "--id=sluice-sluice");
        assert_eq!(
            expand("$$(NAME) costs $5 or $(OTHER", &env),
            "$(NAME) costs $5 or $(OTHER"
        );
        assert_eq!(expand("$(OTHER)$", &env), "$(OTHER)$");
    }

    #[test]
    fn only_mounted_paths_and_listening_addresses_change() {
        let mut view = HostView {
            mounts: vec![
                ("/etc/sluice/tls".into(), "/h/tls".into()),
                ("/etc/sluice".into(), "/h/conf".into()),
            ],
            ports: BTreeMap::new(),
        };
        let mut changed = |argument: &str| view.argument(argument).unwrap();
        assert_eq!(
            changed("--config=/etc/sluice/config.yaml"),
            "--config=/h/conf/config.yaml"
        );
        assert_eq!(changed("/etc/sluice/tls/tls.crt"), "/h/tls/tls.crt");
        for same in [
            "/etc/sluice-other/x",
            "--log=info,sluice=debug",
            "https://host:8443",
            ":http",
            "10.0.0.1:80",
        ] {
            assert_eq!(changed(same), same);
        }
        let (flag, bare) = (changed("--listen=0.0.0.0:8080"), changed("[::]:8080"));
        let host = view.ports()[&8080];
        assert_eq!(flag, format!("--listen=127.0.0.1:{host}"));
        assert_eq!(bare, format!("127.0.0.1:{host}"));
        assert_eq!(view.ports().len(), 1);
    }
}
