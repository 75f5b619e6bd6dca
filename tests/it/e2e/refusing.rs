//! A fault: the API server denies the controller's writes.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::ConfigMap,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use sluice_lab::lab::wait_for;

use super::{LIMIT, run, scene::Scene};

/// Makes the API server deny all updates of a resource in the team's namespace until dropped.
pub struct DenyUpdates<'a> {
    scene: &'a Scene<'a>,
    resource: &'static str,
    before: usize,
}

impl<'a> DenyUpdates<'a> {
    pub fn begin(scene: &'a Scene<'a>, resource: &'static str) -> Self {
        let name = format!("refuses-{}", scene.team.namespace);
        let labels = json!({"kubernetes.io/metadata.name": scene.team.namespace});
        let policy = json!({"metadata": {"name": name}, "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [
                {
                    "apiGroups": ["sluice.dev"], "apiVersions": ["*"], "operations": ["UPDATE"],
                    "resources": [resource],
                },
                {
                    "apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"],
                    "resources": ["configmaps"],
                },
            ]},
            "validations": [{"expression": "false", "message": "not now", "reason": "Forbidden"}],
        }});
        let binding = json!({"metadata": {"name": name}, "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": labels}},
        }});
        let params = PostParams::default();
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy).unwrap();
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(binding).unwrap();
        run(Api::all(scene.environment.client.clone()).create(&params, &policy)).unwrap();
        run(Api::all(scene.environment.client.clone()).create(&params, &binding)).unwrap();
        let mut refusing = Self {
            scene,
            resource,
            before: 0,
        };
        refusing.wait();
        refusing.before = refusing.refused();
        refusing
    }

    /// Waits until the API server enforces the policy.
    fn wait(&self) {
        let api = self.scene.api::<ConfigMap>();
        let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let found = wait_for("the policy is enforced", LIMIT, || {
            match run(api.create(&params, &probe)) {
                Ok(_) => Err("the probe was accepted"),
                Err(_) => Ok(()),
            }
        });
        found.unwrap_or_else(|e| panic!("{e}"));
    }

    /// The number of the controller's writes that were denied.
    fn refused(&self) -> usize {
        let lab = &self.scene.environment.lab;
        let (audit, user) = (lab.kube.audit().unwrap(), lab.controller().username());
        let refused = audit.by(&user).filter(|request| {
            request.is_refused()
                && request.namespace == self.scene.team.namespace
                && request.rbac_resource() == self.resource
        });
        refused.count()
    }

    /// Waits until the API server has denied `count` writes.
    #[track_caller]
    pub fn wait_denied(&self, count: usize) {
        let tried = wait_for("the controller tries to write", LIMIT, || {
            let refused = self.refused() - self.before;
            if refused < count {
                Err(refused)
            } else {
                Ok(())
            }
        });
        tried.unwrap_or_else(|e| panic!("{e}\n{}", self.scene.log()));
    }
}

impl Drop for DenyUpdates<'_> {
    fn drop(&mut self) {
        let name = format!("refuses-{}", self.scene.team.namespace);
        let client = || self.scene.environment.client.clone();
        let params = DeleteParams::default();
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client());
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(client());
        drop(run(bindings.delete(&name, &params)));
        drop(run(policies.delete(&name, &params)));
    }
}
