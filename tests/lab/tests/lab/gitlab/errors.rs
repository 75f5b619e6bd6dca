//! All kinds of refusals: credentials, scopes, roles, routes, parameters, moved projects.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_lab::gitlab::{Role, SimulatorOptions, Visibility};

use super::{Lab, builds, reply};

/// Requests each path of the table and compares status and body.
async fn assert_refusals(lab: &Lab, table: &[(&str, u16, Value)]) {
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let job = lab.gitlab.job(pipeline, "package");
    for (path, status, body) in table {
        let path = path.replace("{own}", &format!("projects/{}", lab.project));
        let path = path
            .replace("{pipeline}", &pipeline.to_string())
            .replace("{job}", &job.to_string());
        let reply = reply(
            lab.bare(Method::GET, &path)
                .header("PRIVATE-TOKEN", &lab.token),
        )
        .await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()),
            (*status, body),
            "{path}"
        );
    }
}

fn message(text: &str) -> Value {
    json!({"message": text})
}

fn error(text: &str) -> Value {
    json!({"error": text})
}

#[tokio::test]
async fn missing_resources_are_refused_with_gitlabs_messages() {
    let lab = Lab::start().await;
    let table = [
        ("projects/999", 404, message("404 Project Not Found")),
        ("projects/checkout", 404, message("404 Project Not Found")),
        (
            "projects/shop%2Fnone",
            404,
            message("404 Project Not Found"),
        ),
        ("projects/shop/checkout", 404, error("404 Not Found")),
        (
            "projects/shop/checkout/pipelines",
            404,
            error("404 Not Found"),
        ),
        ("nothing", 404, error("404 Not Found")),
        ("{own}/pipelines/1", 404, message("404 Not found")),
        ("{own}/jobs/1", 404, message("404 Not found")),
        ("{own}/freeze_periods/1", 404, message("404 Not found")),
        ("users/1", 404, message("404 User Not Found")),
        ("users/ana", 400, error("id is invalid")),
        (
            "{own}/repository/branches/none",
            404,
            message("404 Branch Not Found"),
        ),
        (
            "{own}/repository/branches/feature/x",
            404,
            error("404 Not Found"),
        ),
        (
            "{own}/repository/tags/none",
            404,
            message("404 Tag Not Found"),
        ),
        (
            "{own}/repository/commits/none",
            404,
            message("404 Commit Not Found"),
        ),
    ];
    assert_refusals(&lab, &table).await;
    let old = lab
        .client
        .get(format!("{}/api/v3/projects", lab.gitlab.url()));
    assert_eq!(reply(old).await.status, 410);
    let wrong = reply(lab.ask(Method::DELETE, "/pipelines")).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.json()),
        (405, error("405 Not Allowed"))
    );
}

#[tokio::test]
async fn invalid_parameters_are_refused_with_gitlabs_messages() {
    let lab = Lab::start().await;
    let table = [
        ("{own}/pipelines/x", 400, error("pipeline_id is invalid")),
        (
            "{own}/repository/branches/a..b",
            400,
            message("The branch refname is invalid"),
        ),
        (
            "{own}/pipelines?status=odd",
            400,
            error("status does not have a valid value"),
        ),
        (
            "{own}/pipelines?sort=up",
            400,
            error("sort does not have a valid value"),
        ),
        (
            "{own}/pipelines?updated_after=x",
            400,
            error("updated_after is invalid"),
        ),
        (
            "{own}/pipelines/{pipeline}/jobs?scope[]=odd",
            400,
            error("scope does not have a valid value"),
        ),
        (
            "{own}/jobs/{job}/artifacts/dist//api.zip",
            400,
            message("400 Bad request"),
        ),
        (
            "{own}/jobs/{job}/artifacts/..%2Fapi.zip",
            400,
            message("400 Bad request"),
        ),
    ];
    assert_refusals(&lab, &table).await;
}

#[tokio::test]
async fn credentials_are_checked_before_anything_else() {
    let lab = Lab::start().await;
    lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let path = format!("projects/{}/pipelines", lab.project);
    let with = async |path: &str, token: &str| {
        let reply = reply(lab.bare(Method::GET, path).header("PRIVATE-TOKEN", token)).await;
        (reply.status.as_u16(), reply.json())
    };
    assert_eq!(
        with(&path, "glpat-wrong").await,
        (401, json!({"message": "401 Unauthorized"}))
    );
    let anonymous = reply(lab.bare(Method::GET, &path)).await;
    assert_eq!(
        (anonymous.status.as_u16(), anonymous.json()),
        (404, json!({"message": "404 Project Not Found"}))
    );
    for path in [
        "user",
        "version",
        "metadata",
        "personal_access_tokens/self",
        &format!("projects/{}/jobs", lab.project),
    ] {
        assert_eq!(
            reply(lab.bare(Method::GET, path)).await.status,
            401,
            "{path}"
        );
    }

    let old = lab
        .gitlab
        .create_token(lab.ana, &["api"], Some(jiff::civil::date(2020, 1, 1)));
    assert_eq!(with(&path, &old).await.1["error"], "invalid_token");
    let revoked = lab.gitlab.create_token(lab.ana, &["api"], None);
    assert_eq!(with(&path, &revoked).await.0, 200);
    lab.gitlab.revoke_token(&revoked);
    let (status, body) = with(&path, &revoked).await;
    assert_eq!(status, 401);
    assert!(
        body["error_description"]
            .as_str()
            .unwrap()
            .contains("revoked")
    );
    let ending = lab.gitlab.create_token(lab.ana, &["api"], None);
    lab.gitlab.expire_token(&ending);
    assert_eq!(with(&path, &ending).await.0, 401);

    let narrow = lab.gitlab.create_token(lab.ana, &["read_registry"], None);
    let (status, body) = with(&path, &narrow).await;
    assert_eq!(
        (status, &body["error"], &body["scope"]),
        (403, &json!("insufficient_scope"), &json!("api read_api"))
    );

    lab.gitlab.set_visibility(lab.project, Visibility::Public);
    assert_eq!(reply(lab.bare(Method::GET, &path)).await.status, 200);
    assert_eq!(
        with(&path, "glpat-wrong").await.0,
        401,
        "a bad credential does not count as none"
    );
}

