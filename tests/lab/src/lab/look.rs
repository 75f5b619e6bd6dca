//! Reads the cluster and AWS, without the proxy's counters and faults.

use std::time::Duration;

use aws_sdk_lambda::{error::DisplayErrorContext, primitives::Blob};
use serde_json::Value;

use super::{HUB_REGION, Lab, wait::wait_for};
use crate::{error::LabError, kube::User, runtime};

impl Lab {
    /// Runs `kubectl apply --server-side` as the platform team.
    pub fn apply(&self, manifest: &str) -> Result<String, LabError> {
        self.kube.apply(User::Admin, manifest)
    }

    /// One object, by kubectl's name of its kind (`sdep`, `target`…); `namespace` is `None` for
    /// cluster-scoped kinds.
    pub fn get_json(
        &self,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, LabError> {
        let mut args = vec!["get", qualified(kind), name];
        args.extend(namespace.iter().flat_map(|it| ["--namespace", it]));
        self.kube.kubectl_json(User::Admin, &args)
    }

    /// All objects of a kind in a namespace.
    pub fn list_json(&self, kind: &str, namespace: &str) -> Result<Vec<Value>, LabError> {
        let args = ["get", qualified(kind), "--namespace", namespace];
        let mut list = self.kube.kubectl_json(User::Admin, &args)?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(LabError::new(format!(
                "kubectl get {kind} returned no list"
            ))),
        }
    }

    /// [`wait_for`](super::wait_for()) as a method.
    pub fn wait_for<K: super::Known>(
        &self,
        what: &str,
        limit: Duration,
        read: impl FnMut() -> K,
    ) -> Result<K::Value, LabError> {
        wait_for(what, limit, read)
    }

    /// Waits until the object has the condition with that status (`("Ready", "True")`) for its current
    /// generation; returns the object.
    pub fn wait_for_condition(
        &self,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        condition: (&str, &str),
        limit: Duration,
    ) -> Result<Value, LabError> {
        let (type_, status) = condition;
        let what = format!("{kind} {name} has the condition {type_}={status}");
        let found = wait_for(&what, limit, || {
            let object = self
                .get_json(kind, namespace, name)
                .map_err(|e| e.to_string())?;
            let current =
                object["metadata"]["generation"] == object["status"]["observedGeneration"];
            let holds = condition_of(&object, type_).is_some_and(|it| it["status"] == status);
            if current && holds {
                Ok(object)
            } else {
                Err(format!("status {}", object["status"]))
            }
        });
        found.map_err(|e| {
            LabError::new(format!(
                "{e}\nthe end of the controller's log:\n{}",
                self.log_tail(15)
            ))
        })
    }

    /// Invokes the function in an account (`dev`) and the hub's region and returns its answer, or an error
    /// with the function's own message. `qualifier` is a version or an alias; `None` means `$LATEST`.
    pub fn invoke(
        &self,
        account: &str,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<Value, LabError> {
        self.invoke_in(account, HUB_REGION, function, qualifier)
    }

    /// [`Lab::invoke`] in another region.
    pub fn invoke_in(
        &self,
        account: &str,
        region: &str,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<Value, LabError> {
        let lambda = self.lambda(account, region)?;
        let call = lambda
            .invoke()
            .function_name(function)
            .set_qualifier(qualifier.map(str::to_owned))
            .payload(Blob::new("{}"))
            .send();
        let called = format!(
            "{function}:{} in {account}/{region}",
            qualifier.unwrap_or("$LATEST")
        );
        let answer = runtime::handle()
            .block_on(call)
            .map_err(|e| LabError::new(format!("{called}: {}", DisplayErrorContext(&e))))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let text = String::from_utf8_lossy(&payload).into_owned();
        if let Some(error) = answer.function_error {
            return Err(LabError::new(format!("{called} failed ({error}): {text}")));
        }
        serde_json::from_str(&text)
            .map_err(|e| LabError::new(format!("{called} did not answer with JSON ({e}): {text}")))
    }

    /// A Lambda client with the root credentials of an account, straight to the emulator; its futures run on
    /// [`runtime::handle`].
    pub fn lambda(&self, account: &str, region: &str) -> Result<aws_sdk_lambda::Client, LabError> {
        let config = self.aws.sdk_config(self.account_id(account)?, region);
        Ok(aws_sdk_lambda::Client::new(&config))
    }

    /// The id of an account by its name.
    pub fn account_id(&self, account: &str) -> Result<&str, LabError> {
        let mut accounts = self.aws.accounts().iter();
        let found = accounts.find(|info| info.name == account);
        found
            .map(|info| info.id.as_str())
            .ok_or_else(|| LabError::new(format!("the lab has no account {account}")))
    }
}

/// A condition of an object by its type.
pub fn condition_of<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == type_)
}

/// `deployment` alone means Kubernetes' own kind.
fn qualified(kind: &str) -> &str {
    match kind {
        "deployment" | "deployments" => "deployments.sluice.dev",
        other => other,
    }
}
