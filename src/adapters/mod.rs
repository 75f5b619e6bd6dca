//! Implementations of the ports: GitLab over HTTP, AWS through its SDK, the cluster through kube, and the
//! URLs of checks.

pub mod aws;
mod causes;
mod counted;
pub mod gitlab;
pub mod http_probe;
pub mod kubernetes;
mod reach;
