//! Attempts to approve as another user, to change an Approval, and to write the record: the API server
//! refuses each by RBAC, schema or policy.

use std::process::Output;

use serde_json::{Value, json};
use sluice_lab::kube::User;

use super::{APPROVAL, approval, approval_namespace, create, get, kubectl};
use crate::cluster::{accepted, as_controller, cluster, refused};

/// The minimum number of attempts.
const ATTEMPTS: usize = 40;
const NAME: &str = "checkout-1-prod";
const OF_CALLER: &str = "spec.approver.username must be the user who creates the Approval";
const OF_GROUP: &str = "spec.approver.groups must be groups of the user who creates the Approval";
const ONLY: &str = "written by the Sluice controller only";
const FORBIDDEN: &str = "is forbidden: User";

/// Makes attempts one after the other, asserts that they fail, and counts them.
struct Attempts {
    namespace: &'static str,
    made: usize,
}

impl Attempts {
    fn at(namespace: &'static str) -> Self {
        approval_namespace(namespace);
        Self { namespace, made: 0 }
    }

    #[track_caller]
    fn fails(&mut self, what: &str, output: &Output, why: &str) {
        println!("{what}");
        refused(output, why);
        self.made += 1;
    }

    /// Creation of an Approval.
    #[track_caller]
    fn create(&mut self, user: User, options: &[&str], changes: &[(&str, Value)], why: &str) {
        let what = format!("{} {options:?} creates {changes:?}", user.name());
        let output = create(user, self.namespace, options, changes);
        self.fails(&what, &output, why);
    }

    /// Any command.
    #[track_caller]
    fn run(&mut self, user: User, arguments: &[&str], input: &str, why: &str) {
        let what = format!("{} {arguments:?} {input}", user.name());
        let output = kubectl(user, self.namespace, arguments, input);
        self.fails(&what, &output, why);
    }

    /// `kubectl patch` of the Approval.
    #[track_caller]
    fn patch(&mut self, user: User, options: &[&str], patch: &Value, why: &str) {
        let patch = patch.to_string();
        let arguments = [
            &["patch", "approvals.sluice.dev", NAME, "--patch", &patch],
            options,
        ]
        .concat();
        self.run(user, &arguments, "", why);
    }
}

fn username(name: &str) -> (&'static str, Value) {
    ("/spec/approver/username", json!(name))
}

fn groups(groups: &[&str]) -> (&'static str, Value) {
    ("/spec/approver/groups", json!(groups))
}

#[test]
fn all_attempts_to_forge_an_approval_are_refused() {
    let made = in_another_name() + edits() + record_writes() + rights() + invalid_objects();
    println!("{made} attempts");
    assert!(made >= ATTEMPTS, "only {made}");
}

/// Approvals in another user's name, or with groups that are not one's own.
fn in_another_name() -> usize {
    let mut attempts = Attempts::at("attempts-names");
    for name in [
        "bea",
        "admin",
        "Approver",
        "approver ",
        "sluice:approvers",
        "system:serviceaccount:sluice-system:sluice",
    ] {
        attempts.create(User::Approver, &[], &[username(name)], OF_CALLER);
    }
    for foreign in [
        &["platform"][..],
        &["sluice:approvers", "platform"],
        &["system:masters"],
        &["sluice:tenants"],
        &["Sluice:Approvers"],
        &["approver"],
    ] {
        attempts.create(User::Approver, &[], &[groups(foreign)], OF_GROUP);
    }
    // However the request is sent.
    let named = [
        ("/metadata", json!({"generateName": "checkout-1-"})),
        username("bea"),
    ];
    attempts.create(User::Approver, &[], &named, OF_CALLER);
    attempts.create(
        User::Approver,
        &["--dry-run=server"],
        &[username("bea")],
        OF_CALLER,
    );
    attempts.create(
        User::Approver,
        &["--validate=false"],
        &[username("bea")],
        OF_CALLER,
    );
    let rejects = [username("bea"), ("/spec/decision", json!("Reject"))];
    attempts.create(User::Approver, &[], &rejects, OF_CALLER);
    // The administrator is no exception.
    attempts.create(User::Admin, &[], &[], OF_CALLER);
    attempts.create(User::Admin, &[], &[username("admin")], OF_GROUP);
    let of_approver = approval(&[]);
    for arguments in [
        &["apply", "--server-side", "--filename=-"][..],
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename=-",
        ],
        &["apply", "--server-side", "--dry-run=server", "--filename=-"],
        &["apply", "--filename=-"],
        &["replace", "--force", "--filename=-"],
    ] {
        attempts.run(User::Admin, arguments, &of_approver, OF_CALLER);
    }
    // An impersonated user has the given groups and no others.
    let as_bea = ["--as=bea", "--as-group=system:masters"];
    attempts.create(User::Admin, &as_bea, &[], OF_CALLER);
    attempts.create(User::Admin, &as_bea, &[username("bea")], OF_GROUP);
    // A user who may not impersonate others may not read the schema as another user either, hence no
    // validation.
    let impersonate = "cannot impersonate";
    let as_bea = ["--as=bea", "--validate=false"];
    attempts.create(User::Approver, &as_bea, &[username("bea")], impersonate);
    let as_member = ["--as=approver", "--as-group=platform", "--validate=false"];
    attempts.create(
        User::Approver,
        &as_member,
        &[groups(&["platform"])],
        impersonate,
    );
    // The controller cannot approve in another user's name either.
    let [user, group] = as_controller();
    attempts.create(User::Admin, &[&user, &group], &[], OF_CALLER);
    attempts.made
}

