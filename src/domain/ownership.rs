//! Whose a function is: written as tags, read back before anything is changed.

use std::collections::BTreeMap;

/// The tag that names the cluster, by the uid of its `kube-system` namespace.
pub const CLUSTER: &str = "sluice.dev/cluster";
/// The tag that names the Deployment's namespace.
pub const NAMESPACE: &str = "sluice.dev/namespace";
/// The tag that names the Deployment.
pub const NAME: &str = "sluice.dev/name";

/// A Deployment of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// The Deployment's namespace.
    pub namespace: String,
    /// The Deployment's name.
    pub name: String,
}

impl Owner {
    /// The tags that say so.
    pub fn tags(&self) -> BTreeMap<String, String> {
        [
            (CLUSTER, &self.cluster),
            (NAMESPACE, &self.namespace),
            (NAME, &self.name),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
    }

    /// Why something with these tags must not be touched; `None` where it is ours.
    pub fn refusal(&self, tags: &BTreeMap<String, String>) -> Option<String> {
        let tag = |key: &str| tags.get(key).map(String::as_str);
        match (tag(CLUSTER), tag(NAMESPACE), tag(NAME)) {
            (Some(cluster), Some(namespace), Some(name)) => {
                if cluster != self.cluster {
                    return Some(format!(
                        "it belongs to Deployment {namespace}/{name} of another cluster (tag {CLUSTER}={cluster})"
                    ));
                }
                let ours = namespace == self.namespace && name == self.name;
                (!ours).then(|| format!("it belongs to Deployment {namespace}/{name}"))
            }
            _ => Some(
                "it exists and was not created by Sluice; choose another name, or delete it if it is no longer needed"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(cluster: &str, name: &str) -> Owner {
        Owner {
            cluster: cluster.into(),
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    #[test]
    fn only_the_same_deployment_of_the_same_cluster_may_touch_it() {
        let ours = owner("c1", "checkout");
        assert_eq!(ours.refusal(&ours.tags()), None);
        let other = ours.refusal(&owner("c1", "payment").tags());
        assert_eq!(
            other.as_deref(),
            Some("it belongs to Deployment shop/payment")
        );
        assert!(
            ours.refusal(&owner("c2", "checkout").tags())
                .is_some_and(|why| why.contains("another cluster"))
        );
        assert!(
            ours.refusal(&BTreeMap::new())
                .is_some_and(|why| why.contains("not created by Sluice"))
        );
    }
}
