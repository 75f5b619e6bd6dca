//! The ports on the real outside: GitLab over HTTP, AWS through its SDK, the cluster through kube.

pub mod aws;
mod counted;
pub mod gitlab;
pub mod kubernetes;