/// Changes of an Approval.
fn edits() -> usize {
    let mut attempts = Attempts::at("attempts-edits");
    accepted(&create(User::Approver, attempts.namespace, &[], &[]));
    let immutable = "an Approval";
    let fields = [
        json!({"releaseRef": {"name": "checkout-2"}}),
        json!({"releaseRef": {"uid": "another"}}),
        json!({"stage": "dev"}),
        json!({"stageDigest": "f".repeat(64)}),
        json!({"decision": "Reject"}),
        json!({"approver": {"username": "bea"}}),
        json!({"approver": {"groups": ["platform"]}}),
        json!({"approver": {"groups": null}}),
        json!({"comment": "or does it"}),
        json!({"comment": null}),
    ];
    for field in &fields {
        attempts.patch(
            User::Admin,
            &["--type=merge"],
            &json!({"spec": field}),
            immutable,
        );
    }
    let replace = json!([{"op": "replace", "path": "/spec/decision", "value": "Reject"}]);
    attempts.patch(User::Admin, &["--type=json"], &replace, immutable);
    let add = json!([{"op": "add", "path": "/spec/approver/groups/-", "value": "platform"}]);
    attempts.patch(User::Admin, &["--type=json"], &add, immutable);
    let dry = ["--type=merge", "--dry-run=server"];
    attempts.patch(
        User::Admin,
        &dry,
        &json!({"spec": {"decision": "Reject"}}),
        immutable,
    );
    let other = approval(&[("/spec/decision", json!("Reject"))]);
    for arguments in [
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename=-",
        ][..],
        &["apply", "--filename=-"],
        &["replace", "--filename=-"],
    ] {
        attempts.run(User::Admin, arguments, &other, immutable);
    }
    // Neither its creator nor the controller may change it, and a write of the status does not either.
    let reject = json!({"spec": {"decision": "Reject"}});
    attempts.patch(User::Approver, &["--type=merge"], &reject, FORBIDDEN);
    let [user, group] = as_controller();
    attempts.patch(
        User::Admin,
        &["--type=merge", &user, &group],
        &reject,
        immutable,
    );
    let by_status = ["--type=merge", "--subresource=status", &user, &group];
    let patch = reject.to_string();
    let arguments = [
        &["patch", "approvals.sluice.dev", NAME, "--patch", &patch],
        &by_status[..],
    ]
    .concat();
    accepted(&kubectl(User::Admin, attempts.namespace, &arguments, ""));
    let stored = get(attempts.namespace, NAME);
    let written: Value = serde_saphyr::from_str(APPROVAL).unwrap();
    assert_eq!(stored["spec"], written["spec"], "the spec is unchanged");
    attempts.made
}

/// Writes of the status of an Approval, and of Releases and Targets.
fn record_writes() -> usize {
    let mut attempts = Attempts::at("attempts-record");
    accepted(&create(User::Approver, attempts.namespace, &[], &[]));
    let counted = json!({"status": {"observedGeneration": 1}});
    let merge = ["--type=merge", "--subresource=status"];
    attempts.patch(User::Admin, &merge, &counted, ONLY);
    let json_patch = json!([{"op": "add", "path": "/status", "value": {"observedGeneration": 1}}]);
    attempts.patch(
        User::Admin,
        &["--type=json", "--subresource=status"],
        &json_patch,
        ONLY,
    );
    let mut whole = get(attempts.namespace, NAME);
    whole["status"] = counted["status"].clone();
    let arguments = ["replace", "--subresource=status", "--filename=-"];
    attempts.run(User::Admin, &arguments, &whole.to_string(), ONLY);
    let mut applied: Value = serde_saphyr::from_str(APPROVAL).unwrap();
    applied["status"] = counted["status"].clone();
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--subresource=status",
        "--filename=-",
    ];
    attempts.run(User::Admin, &arguments, &applied.to_string(), ONLY);
    for user in [User::Approver, User::Tenant] {
        attempts.patch(user, &merge, &counted, FORBIDDEN);
    }

    let [user, group] = as_controller();
    for manifest in [
        include_str!("../../manifests/release.yaml"),
        include_str!("../../manifests/target.yaml"),
    ] {
        for who in [User::Tenant, User::Approver] {
            attempts.run(who, &["create", "--filename=-"], manifest, FORBIDDEN);
        }
        let arguments = ["create", "--filename=-", &user, &group];
        accepted(&kubectl(
            User::Admin,
            attempts.namespace,
            &arguments,
            manifest,
        ));
    }
    let patch = json!({"metadata": {"labels": {"mine": "yes"}}}).to_string();
    let status = json!({"status": {"summary": "all is well"}}).to_string();
    for what in [
        "releases.sluice.dev/checkout-1",
        "targets.sluice.dev/checkout-dev",
    ] {
        for who in [User::Tenant, User::Approver] {
            let spec = ["patch", what, "--type=merge", "--patch", &patch];
            attempts.run(who, &spec, "", FORBIDDEN);
            let status = [
                "patch",
                what,
                "--type=merge",
                "--subresource=status",
                "--patch",
                &status,
            ];
            attempts.run(who, &status, "", FORBIDDEN);
            attempts.run(who, &["delete", what], "", FORBIDDEN);
        }
    }
    attempts.made
}

