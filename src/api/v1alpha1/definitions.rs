//! The API group and the definitions of its resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::{
    account::Account, approval::Approval, deployment::Deployment,
    gitlab_connection::GitLabConnection, release::Release, target::Target,
};

/// The definitions of all resources, in the order in which they are documented.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        GitLabConnection::crd(),
        Account::crd(),
        Deployment::crd(),
        Release::crd(),
        Target::crd(),
        Approval::crd(),
    ]
}
