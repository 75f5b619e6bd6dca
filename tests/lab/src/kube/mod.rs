//! A real Kubernetes control plane, and the controller as its chart installs it.
//!
//! - [`control_plane`]: etcd, API server and controller manager as processes, or an existing cluster.
//! - [`access`]: users of the control plane, through kubectl and helm.
//! - [`workload`]: an installed Deployment, read back and started as a process of the host.
//! - [`audit`]: the requests to the API server.
//!
//! Without a kubelet, no pod runs, and `helm install --wait` never ends.

pub mod access;
pub mod audit;
pub mod control_plane;
mod env;
mod keys;
mod pod;
mod probe;
mod programs;
mod volumes;
pub mod workload;

pub use access::User;
pub use audit::{Audit, Request};
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use workload::{Controller, Overrides, cpu_seconds};
