//! What is done to functions, versions and aliases, and what comes of it.

use std::collections::BTreeMap;

use super::{
    desired::{DesiredCheck, DesiredFunction},
    function::{Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration},
};
use crate::domain::{check::CheckKey, digest::Sha256, grants::Resource};

/// A change of a function, or an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Have the Release's package in the Target's bucket.
    CopyPackage(Box<DesiredFunction>),
    /// Find a snapshot's package in the Target's bucket.
    FindPackage(Sha256),
    /// `CreateFunction`.
    Create(Box<DesiredFunction>, CodeLocation),
    /// `UpdateFunctionCode`.
    UpdateCode {
        /// `x86_64` or `arm64`.
        architecture: String,
        /// The new code.
        code: CodeLocation,
        /// Of the function as it was read.
        revision_id: String,
    },
    /// `UpdateFunctionConfiguration`.
    UpdateConfiguration {
        /// The new settings.
        configuration: Box<FunctionConfiguration>,
        /// Of the function as it was read.
        revision_id: String,
    },
    /// `TagResource` and `UntagResource`.
    SetTags {
        /// The function.
        arn: String,
        /// What it has.
        current: BTreeMap<String, String>,
        /// What it should have.
        wanted: BTreeMap<String, String>,
    },
    /// `Invoke` of a version that Lambda has put to sleep.
    Wake {
        /// The number.
        version: String,
        /// What it is invoked with, should it be awake.
        payload: String,
    },
    /// `PublishVersion`.
    Publish {
        /// What `$LATEST` must be.
        code_sha256: Sha256,
        /// Of the function as it was read.
        revision_id: String,
        /// The version's description.
        description: String,
    },
    /// `CreateAlias`.
    CreateAlias {
        /// The alias.
        alias: String,
        /// Where to.
        to: AliasTarget,
    },
    /// `UpdateAlias`.
    UpdateAlias {
        /// The alias.
        alias: String,
        /// Where to.
        to: AliasTarget,
        /// Of the alias as it was read.
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
        /// The number.
        version: String,
    },
    /// `Invoke`, and a judgement of the answer.
    Check {
        /// What must hold.
        check: Box<DesiredCheck>,
        /// Which one it is.
        key: CheckKey,
        /// Version or alias to invoke.
        qualifier: String,
        /// The version that must answer.
        version: String,
    },
}

/// What came of an [`Action`]. (What came of a check is for the engine.)
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The package with this digest is here.
    Package(Sha256, CodeLocation),
    /// The function was created, with its tags.
    Created(Box<Function>),
    /// `$LATEST` was updated. The reply does not tell the tags.
    Updated(Box<Function>),
    /// A version was published.
    Published(Box<Function>),
    /// The alias was created or moved.
    Routed {
        /// The alias.
        alias: String,
        /// As it is now.
        now: Alias,
    },
    /// The tags were set.
    TagsSet,
    /// The version was invoked to wake it.
    Woken {
        /// The number.
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
        /// The number.
        version: String,
    },
}

impl Action {
    /// Lambda's name of the call, or Sluice's.
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

    /// What a grant has to name for it; packages lie in the artifact bucket, under their digest.
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

    /// Whether one of these serves for both: components share a package.
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
