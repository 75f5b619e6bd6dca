//! The controller uses every permission that the chart grants, and needs no others.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams, PropagationPolicy},
};
use serde_json::json;
use sluice::api::v1alpha1::{Approval, Deployment};
use sluice_lab::lab::{NAMESPACE, wait_for};

use super::{
    Environment, LIMIT,
    aws::{copy_dev_account, deployment_in_account},
    exclusive_lab, run,
    scene::{NAME, Scene, gone},
};

/// API group, resource and verb.
type Right = (String, String, String);

/// The permissions that rules grant.
fn rights(rules: Vec<PolicyRule>) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    rights.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    rights
}

fn granted(environment: &Environment) -> BTreeSet<Right> {
    let cluster = Api::<ClusterRole>::all(environment.client.clone());
    let own = Api::<Role>::namespaced(environment.client.clone(), NAMESPACE);
    let mut granted = rights(
        run(cluster.get("sluice"))
            .unwrap()
            .rules
            .unwrap_or_default(),
    );
    granted.extend(rights(
        run(own.get("sluice")).unwrap().rules.unwrap_or_default(),
    ));
    granted
}

#[test]
fn controller_uses_exactly_the_granted_permissions() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "rights");
    // With a token of its own ServiceAccount, in an Account that trusts the cluster.
    let role = environment
        .lab
        .aws
        .dev()
        .web_identity_role_arn
        .clone()
        .unwrap();
    let account = copy_dev_account(&scene, |spec| {
        spec["credentials"] = json!({"webIdentity": {"roleArn": role}});
    });
    let mut wanted = deployment_in_account(&scene, &account);
    wanted["spec"]["historyLimit"] = json!(1);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    for revision in 1..=4 {
        scene.push(&format!("v{revision}"));
        scene.apply(&wanted);
        scene.delivered(revision);
    }
    create_late_approval(&scene);
    repeat_event(&environment, &scene, &wanted);
    let api = scene.api::<Deployment>();
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    run(api.delete(NAME, &orphan)).unwrap();
    gone(&api, NAME);
    scene.apply(&wanted);
    scene.delivered(4);
    run(api.delete(NAME, &DeleteParams::default())).unwrap();
    gone(&api, NAME);

    let subject = environment.lab.controller().username();
    let granted = granted(&environment);
    let same = wait_for("all granted permissions were used", LIMIT, || {
        let mut used = environment.lab.kube.audit()?.used_by(&subject);
        // Watches begin with a list only where the server does not stream them from the start.
        let listed = |(group, resource, verb): &Right| {
            (verb == "watch").then(|| (group.clone(), resource.clone(), "list".to_owned()))
        };
        let lists: Vec<Right> = used.iter().filter_map(listed).collect();
        used.extend(lists);
        let unused: Vec<_> = granted.difference(&used).collect();
        if unused.is_empty() {
            Ok(used)
        } else {
            Err(sluice_lab::error::LabError::new(format!(
                "never used: {unused:?}"
            )))
        }
    });
    let used = same.unwrap_or_else(|e| panic!("{e}"));
    let more: Vec<_> = used.difference(&granted).collect();
    assert!(
        more.is_empty(),
        "used and not granted by the chart: {more:?}"
    );
    let audit = environment.lab.kube.audit().unwrap();
    let called = |agent: &str| agent == concat!("sluice/", env!("CARGO_PKG_VERSION"));
    let nameless = audit.by(&subject).find(|it| !called(&it.user_agent));
    assert_eq!(nameless, None, "a request without Sluice's user agent");
    let refused = audit.refused(&subject);
    assert!(refused.is_empty(), "refused requests: {refused:?}");
}

/// Creates an Approval of the newest Release, which waits at no gate: Sluice reports that, and makes the
/// Release its owner.
fn create_late_approval(scene: &Scene<'_>) {
    let release = scene.releases().pop().unwrap();
    let managers = release.managed_fields().iter();
    let managers: BTreeSet<_> = managers.filter_map(|it| it.manager.as_deref()).collect();
    assert_eq!(managers, BTreeSet::from(["sluice"]), "managers of Releases");
    let approval = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": "too-late"},
        "spec": {
            "releaseRef": {"name": release.name_any(), "uid": release.uid()},
            "stage": "dev",
            "stageDigest": "ab".repeat(32),
            "decision": "Approve",
            "approver": {"username": "admin"},
        },
    }))
    .unwrap();
    let approvals: Api<Approval> = scene.api();
    run(approvals.create(&PostParams::default(), &approval)).unwrap();
    let judged = wait_for("the Approval is judged", LIMIT, || {
        let approval = run(approvals.get("too-late")).map_err(|e| e.to_string())?;
        let conditions = approval.status.clone().unwrap_or_default().conditions;
        let owned = approval
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == release.uid().as_ref());
        conditions
            .iter()
            .find(|one| owned && one.reason == "NotWaiting")
            .map(drop)
            .ok_or_else(|| format!("{conditions:?}"))
    });
    judged.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

/// Repeats the same failure until Sluice increases the count of its Event, which happens at most once a
/// minute.
fn repeat_event(environment: &Environment, scene: &Scene<'_>, good: &serde_json::Value) {
    let subject = environment.lab.controller().username();
    let mut bad = good.clone();
    bad["spec"]["source"]["connection"] = json!("nowhere");
    let counted = wait_for("the count of an Event increases", LIMIT * 2, || {
        scene.apply(&bad);
        scene.stalled("ConnectionNotFound", &["nowhere"]);
        scene.apply(good);
        scene.delivered(4);
        let used = environment
            .lab
            .kube
            .audit()
            .map_err(|e| e.to_string())?
            .used_by(&subject);
        let patch = (
            "events.k8s.io".to_owned(),
            "events".to_owned(),
            "patch".to_owned(),
        );
        if used.contains(&patch) {
            Ok(())
        } else {
            Err("no Event was patched".to_owned())
        }
    });
    counted.unwrap_or_else(|e| panic!("{e}"));
}
