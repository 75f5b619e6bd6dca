//! The Accounts that an Account goes through (`assumeRole.via`).

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::{
    api::v1alpha1::Account,
    ports::{CallError, CallErrorKind, cloud::AccountDirectory},
};

/// The most roles that are assumed one after the other.
const MAX_ROLES: usize = 4;

/// The Accounts behind `assumeRole.via`, the nearest first; empty without one.
pub fn via(
    account: &Account,
    directory: &dyn AccountDirectory,
) -> Result<Vec<Arc<Account>>, CallError> {
    let first = account.name_any();
    let mut path = vec![first.clone()];
    let mut behind: Vec<Arc<Account>> = Vec::new();
    let refused = |message: String| {
        let resource = format!("Account {first}");
        Err(CallError::new(
            "resolve assumeRole.via",
            resource,
            CallErrorKind::Invalid,
            message,
        ))
    };
    loop {
        let from = behind.last().map_or(account, AsRef::as_ref);
        let assumed = from.spec.credentials.assume_role.as_ref();
        if assumed.is_some() && path.len() > MAX_ROLES {
            let path = path.join(" → ");
            return refused(format!(
                "a chain of more than {MAX_ROLES} roles ({path}): shorten spec.credentials.assumeRole.via"
            ));
        }
        let Some(name) = assumed.and_then(|role| role.via.clone()) else {
            return Ok(behind);
        };
        let seen = path.contains(&name);
        path.push(name.clone());
        if seen {
            let path = path.join(" → ");
            return refused(format!(
                "spec.credentials.assumeRole.via is circular: {path}"
            ));
        }
        let Some(next) = directory.account(&name) else {
            let from = &path[path.len() - 2];
            return refused(format!(
                "Account {from} goes via Account {name}, which does not exist: create it or correct \
                 spec.credentials.assumeRole.via"
            ));
        };
        behind.push(next);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::v1alpha1::{AccountSpec, AssumeRole, Credentials};

    struct Accounts(BTreeMap<String, Arc<Account>>);

    impl AccountDirectory for Accounts {
        fn account(&self, name: &str) -> Option<Arc<Account>> {
            self.0.get(name).cloned()
        }
    }

    /// Accounts with a role each, by name and by the Account that they go through.
    fn accounts(links: &[(&str, Option<&str>)]) -> Accounts {
        let account = |name: &str, via: Option<&str>| {
            let role = AssumeRole {
                role_arn: "arn:aws:iam::222222222222:role/sluice".into(),
                external_id: None,
                via: via.map(str::to_owned),
                session_tags: BTreeMap::new(),
            };
            let spec = AccountSpec {
                requires: None,
                account_id: "222222222222".into(),
                regions: Vec::new(),
                endpoint_url: None,
                credentials: Credentials {
                    assume_role: Some(role),
                    ..Credentials::default()
                },
                sources: Vec::new(),
                grants: Vec::new(),
            };
            Arc::new(Account::new(name, spec))
        };
        let entries = links
            .iter()
            .map(|(name, via)| (name.to_string(), account(name, *via)));
        Accounts(entries.collect())
    }

    fn chain(links: &[(&str, Option<&str>)], of: &str) -> Result<Vec<String>, String> {
        let directory = accounts(links);
        let account = directory.account(of).expect("listed");
        via(&account, &directory)
            .map(|behind| behind.iter().map(|account| account.name_any()).collect())
            .map_err(|error| error.message)
    }

    #[test]
    fn chain_ends_at_the_account_with_its_own_credentials() {
        let links = [("prod", Some("dev")), ("dev", Some("hub")), ("hub", None)];
        assert_eq!(chain(&links, "prod"), Ok(vec!["dev".into(), "hub".into()]));
        assert_eq!(chain(&links, "hub"), Ok(Vec::new()));
    }

    #[test]
    fn circular_account_chain_is_reported_with_its_path() {
        let links = [("a", Some("b")), ("b", Some("c")), ("c", Some("b"))];
        let error = chain(&links, "a").expect_err("a circle");
        assert!(error.ends_with("a → b → c → b"), "{error}");
    }

    #[test]
    fn missing_account_is_reported_with_its_referrer() {
        let error = chain(&[("a", Some("b")), ("b", Some("c"))], "a").expect_err("no c");
        assert!(error.starts_with("Account b goes via Account c"), "{error}");
    }

    #[test]
    fn account_chain_has_at_most_four_roles() {
        let mut links = vec![
            ("a", Some("b")),
            ("b", Some("c")),
            ("c", Some("d")),
            ("d", None),
        ];
        assert_eq!(chain(&links, "a").map(|chain| chain.len()), Ok(3));
        links[3] = ("d", Some("e"));
        links.push(("e", None));
        let error = chain(&links, "a").expect_err("five roles");
        assert!(error.contains("a → b → c → d → e"), "{error}");
    }
}
