//! Entry into a stage, by path and requirement.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use serde_json::{Value, json};

use super::*;

fn account(more: &Value) -> AccountSpec {
    let mut spec = json!({
        "accountId": "222222222222",
        "regions": [{"name": "eu-west-1", "artifactBucket": "packages"}],
        "credentials": {"ambient": {}},
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn source(url: Option<&str>, protected: Option<bool>) -> ReleaseSource {
    ReleaseSource {
        url: url.map(str::to_owned),
        project: "shop/checkout".to_owned(),
        git_ref: "main".to_owned(),
        ref_protected: protected,
        ..ReleaseSource::default()
    }
}

fn ask(
    accounts: &[(&str, Option<&AccountSpec>)],
    source: &ReleaseSource,
    way: Way,
) -> Result<Requirements, Refusal> {
    let guard = Guard {
        stage: "prod",
        gate: None,
        protected_ref: false,
        accounts: accounts.to_vec(),
    };
    needs(&guard, "checkout-5", source, way)
}

const WAYS: [Way; 3] = [Way::Forward, Way::Rollback, Way::Correction];

#[test]
fn missing_account_refuses_on_every_path() {
    let dev = account(&json!({}));
    for way in WAYS {
        let found = ask(
            &[("dev", Some(&dev)), ("prod", None)],
            &source(None, None),
            way,
        );
        let refusal = found.unwrap_err();
        assert_eq!(refusal.reason, Reason::AccountNotFound);
        assert!(
            refusal.message.contains("no Account prod"),
            "{}",
            refusal.message
        );
    }
}

#[test]
fn rollback_needs_account_approvals_but_no_windows() {
    let strict = account(&json!({"requires": {
        "approval": {"kubernetes": {"groups": ["platform"]}},
        "windows": [{"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "8h"}],
        "deletion": {
            "approval": {"kubernetes": {"groups": ["owners"]}},
            "windows": [{"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "8h"}],
        },
    }}));
    let counts = |way, deletes| {
        let asked = ask(&[("prod", Some(&strict))], &source(None, None), way).unwrap();
        let asked = asked.of_plan(deletes);
        (asked.approvals.len(), asked.windows.len())
    };
    assert_eq!(counts(Way::Forward, false), (1, 1));
    assert_eq!(counts(Way::Forward, true), (2, 2));
    assert_eq!(counts(Way::Rollback, false), (1, 0));
    assert_eq!(counts(Way::Rollback, true), (2, 0));
    assert_eq!(counts(Way::Correction, true), (0, 0));
}

#[test]
fn account_that_requires_protected_refs_refuses_other_refs() {
    let strict = account(&json!({"requires": {"protectedRef": true}}));
    for way in WAYS {
        let found = |protected| ask(&[("prod", Some(&strict))], &source(None, protected), way);
        assert!(found(Some(true)).is_ok());
        for unprotected in [None, Some(false)] {
            let refusal = found(unprotected).unwrap_err();
            assert_eq!(refusal.reason, Reason::RefNotProtected, "{way:?}");
            assert!(
                refusal.message.contains("Account prod"),
                "{}",
                refusal.message
            );
        }
    }
}

#[test]
fn deployment_requires_protected_refs_only_forward() {
    let dev = account(&json!({}));
    let guard = Guard {
        stage: "prod",
        gate: None,
        protected_ref: true,
        accounts: vec![("dev", Some(&dev))],
    };
    let ask = |protected, way| needs(&guard, "checkout-5", &source(None, protected), way);
    assert!(ask(Some(true), Way::Forward).is_ok());
    assert_eq!(
        ask(None, Way::Forward).unwrap_err().reason,
        Reason::RefNotProtected
    );
    assert!(ask(None, Way::Rollback).is_ok());
}

#[test]
fn account_accepts_only_its_named_sources() {
    let strict = account(&json!({"sources": [
        {"url": "https://gitlab.example.com/", "projects": ["shop/*"]},
        {"url": "https://other.example.com", "projects": ["tools/deploy"]},
    ]}));
    for way in WAYS {
        let found = |url| ask(&[("prod", Some(&strict))], &source(url, Some(true)), way);
        assert!(found(Some("https://gitlab.example.com")).is_ok());
        for foreign in [
            None,
            Some("https://other.example.com"),
            Some("https://gitlab.example.com:8443"),
            Some("https://gitlab.example.com.evil.test"),
            Some("not a url"),
        ] {
            assert_eq!(
                found(foreign).unwrap_err().reason,
                Reason::SourceNotAllowed,
                "{foreign:?}"
            );
        }
    }
}

#[test]
fn same_gitlab_is_recognized_in_any_notation() {
    let same = |other| is_same_gitlab("https://git.example.com/gitlab", other);
    for other in [
        "https://git.example.com/gitlab/",
        "https://GIT.example.com:443/gitlab",
        "https://git.example.com/gitlab/api/v4",
    ] {
        assert!(same(other), "{other}");
    }
    for other in [
        "http://git.example.com/gitlab",
        "https://git.example.com",
        "https://git.example.com/gitlab2",
        "https://git.example.com@evil.test/gitlab",
    ] {
        assert!(!same(other), "{other}");
    }
    assert!(!is_same_gitlab("nothing", "nothing"));
}

#[test]
fn invalid_gate_refuses_and_names_the_field() {
    let broken = account(&json!({"requires": {
        "windows": [{"schedule": "0 9 * *", "timeZone": "UTC", "duration": "8h"}],
    }}));
    let refusal = ask(
        &[("prod", Some(&broken))],
        &source(None, None),
        Way::Forward,
    )
    .unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidGate);
    let start = "spec.requires of Account prod: windows[0].schedule: ";
    assert!(refusal.message.starts_with(start), "{}", refusal.message);
    // A rollback needs no window, so an invalid one does not refuse it.
    assert!(
        ask(
            &[("prod", Some(&broken))],
            &source(None, None),
            Way::Rollback
        )
        .is_ok()
    );
}