/// Attempts without permission, and attempts to gain it.
fn rights() -> usize {
    let mut attempts = Attempts::at("attempts-rights");
    approval_namespace("attempts-rights-own");
    accepted(&create(User::Approver, attempts.namespace, &[], &[]));
    let tenants = [username("tenant"), groups(&["sluice:tenants"])];
    attempts.create(User::Tenant, &[], &tenants, FORBIDDEN);
    attempts.create(User::Tenant, &[], &[], FORBIDDEN);
    attempts.create(User::Tenant, &["--dry-run=server"], &tenants, FORBIDDEN);
    let arguments = ["apply", "--server-side", "--filename=-"];
    attempts.run(User::Approver, &arguments, &approval(&[]), FORBIDDEN);
    for who in [User::Approver, User::Tenant] {
        let arguments = ["delete", "approvals.sluice.dev", NAME];
        attempts.run(who, &arguments, "", FORBIDDEN);
        let arguments = ["delete", "approvals.sluice.dev", "--all"];
        attempts.run(who, &arguments, "", FORBIDDEN);
        for what in [
            "validatingadmissionpolicies.admissionregistration.k8s.io",
            "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        ] {
            attempts.run(who, &["delete", what, "sluice-approvals"], "", FORBIDDEN);
        }
    }
    let elsewhere = create(User::Approver, "default", &[], &[]);
    attempts.fails("the approver in another namespace", &elsewhere, FORBIDDEN);
    // The admin of a namespace cannot grant permissions that they do not have.
    let binding = |name: &str, role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": "attempts-rights-own"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
        })
        .to_string()
    };
    cluster()
        .apply(User::Admin, &binding("rules", "admin"))
        .unwrap();
    let own = kubectl(
        User::Tenant,
        "attempts-rights-own",
        &["create", "--filename=-"],
        &binding("approves", "sluice-approver"),
    );
    attempts.fails(
        "the tenant makes itself an approver",
        &own,
        "attempting to grant RBAC permissions",
    );
    attempts.made
}

/// Approvals that the schema rejects.
fn invalid_objects() -> usize {
    let mut attempts = Attempts::at("attempts-nonsense");
    for (pointer, value, why) in [
        (
            "/spec/approver/username",
            json!(""),
            "spec.approver.username",
        ),
        (
            "/spec/approver/username",
            Value::Null,
            "spec.approver.username: Required",
        ),
        ("/spec/approver", Value::Null, "spec.approver: Required"),
        ("/spec/approver/groups", json!([""]), "spec.approver.groups"),
        ("/spec/decision", json!("Maybe"), "spec.decision"),
        ("/spec/decision", json!("approve"), "spec.decision"),
        ("/spec/decision", Value::Null, "spec.decision: Required"),
        (
            "/spec/stageDigest",
            json!("F".repeat(64)),
            "spec.stageDigest",
        ),
        (
            "/spec/stageDigest",
            json!("f".repeat(63)),
            "spec.stageDigest",
        ),
        (
            "/spec/stageDigest",
            Value::Null,
            "spec.stageDigest: Required",
        ),
        ("/spec/stage", json!("Prod"), "spec.stage"),
        ("/spec/releaseRef/uid", json!(""), "spec.releaseRef.uid"),
        (
            "/spec/releaseRef/uid",
            Value::Null,
            "spec.releaseRef.uid: Required",
        ),
        ("/spec/releaseRef", json!("checkout-1"), "spec.releaseRef"),
        ("/spec/comment", json!("x".repeat(1025)), "spec.comment"),
        ("/spec/approved", json!(true), "unknown field"),
    ] {
        attempts.create(User::Approver, &[], &[(pointer, value)], why);
    }
    attempts.made
}
