//! Shapes that several resources share.

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

/// One certain Release: the uid tells it from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRef {
    /// Name of the Release in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Its revision.
    #[schemars(range(min = 1))]
    pub revision: i64,
}

/// What happens to what Sluice made in AWS when it is no longer wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays as it is.
    #[default]
    Retain,
    /// What Sluice created is deleted; what it only updated stays.
    Delete,
}

impl DeletionPolicy {
    /// As specs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        }
    }

    /// The one of that name; `None` where another version of Sluice wrote it.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Retain, Self::Delete]
            .into_iter()
            .find(|one| one.as_str() == name)
    }

    /// The one that leaves more in AWS.
    #[must_use]
    pub fn or_retain(self, other: Self) -> Self {
        if self == other { self } else { Self::Retain }
    }
}

/// The condition types that the resources use, after the conventions of kstatus.
pub mod condition {
    /// Whether the object is as its spec says.
    pub const READY: &str = "Ready";
    /// The controller is at work on the object.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing moves until somebody changes something; the message says what.
    pub const STALLED: &str = "Stalled";
    /// A good release serves, whatever else is going on.
    pub const AVAILABLE: &str = "Available";
    /// The newest Release, or the one that is pinned, serves in every stage.
    pub const DELIVERED: &str = "Delivered";
    /// AWS is not as the last rollout left it.
    pub const DRIFTED: &str = "Drifted";
    /// GitLab has what the Deployment names, and what was found there can be fetched.
    pub const SOURCE_READY: &str = "SourceReady";
    /// An Approval counts, or counted.
    pub const COUNTED: &str = "Counted";
}

/// One-time commands: annotations with a token as value, each token handled once.
pub mod annotation {
    /// Look at GitLab and AWS now.
    pub const RECONCILE: &str = "sluice.dev/reconcile";
    /// Try again what failed last: artifacts that could not be fetched, else the Release.
    pub const RETRY: &str = "sluice.dev/retry";
    /// Roll back: to the last good Release (`<token>`), or to a certain one (`to=<Release>`,
    /// `<token> to <Release>`, or its name alone).
    pub const ROLLBACK: &str = "sluice.dev/rollback";
    /// Take no further step forward in what is moving.
    pub const PAUSE: &str = "sluice.dev/pause";
    /// Go on with what was paused.
    pub const RESUME: &str = "sluice.dev/resume";
    /// Move the rest of the traffic now, without waiting for the bake; or go on with what is held.
    pub const PROMOTE: &str = "sluice.dev/promote";
    /// Put back what is moving or held.
    pub const ABORT: &str = "sluice.dev/abort";
    /// Let go of what can't be undone, on an object that is being deleted.
    pub const ABANDON: &str = "sluice.dev/abandon";

    /// What all annotations of Sluice begin with.
    pub const PREFIX: &str = "sluice.dev/";
    /// The annotations that Sluice knows.
    pub const KNOWN: [&str; 8] = [
        ABANDON, ABORT, PAUSE, PROMOTE, RECONCILE, RESUME, RETRY, ROLLBACK,
    ];
}

/// Finalizers, one per resource that has something to undo.
pub mod finalizer {
    /// Held by a Deployment until its Targets are gone.
    pub const DEPLOYMENT: &str = "sluice.dev/deployment";
    /// Held by a Target until AWS is as the deletion policy says.
    pub const TARGET: &str = "sluice.dev/target";
}

/// Labels on the objects that the controller makes.
pub mod label {
    /// Name of the Deployment.
    pub const DEPLOYMENT: &str = "sluice.dev/deployment";
    /// Name of the stage.
    pub const STAGE: &str = "sluice.dev/stage";
}
