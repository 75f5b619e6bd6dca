//! Users of the control plane, through kubectl and helm.
//!
//! Both programs read only the given kubeconfig and keep their caches in the lab's directory, so that the
//! developer's own files have no effect.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::ControlPlane;
use crate::error::LabError;

/// A person or program that the control plane knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The platform team: may do everything.
    Admin,
    /// A team that delivers: group `sluice:tenants`, no permissions but those that tests bind.
    Tenant,
    /// An approver: group `sluice:approvers`, no permissions but those that tests bind.
    Approver,
}

impl User {
    /// All users.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Tenant, Self::Approver];

    /// The username for the API server.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Tenant => "tenant",
            Self::Approver => "approver",
        }
    }

    /// The user's groups, besides `system:authenticated`.
    pub fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &["system:masters"],
            Self::Tenant => &["sluice:tenants"],
            Self::Approver => &["sluice:approvers"],
        }
    }

    pub(super) fn kubeconfig(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.kubeconfig", self.name()))
    }
}

impl ControlPlane {
    /// The user's kubeconfig file.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        user.kubeconfig(&self.dir)
    }

    /// A kubeconfig file `<name>.kubeconfig` for the holder of a bearer token.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<PathBuf, LabError> {
        let path = self.dir.join(format!("{name}.kubeconfig"));
        write_kubeconfig(&path, &self.cluster, &json!({"token": token}))?;
        Ok(path)
    }

    /// A service account's token, for one audience or for the API server.
    pub fn token_for(
        &self,
        namespace: &str,
        service_account: &str,
        audience: Option<&str>,
    ) -> Result<String, LabError> {
        let mut args = vec![
            "create",
            "token",
            service_account,
            "--namespace",
            namespace,
            "--duration=12h",
        ];
        args.extend(
            audience
                .iter()
                .flat_map(|audience| ["--audience", audience]),
        );
        Ok(self.kubectl_text(User::Admin, &args)?.trim().to_owned())
    }

    /// Runs kubectl as `user`; a failed command is an output with an exit status, not an error.
    pub fn kubectl(&self, user: User, args: &[&str]) -> Result<Output, LabError> {
        Ok(self
            .kubectl_command(user, args)
            .stdin(Stdio::null())
            .output()?)
    }

    /// [`ControlPlane::kubectl`] with `input` as standard input, as for `apply -f -`.
    pub fn kubectl_with_input(
        &self,
        user: User,
        args: &[&str],
        input: &str,
    ) -> Result<Output, LabError> {
        let mut command = self.kubectl_command(user, args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // Concurrently with reading the output: either pipe may fill up.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
            child.wait_with_output()
        })?;
        Ok(output)
    }

    /// The output of kubectl; an error if it fails.
    pub fn kubectl_text(&self, user: User, args: &[&str]) -> Result<String, LabError> {
        checked(
            &self.kubectl(user, args)?,
            &format!("kubectl {} as {}", args.join(" "), user.name()),
        )
    }

    /// The output of kubectl with `-o json`; an error if it fails.
    pub fn kubectl_json(&self, user: User, args: &[&str]) -> Result<Value, LabError> {
        let text = self.kubectl_text(user, &[args, &["--output=json"]].concat())?;
        serde_json::from_str(&text)
            .map_err(|e| LabError::new(format!("kubectl {}: {e}", args.join(" "))))
    }

    /// `kubectl apply --server-side` of one or more YAML documents; an error if it fails.
    pub fn apply(&self, user: User, manifest: &str) -> Result<String, LabError> {
        let args = ["apply", "--server-side", "--filename=-"];
        let output = self.kubectl_with_input(user, &args, manifest)?;
        checked(&output, &format!("kubectl apply as {}", user.name()))
    }

    /// Runs helm as the admin. Without `--wait`: nothing becomes ready here.
    pub fn helm(&self, args: &[&str]) -> Result<Output, LabError> {
        let home = self.dir.join("helm");
        let mut command = Command::new(self.tools.helm());
        command
            .args(args)
            .stdin(Stdio::null())
            .env("KUBECONFIG", self.kubeconfig(User::Admin))
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"));
        Ok(command.output()?)
    }

    /// The output of helm; an error if it fails.
    pub fn helm_text(&self, args: &[&str]) -> Result<String, LabError> {
        checked(&self.helm(args)?, &format!("helm {}", args.join(" ")))
    }

    /// Runs a shell line in which `kubectl` acts as `user`. Returns its output; an error if it fails.
    pub fn shell(&self, user: User, line: &str) -> Result<String, LabError> {
        let kubectl = self.tools.kubectl();
        let beside = kubectl.parent().unwrap_or(Path::new("."));
        let found = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(beside.to_owned()).chain(std::env::split_paths(&found)),
        )
        .map_err(|e| LabError::new(format!("PATH: {e}")))?;
        let mut command = self.command_of(user, Path::new("sh"));
        command.args(["-c", line]).env("PATH", path);
        let output = command.stdin(Stdio::null()).output()?;
        checked(&output, &format!("{line} as {}", user.name()))
    }

    fn kubectl_command(&self, user: User, args: &[&str]) -> Command {
        let mut command = self.command_of(user, &self.tools.kubectl());
        command.args(args);
        command
    }

    fn command_of(&self, user: User, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", self.kubeconfig(user))
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"))
            .env("KUBERC", "off");
        command
    }
}

/// Standard output; an error with standard error if the program failed.
pub fn checked(output: &Output, what: &str) -> Result<String, LabError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::new(format!(
        "{what} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// Writes a kubeconfig with one context. JSON is YAML.
pub(super) fn write_kubeconfig(path: &Path, cluster: &Value, user: &Value) -> Result<(), LabError> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    });
    fs::write(path, format!("{config:#}\n"))?;
    Ok(())
}
