//! A real control plane with the chart installed, shared by the tests that need no more than that.
//!
//! Relies on the lab's toolchain. Tests share it, so each works in a namespace of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Output,
    sync::{LazyLock, Mutex, PoisonError},
};

use sluice_lab::{
    kube::{ControlPlane, ControlPlaneOptions, User},
    lab::{PATIENCE, wait_for},
    toolchain::Toolchain,
};

/// Where the tests install the chart.
pub const NAMESPACE: &str = "sluice-system";
/// The controller's username at the API server.
pub const CONTROLLER: &str = "system:serviceaccount:sluice-system:sluice";

struct Shared {
    control_plane: ControlPlane,
    /// Held until the tests end: another run waits for the directory.
    _lock: File,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    // A static is never dropped: each run would leave a temporary directory behind.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-cluster");
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let options = ControlPlaneOptions {
        dir,
        ..Default::default()
    };
    let control_plane = ControlPlane::start(Toolchain::shared().unwrap(), &options).unwrap();
    install(&control_plane);
    Shared {
        control_plane,
        _lock: lock,
    }
});

/// The newest Kubernetes, with the chart installed and in force.
pub fn cluster() -> &'static ControlPlane {
    &SHARED.control_plane
}

/// `helm upgrade` of the shared installation, and what helm prints. Helm refuses an upgrade while another one is
/// in progress, even as a dry run, so tests take turns.
pub fn upgrade(arguments: &[&str]) -> String {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let chart = chart();
    let upgrade = ["upgrade", "sluice", &chart, "--namespace", NAMESPACE];
    cluster()
        .helm_text(&[&upgrade[..], arguments].concat())
        .unwrap()
}

/// A control plane that behaves as the oldest supported Kubernetes and holds nothing. Ends when
/// dropped.
pub fn oldest(dir: &Path) -> ControlPlane {
    let options = ControlPlaneOptions {
        emulated_version: Some("1.34".into()),
        dir: dir.to_owned(),
        ..Default::default()
    };
    ControlPlane::start(Toolchain::shared().unwrap(), &options).unwrap()
}

/// The chart's folder.
pub fn chart() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/sluice");
    path.display().to_string()
}

/// Installs the chart and waits until its definitions and its policy are in force.
pub fn install(control_plane: &ControlPlane) {
    install_with(control_plane, &[]);
}

/// [`install`] with further arguments for helm.
pub fn install_with(control_plane: &ControlPlane, arguments: &[&str]) {
    let chart = chart();
    let install = [
        "install",
        "sluice",
        &chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
    ];
    control_plane
        .helm_text(&[&install[..], arguments].concat())
        .unwrap();
    control_plane
        .kubectl_text(
            User::Admin,
            &[
                "wait",
                "--for=condition=Established",
                "--timeout=120s",
                "customresourcedefinitions/accounts.sluice.dev",
                "customresourcedefinitions/approvals.sluice.dev",
                "customresourcedefinitions/deployments.sluice.dev",
                "customresourcedefinitions/gitlabconnections.sluice.dev",
                "customresourcedefinitions/releases.sluice.dev",
                "customresourcedefinitions/targets.sluice.dev",
            ],
        )
        .unwrap();
    eventually("the admission policy refuses a Target", || {
        let target = include_str!("manifests/target.yaml");
        let output = create(
            control_plane,
            &["--namespace=default", "--dry-run=server"],
            target,
        );
        !output.status.success() && stderr(&output).contains("sluice-records")
    });
    eventually(
        "the admission policy refuses an Approval of another user",
        || {
            let approval = include_str!("manifests/approval.yaml");
            let output = create(
                control_plane,
                &["--namespace=default", "--dry-run=server"],
                approval,
            );
            !output.status.success() && stderr(&output).contains("sluice-approvals")
        },
    );
}

/// Creates a namespace for one test.
pub fn namespace(name: &str) {
    cluster()
        .apply(
            User::Admin,
            &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"),
        )
        .unwrap();
}

/// `kubectl create` as the cluster's administrator.
pub fn create(control_plane: &ControlPlane, options: &[&str], manifest: &str) -> Output {
    let arguments = [&["create", "--validate=strict", "--filename=-"], options].concat();
    control_plane
        .kubectl_with_input(User::Admin, &arguments, manifest)
        .unwrap()
}

/// Options by which kubectl impersonates the controller. The group lets kubectl read back its changes;
/// policies check the name.
pub fn as_controller() -> [String; 2] {
    [
        format!("--as={CONTROLLER}"),
        "--as-group=system:masters".to_owned(),
    ]
}

/// The error output of a command.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that the command succeeded; panics with its error output.
#[track_caller]
pub fn accepted(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

/// Asserts that the command failed with `why` in its error output.
#[track_caller]
pub fn refused(output: &Output, why: &str) {
    assert!(!output.status.success(), "accepted instead of: {why}");
    assert!(
        stderr(output).contains(why),
        "refused, but not with {why:?}: {}",
        stderr(output)
    );
}

/// Waits until the condition holds.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = wait_for(what, PATIENCE, || condition().then_some(()));
    holds.unwrap_or_else(|error| panic!("{error}"));
}
