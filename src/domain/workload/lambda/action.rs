//! Actions on functions, versions and aliases, and their results.

use std::collections::BTreeMap;

use super::{
    desired::{DesiredCheck, DesiredFunction},
    function::{Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration},
};
use crate::domain::{check::CheckKey, digest::Sha256, grants::Resource};

/// A change of a function, or an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Copies the Release's package into the Target's artifact bucket, unless it is there.
    CopyPackage(Box<DesiredFunction>),
    /// Finds a snapshot's package in the Target's artifact bucket.
    FindPackage(Sha256),
    /// `CreateFunction`.
    Create(Box<DesiredFunction>, CodeLocation),
    /// `UpdateFunctionCode`.
    UpdateCode {
        /// `x86_64` or `arm64`.
        architecture: String,
        /// The new code.
        code: CodeLocation,
        /// RevisionId of the function as read.
        revision_id: String,
    },
    /// `UpdateFunctionConfiguration`.
    UpdateConfiguration {
        /// The new settings.
        configuration: Box<FunctionConfiguration>,
        /// RevisionId of the function as read.
        revision_id: String,
    },
    /// `TagResource` and `UntagResource`.
    SetTags {
        /// The function.
        arn: String,
        /// The present tags.
        current: BTreeMap<String, String>,
        /// The desired tags.
        wanted: BTreeMap<String, String>,
    },
    /// `Invoke` of an inactive version, to reactivate it.
    Wake {
        /// The version number.
        version: String,
        /// The event, in case the version is active and runs.
        payload: String,
    },
    /// `PublishVersion`.
    Publish {
        /// The code that `$LATEST` must have.
        code_sha256: Sha256,
        /// RevisionId of the function as read.
        revision_id: String,
        /// The version's description.
        description: String,
    },
    /// `CreateAlias`.
    CreateAlias {
        /// The alias.
        alias: String,
        /// The versions that it routes to.
        to: AliasTarget,
    },
    /// `UpdateAlias`.
    UpdateAlias {
        /// The alias.
        alias: String,
        /// The versions that it routes to.
        to: AliasTarget,
        /// RevisionId of the alias as read.
        revision_id: String,
    },
    /// `DeleteAlias`.
    DeleteAlias {
        /// The alias.
        alias: String,
    },
    /// `DeleteFunction`.
    DeleteFunction,
    /// `DeleteFunction` of one version.
    DeleteVersion {
        /// The version number.
        version: String,
    },
    /// `Invoke`, with an evaluation of the response.
    Check {
        /// The check.
        check: Box<DesiredCheck>,
        /// Its key.
        key: CheckKey,
        /// The version or alias to invoke.
        qualifier: String,
        /// The version that must respond.
        version: String,
    },
}

/// The result of an [`Action`]. (The engine handles the results of checks.)
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The package with this digest is at this location.
    Package(Sha256, CodeLocation),
    /// The function was created, with its tags.
    Created(Box<Function>),
    /// `$LATEST` was updated. The reply has no tags.
    Updated(Box<Function>),
    /// A version was published.
    Published(Box<Function>),
    /// The alias was created or updated.
    Routed {
        /// The alias.
        alias: String,
        /// Its new state.
        now: Alias,
    },
    /// The tags were set.
    TagsSet,
    /// The inactive version was invoked.
    Woken {
        /// The version number.
        version: String,
    },
    /// The function is deleted.
    FunctionDeleted,
    /// The alias is deleted.
    AliasDeleted {
        /// The alias.
        alias: String,
    },
    /// The version is deleted.
    VersionDeleted {
        /// The version number.
        version: String,
    },
}

impl Action {
    /// The Lambda operation, or Sluice's name for it.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CopyPackage(_) => "CopyPackage",
            Self::FindPackage(_) => "FindPackage",
            Self::Create(..) => "CreateFunction",
            Self::UpdateCode { .. } => "UpdateFunctionCode",
            Self::UpdateConfiguration { .. } => "UpdateFunctionConfiguration",
            Self::SetTags { .. } => "TagResource",
            Self::Publish { .. } => "PublishVersion",
            Self::CreateAlias { .. } => "CreateAlias",
            Self::UpdateAlias { .. } => "UpdateAlias",
            Self::DeleteAlias { .. } => "DeleteAlias",
            Self::DeleteFunction | Self::DeleteVersion { .. } => "DeleteFunction",
            Self::Check { .. } | Self::Wake { .. } => "Invoke",
        }
    }

    /// The resource that a grant must allow; `None` for packages, which are in the artifact bucket.
    pub fn grant<'a>(&'a self, function: &'a str) -> Option<Resource<'a>> {
        match self {
            Self::CopyPackage(_) | Self::FindPackage(_) => None,
            Self::Create(want, _) => Some(Resource::FunctionWithRole(
                function,
                &want.configuration.role,
            )),
            Self::UpdateConfiguration { configuration, .. } => {
                Some(Resource::FunctionWithRole(function, &configuration.role))
            }
            Self::UpdateCode { .. }
            | Self::SetTags { .. }
            | Self::Publish { .. }
            | Self::CreateAlias { .. }
            | Self::UpdateAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::DeleteFunction
            | Self::DeleteVersion { .. }
            | Self::Wake { .. }
            | Self::Check { .. } => Some(Resource::Function(function)),
        }
    }

    /// Whether one of the two actions is enough for both components: components share packages.
    pub fn is_shared(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::CopyPackage(one), Self::CopyPackage(other)) => {
                one.code_sha256 == other.code_sha256
            }
            (Self::FindPackage(one), Self::FindPackage(other)) => one == other,
            _ => false,
        }
    }
}
