//! Types that several resources share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A reference to one Release. The uid distinguishes it from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRef {
    /// Name of the Release in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Release's uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// The Release's revision.
    #[schemars(range(min = 1))]
    pub revision: i64,
}

/// What happens to resources in AWS that are no longer wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Keep all resources.
    #[default]
    Retain,
    /// Delete resources that Sluice created, and keep those that it only updated.
    Delete,
}

impl DeletionPolicy {
    /// The name in specs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        }
    }

    /// The policy of that name; `None` for a name that another version of Sluice wrote.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Retain, Self::Delete]
            .into_iter()
            .find(|one| one.as_str() == name)
    }

    /// The policy that keeps more in AWS.
    #[must_use]
    pub fn or_retain(self, other: Self) -> Self {
        if self == other { self } else { Self::Retain }
    }
}

/// The condition types of the resources, following the conventions of kstatus.
pub mod condition {
    /// Whether the object's state matches its spec.
    pub const READY: &str = "Ready";
    /// The controller is working on the object.
    pub const RECONCILING: &str = "Reconciling";
    /// The object makes no progress until a user changes something; the message says what.
    pub const STALLED: &str = "Stalled";
    /// A good Release serves, independent of any rollout under way.
    pub const AVAILABLE: &str = "Available";
    /// The newest Release, or the pinned one, serves in every stage.
    pub const DELIVERED: &str = "Delivered";
    /// AWS differs from what the last run left.
    pub const DRIFTED: &str = "Drifted";
    /// GitLab has the source that the Deployment names, and Sluice can fetch its artifacts.
    pub const SOURCE_READY: &str = "SourceReady";
    /// The Approval counts, or has counted.
    pub const COUNTED: &str = "Counted";
}

/// One-time commands: annotations whose value is a token. Sluice handles each token once.
pub mod annotation {
    /// Read GitLab and check for drift now.
    pub const RECONCILE: &str = "sluice.dev/reconcile";
    /// Retry the last failure: fetching artifacts if that failed, else the Release.
    pub const RETRY: &str = "sluice.dev/retry";
    /// Roll back to the last good Release (`<token>`), or to a given one (`to=<Release>`,
    /// `<token> to <Release>`, or its name alone).
    pub const ROLLBACK: &str = "sluice.dev/rollback";
    /// Pause the rollouts under way: take no further step forward.
    pub const PAUSE: &str = "sluice.dev/pause";
    /// Resume after a pause.
    pub const RESUME: &str = "sluice.dev/resume";
    /// Move the rest of the traffic now, without waiting for the bake; or continue a held run.
    pub const PROMOTE: &str = "sluice.dev/promote";
    /// Restore the runs that are moving or held.
    pub const ABORT: &str = "sluice.dev/abort";
    /// Give up the changes in AWS that Sluice can't undo, on an object that is being deleted.
    pub const ABANDON: &str = "sluice.dev/abandon";

    /// The prefix of all annotations of Sluice.
    pub const PREFIX: &str = "sluice.dev/";
    /// The annotations that Sluice knows.
    pub const KNOWN: [&str; 8] = [
        ABANDON, ABORT, PAUSE, PROMOTE, RECONCILE, RESUME, RETRY, ROLLBACK,
    ];
}

/// Finalizers, one per resource that needs cleanup.
pub mod finalizer {
    /// Held by a Deployment until its Targets are gone.
    pub const DEPLOYMENT: &str = "sluice.dev/deployment";
    /// Held by a Target until AWS matches the deletion policy.
    pub const TARGET: &str = "sluice.dev/target";
}

/// Labels on the objects that the controller creates.
pub mod label {
    /// Name of the Deployment.
    pub const DEPLOYMENT: &str = "sluice.dev/deployment";
    /// Name of the stage.
    pub const STAGE: &str = "sluice.dev/stage";
}
