//! Two controllers and one Lease: one works, the other takes over.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use sluice_lab::{
    kube::Controller,
    lab::{NAMESPACE, wait_for},
};

use super::{Environment, LIMIT, exclusive_lab, run, scene::Scene};

fn holder(environment: &Environment) -> String {
    let leases = Api::<Lease>::namespaced(environment.client.clone(), NAMESPACE);
    let lease = run(leases.get("sluice")).unwrap();
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}

#[track_caller]
fn leads(environment: &Environment, pod: &str) {
    let found = wait_for(&format!("{pod} holds the Lease"), LIMIT, || {
        let holder = holder(environment);
        if holder.starts_with(&format!("{pod}_")) {
            Ok(())
        } else {
            Err(holder)
        }
    });
    found.unwrap_or_else(|e| panic!("{e}"));
}

fn delivers(scene: &Scene<'_>, revision: i64) {
    let version = format!("v{revision}");
    scene.push(&version);
    scene.delivered(revision);
    scene.serves("dev", &version);
}

/// Whether a controller has reconciled anything of the team's.
fn worked(controller: &Controller, scene: &Scene<'_>) -> bool {
    let wanted = format!("namespace=\"{}\"", scene.team.namespace);
    controller.logs().contains(&wanted)
}

#[test]
fn standby_does_nothing_until_the_leader_is_gone() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "two-leaders");
    let first = environment.lab.controller().pod_name().to_owned();
    leads(&environment, &first);
    let mut standby = environment.lab.another_controller().unwrap();
    standby.wait_ready(LIMIT).unwrap();
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    delivers(&scene, 2);
    assert!(!worked(&standby, &scene), "the standby has worked");

    environment.lab.controller().kill().unwrap();
    let second = standby.pod_name().to_owned();
    leads(&environment, &second);
    delivers(&scene, 3);

    // An orderly end hands the Lease over without waiting for it to run out.
    environment.lab.controller().start().unwrap();
    environment.lab.controller().wait_ready(LIMIT).unwrap();
    let status = standby.terminate().unwrap();
    assert!(status.success(), "{status}");
    leads(&environment, &first);
    delivers(&scene, 4);
}

#[test]
fn paused_leader_writes_nothing_after_it_resumes() {
    let environment = exclusive_lab();
    let scene = Scene::within(&environment, "paused-leader");
    scene.push("v1");
    scene.apply(&scene.deployment(&["dev"]));
    scene.delivered(1);
    let mut standby = environment.lab.another_controller().unwrap();
    standby.wait_ready(LIMIT).unwrap();
    let second = standby.pod_name().to_owned();
    environment.lab.controller().pause().unwrap();
    leads(&environment, &second);
    delivers(&scene, 2);
    environment.lab.controller().resume().unwrap();
    let ended = wait_for("the former leader ends", LIMIT, || {
        if environment.lab.controller().is_running() {
            Err("it still runs")
        } else {
            Ok(())
        }
    });
    ended.unwrap_or_else(|e| panic!("{e}\n{}", environment.lab.log_tail(20)));
    assert!(
        environment.lab.log_tail(20).contains("Lease"),
        "it says why"
    );
    delivers(&scene, 3);

    environment.lab.controller().start().unwrap();
    environment.lab.controller().wait_ready(LIMIT).unwrap();
    let status = standby.terminate().unwrap();
    assert!(status.success(), "{status}");
    let first = environment.lab.controller().pod_name().to_owned();
    leads(&environment, &first);
    delivers(&scene, 4);
}