#[tokio::test]
async fn scopes_and_roles_limit_what_a_token_may_do() {
    let lab = Lab::start().await;
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", vec![builds()]);
    let job = lab.gitlab.job(pipeline, "package");
    let token = lab.gitlab.create_token(lab.ana, &["read_api"], None);
    let ask = async |method: Method, path: String, token: &str| {
        reply(
            lab.bare(method, &format!("projects/{}{path}", lab.project))
                .bearer_auth(token),
        )
        .await
    };
    assert_eq!(
        ask(Method::GET, "/pipelines".into(), &token).await.status,
        200
    );
    let refused = ask(Method::POST, format!("/jobs/{job}/retry"), &token).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["scope"].clone()),
        (403, json!("api"))
    );

    let token = lab.gitlab.create_token(lab.ana, &["api"], None);
    lab.gitlab.set_role(&token, Role::Reporter);
    assert_eq!(
        ask(Method::POST, format!("/jobs/{job}/retry"), &token)
            .await
            .json(),
        json!({"message": "403 Forbidden"})
    );
    lab.gitlab.set_role(&token, Role::Guest);
    assert_eq!(
        ask(Method::GET, "/pipelines".into(), &token).await.status,
        403
    );
    let project = ask(Method::GET, String::new(), &token).await.json();
    assert_eq!(
        (
            project["default_branch"].clone(),
            project.get("permissions")
        ),
        (Value::Null, None)
    );
    lab.gitlab.set_role(&token, Role::None);
    assert_eq!(ask(Method::GET, String::new(), &token).await.status, 404);
}

#[tokio::test]
async fn a_moved_project_redirects_reads_to_its_number() {
    let lab = Lab::start().await;
    lab.gitlab.move_project(lab.project, "shop/till");
    let ask = |method: Method| {
        let path = "projects/shop%2Fcheckout/pipelines?ref=main";
        reply(lab.bare(method, path).header("PRIVATE-TOKEN", &lab.token))
    };
    let moved = ask(Method::GET).await;
    assert_eq!(moved.status, 301);
    let to = format!(
        "{}/projects/{}/pipelines?ref=main",
        lab.gitlab.api_url(),
        lab.project
    );
    assert_eq!(moved.header("location"), Some(to.as_str()));
    assert_eq!(
        moved.text,
        format!("This resource has been moved permanently to {to}")
    );
    assert_eq!(ask(Method::HEAD).await.status, 405);
    assert_eq!(
        ask(Method::POST).await.json(),
        json!({"message": "Non GET methods are not allowed for moved projects"})
    );
    lab.gitlab.create_project("shop/checkout");
    assert_eq!(
        ask(Method::GET).await.status,
        200,
        "the path now names another project"
    );
}

/// See python-gitlab's issue 3299: a dot that is not encoded ends up in the address.
#[tokio::test]
async fn a_moved_project_with_a_dot_is_found_only_by_an_encoded_one() {
    let lab = Lab::start().await;
    lab.gitlab.move_project(lab.project, "shop/check.out");
    lab.gitlab.move_project(lab.project, "shop/till");
    let ask = |path: &str| {
        reply(
            lab.bare(Method::GET, path)
                .header("PRIVATE-TOKEN", &lab.token),
        )
    };
    let to = format!("{}/projects/{}", lab.gitlab.api_url(), lab.project);
    let encoded = ask("projects/shop%2Fcheck%2Eout").await;
    assert_eq!(encoded.header("location"), Some(to.as_str()));
    let bare = ask("projects/shop%2Fcheck.out").await;
    assert_eq!(bare.status, 301);
    assert_ne!(bare.header("location"), Some(to.as_str()));
}

#[tokio::test]
async fn an_instance_can_live_under_a_relative_root() {
    let options = SimulatorOptions {
        relative_root: "/gitlab".to_owned(),
        ..SimulatorOptions::default()
    };
    let lab = Lab::with(options).await;
    assert!(lab.gitlab.api_url().ends_with("/gitlab/api/v4"));
    let project = lab.get("").await.json();
    assert_eq!(
        project["web_url"],
        format!("{}/shop/checkout", lab.gitlab.url())
    );
    let outside = lab.gitlab.api_url().replace("/gitlab/", "/");
    assert_eq!(
        reply(lab.client.get(format!("{outside}/version")))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn refs_with_slashes_are_found_when_encoded() {
    let lab = Lab::start().await;
    let sha = lab.gitlab.push(lab.project, "feature/x", "More");
    lab.gitlab.tag(lab.project, "release/1", &sha);
    lab.gitlab.protect(lab.project, "release/1", true);
    let branch = lab.get("/repository/branches/feature%2Fx").await.json();
    assert_eq!(
        (&branch["commit"]["id"], &branch["protected"]),
        (&json!(sha), &json!(false))
    );
    assert_eq!(
        lab.get("/repository/tags/release%2F1").await.json()["protected"],
        true
    );
    for name in [&sha[..8], "feature%2Fx", "refs%2Ftags%2Frelease%2F1"] {
        assert_eq!(
            lab.get(&format!("/repository/commits/{name}")).await.json()["id"],
            json!(sha)
        );
    }
    let head = reply(lab.ask(Method::HEAD, "/repository/branches/feature%2Fx")).await;
    assert_eq!(head.status, 204);
}
