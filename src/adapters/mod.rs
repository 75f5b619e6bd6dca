//! The ports on the real outside: GitLab over HTTP, AWS through its SDK, the cluster through kube, and
//! whatever URL a check asks.

pub mod aws;
mod causes;
mod counted;
pub mod gitlab;
pub mod http_probe;
pub mod kubernetes;
mod reach;
