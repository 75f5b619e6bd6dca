//! What a namespace may touch in an account.
//!
//! An [`Account`] carries grants; those whose selector matches the namespace's labels are the
//! namespace's [`Permissions`]. They are checked when a plan is validated and become the session
//! policy of the client that carries it out.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::v1alpha1::{Account, Grant};

/// The grants of one account that apply to one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// Each allows its functions to run as its roles, and its buckets.
    pub grants: Vec<Allowed>,
}

/// What one grant allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowed {
    /// Patterns of function names.
    pub functions: Vec<String>,
    /// Patterns of role names, path included.
    pub roles: Vec<String>,
    /// Patterns of bucket names.
    pub buckets: Vec<String>,
    /// Whether what exists there and is nobody's may be taken over.
    pub may_adopt: bool,
}

impl Permissions {
    /// The grants of `account` whose selector matches these labels.
    pub fn of(account: &Account, namespace_labels: &BTreeMap<String, String>) -> Self {
        let allowed = |grant: &Grant| Allowed {
            functions: grant.functions.clone(),
            roles: grant.roles.clone(),
            buckets: grant.buckets.clone(),
            may_adopt: grant.may_adopt,
        };
        let grants = account
            .spec
            .grants
            .iter()
            .filter(|grant| selects(&grant.namespace_selector, namespace_labels))
            .map(allowed)
            .collect();
        Self { grants }
    }

    /// Whether some grant allows to take over this function.
    pub fn allow_adopting_function(&self, function: &str) -> bool {
        let mut grants = self.grants.iter().filter(|grant| grant.may_adopt);
        grants.any(|grant| grant.functions.iter().any(|one| matches(one, function)))
    }

    /// Whether some grant allows this bucket.
    pub fn allow_bucket(&self, bucket: &str) -> bool {
        let mut patterns = self.grants.iter().flat_map(|grant| &grant.buckets);
        patterns.any(|pattern| matches(pattern, bucket))
    }

    /// Whether some grant allows this function to run as this role (its name with path).
    pub fn allow_function(&self, function: &str, role: &str) -> bool {
        self.grants.iter().any(|grant| {
            grant
                .functions
                .iter()
                .any(|pattern| matches(pattern, function))
                && grant.roles.iter().any(|pattern| matches(pattern, role))
        })
    }
}

/// Whether an Account keeps artifacts in this bucket: whatever its grants say, it is no place for
/// anything else.
pub fn is_artifact_bucket(account: &Account, bucket: &str) -> bool {
    let mut regions = account.spec.regions.iter();
    regions.any(|region| region.artifact_bucket == bucket)
}

/// Whether `text` is what `pattern` says, `*` standing for any characters, `/` included.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a selector matches labels, as Kubernetes defines it. An operator it does not know
/// matches nothing.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|rule| {
        let value = labels.get(&rule.key);
        let listed =
            || value.is_some_and(|value| rule.values.iter().flatten().any(|one| one == value));
        match rule.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    exact && expressions
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("checkout-*", "checkout-api", true),
            ("checkout-*", "checkout-", true),
            ("checkout-*", "my-checkout-api", false),
            ("*", "", true),
            ("*-api", "checkout-api", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("app", "app", true),
            ("app", "apps", false),
            ("team/*", "team/checkout/api", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_function_needs_its_role_in_the_same_grant() {
        let grant = |function: &str, role: &str| Allowed {
            functions: vec![function.into()],
            roles: vec![role.into()],
            ..Allowed::default()
        };
        let permissions = Permissions {
            grants: vec![grant("a-*", "role-a"), grant("b-*", "role-b")],
        };
        assert!(permissions.allow_function("a-api", "role-a"));
        assert!(!permissions.allow_function("a-api", "role-b"));
        assert!(!Permissions::default().allow_function("a-api", "role-a"));
    }

    #[test]
    fn a_function_is_adopted_only_under_a_grant_that_names_it_and_says_so() {
        let grant = |function: &str, may_adopt| Allowed {
            functions: vec![function.into()],
            may_adopt,
            ..Allowed::default()
        };
        let permissions = Permissions {
            grants: vec![grant("a-*", false), grant("b-*", true)],
        };
        assert!(permissions.allow_adopting_function("b-api"));
        assert!(!permissions.allow_adopting_function("a-api"));
        assert!(!permissions.allow_adopting_function("c-api"));
    }

    #[test]
    fn a_bucket_is_allowed_by_any_grant() {
        let buckets = |pattern: &str| Allowed {
            buckets: vec![pattern.into()],
            ..Allowed::default()
        };
        let permissions = Permissions {
            grants: vec![buckets("shop-site-*"), buckets("docs")],
        };
        assert!(permissions.allow_bucket("shop-site-111111111111"));
        assert!(permissions.allow_bucket("docs"));
        assert!(!permissions.allow_bucket("docs-old"));
        assert!(!Permissions::default().allow_bucket("docs"));
    }

    #[test]
    fn selectors_follow_kubernetes() {
        let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        let rule = |operator: &str, values: &[&str]| LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "team".into(),
                operator: operator.into(),
                values: Some(values.iter().map(ToString::to_string).collect()),
            }]),
        };
        assert!(selects(&LabelSelector::default(), &labels));
        assert!(selects(&rule("In", &["shop", "pay"]), &labels));
        assert!(!selects(&rule("NotIn", &["shop"]), &labels));
        assert!(selects(&rule("NotIn", &["shop"]), &BTreeMap::new()));
        assert!(selects(&rule("Exists", &[]), &labels));
        assert!(!selects(&rule("DoesNotExist", &[]), &labels));
        assert!(!selects(&rule("Resembles", &["shop"]), &labels));
    }
}
