//! The owner of a function: written as tags, and read back before any change.

use std::collections::BTreeMap;

/// The tag that names the cluster, by the uid of its `kube-system` namespace.
pub const CLUSTER: &str = "sluice.dev/cluster";
/// The tag that names the Deployment's namespace.
pub const NAMESPACE: &str = "sluice.dev/namespace";
/// The tag that names the Deployment.
pub const NAME: &str = "sluice.dev/name";

/// The tag that names the Release, by its uid, for which a function was created. A function without it
/// existed before a failed run, whatever AWS answered then, so the restore does not delete it.
pub const CREATED_FOR: &str = "sluice.dev/created-for";

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

/// Whether the key is that of a tag that names the owner.
pub fn is_mark(key: &str) -> bool {
    [CLUSTER, NAMESPACE, NAME].contains(&key)
}

/// Whether these tags name an owner.
pub fn is_marked(tags: &BTreeMap<String, String>) -> bool {
    [CLUSTER, NAMESPACE, NAME]
        .iter()
        .all(|key| tags.contains_key(*key))
}

impl Owner {
    /// The tags that mark the owner's resources.
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

    /// The owner of a resource with these tags.
    pub fn claim(&self, tags: &BTreeMap<String, String>) -> Claim {
        let tag = |key: &str| tags.get(key).map(String::as_str);
        let (Some(cluster), Some(namespace), Some(name)) =
            (tag(CLUSTER), tag(NAMESPACE), tag(NAME))
        else {
            return Claim::Unowned;
        };
        if cluster != self.cluster {
            return Claim::Others(format!(
                "it is owned by Deployment {namespace}/{name} of another cluster (tag {CLUSTER}={cluster})"
            ));
        }
        if namespace == self.namespace && name == self.name {
            Claim::Ours
        } else {
            Claim::Others(format!("it is owned by Deployment {namespace}/{name}"))
        }
    }

    /// Whether this Deployment created the resource, and did not only adopt it.
    pub fn has_created(&self, tags: &BTreeMap<String, String>) -> bool {
        self.claim(tags) == Claim::Ours && tags.contains_key(CREATED_FOR)
    }

    /// Why Sluice must not touch a resource with these tags; `None` if it is ours.
    pub fn refusal(&self, tags: &BTreeMap<String, String>) -> Option<String> {
        self.obstacle(tags, &Adoption::NotAsked)
    }

    /// Why Sluice can't deliver to a resource with these tags; `None` if it is ours, or may be adopted.
    pub fn obstacle(&self, tags: &BTreeMap<String, String>, adoption: &Adoption) -> Option<String> {
        match (self.claim(tags), adoption) {
            (Claim::Ours, _) | (Claim::Unowned, Adoption::Granted { .. }) => None,
            (Claim::Others(why), _) => Some(why),
            (Claim::Unowned, Adoption::NotAsked) => Some(
                "it exists and was not created by Sluice; choose another name, delete it if it is no longer \
                 needed, or adopt it: set adopt on the component, and have the platform team set mayAdopt \
                 on the Account's grant"
                    .to_owned(),
            ),
            (Claim::Unowned, Adoption::NotGranted { account }) => Some(format!(
                "it exists and was not created by Sluice; the component sets adopt, but no grant of Account \
                 {account} that covers it has mayAdopt: ask the platform team, or choose another name"
            )),
        }
    }
}

/// The owner of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This Deployment.
    Ours,
    /// No owner: Sluice did not create it.
    Unowned,
    /// Another Deployment; says which.
    Others(String),
}

/// Whether a component adopts unmanaged resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Adoption {
    /// The spec does not ask for adoption.
    #[default]
    NotAsked,
    /// The spec asks for it, but no grant allows it.
    NotGranted {
        /// The Account whose grant would have to allow it.
        account: String,
    },
    /// The spec asks for it, and a grant allows it.
    Granted {
        /// Whether to adopt also functions that are invoked without a version or alias.
        unqualified: bool,
    },
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
    fn only_the_owner_may_touch_a_resource() {
        let ours = owner("c1", "checkout");
        assert_eq!(ours.refusal(&ours.tags()), None);
        let other = ours.refusal(&owner("c1", "payment").tags());
        assert_eq!(
            other.as_deref(),
            Some("it is owned by Deployment shop/payment")
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

    #[test]
    fn only_unmanaged_resources_are_adopted_with_spec_and_grant() {
        let ours = owner("c1", "checkout");
        let untagged = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        let ungranted = Adoption::NotGranted {
            account: "dev".into(),
        };
        let granted = Adoption::Granted { unqualified: false };
        assert_eq!(ours.obstacle(&untagged, &granted), None);
        for (adoption, parts) in [
            (Adoption::NotAsked, ["adopt", "mayAdopt"]),
            (ungranted, ["Account dev", "mayAdopt"]),
        ] {
            let why = ours.obstacle(&untagged, &adoption).expect("an obstacle");
            assert!(parts.iter().all(|part| why.contains(part)), "{why}");
        }
        for other in [owner("c1", "payment"), owner("c2", "checkout")] {
            let why = ours.obstacle(&other.tags(), &granted);
            assert!(why.is_some_and(|why| why.contains("Deployment shop/")));
        }
    }
}
