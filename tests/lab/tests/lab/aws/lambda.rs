//! Creating, updating and invoking functions.

use aws_sdk_lambda::{
    Client,
    types::{Environment, FunctionCode, LastUpdateStatus, PackageType, Runtime, State, VpcConfig},
};
use sluice_lab::aws::{Settle, limits};

use super::{
    cloud, code, configuration, create, dev_lambda, ended, get, limited, package, refusal,
    refusal_code, release, settled, update,
};

#[tokio::test]
async fn creating_a_function_from_a_missing_object_is_refused() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let code = FunctionCode::builder()
        .s3_bucket(&cloud.dev().buckets["eu-west-1"])
        .s3_key("no/such.zip");
    let request = lambda
        .create_function()
        .function_name("lambda-no-object")
        .runtime(Runtime::Python313)
        .handler("app.handler")
        .role(&cloud.dev().execution_role_arn)
        .code(code.build());
    let (error, message) = refusal(request.send().await);
    assert_eq!(error, "InvalidParameterValueException");
    assert!(message.contains("S3 Error Code: NoSuchKey"), "{message}");
}

#[tokio::test]
async fn a_function_needs_a_role_that_lambda_can_assume() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let not_there = "arn:aws:iam::222222222222:role/not-there";
    for role in [
        not_there,
        &cloud.dev().role_arn,
        &cloud.prod().execution_role_arn,
    ] {
        let request = lambda
            .create_function()
            .function_name("lambda-no-role")
            .runtime(Runtime::Python313)
            .handler("app.handler")
            .role(role)
            .code(code("one"));
        let (error, message) = refusal(request.send().await);
        assert_eq!(error, "InvalidParameterValueException");
        assert!(message.contains("cannot be assumed by Lambda"), "{message}");
    }

    create(cloud, &lambda, "lambda-role").await;
    let request = lambda
        .update_function_configuration()
        .function_name("lambda-role")
        .role(not_there);
    assert_eq!(
        refusal_code(request.send().await),
        "InvalidParameterValueException"
    );
}

#[tokio::test]
async fn writes_are_refused_while_an_update_settles_and_the_function_stays_active() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-in-progress";
    create(cloud, &lambda, name).await;
    cloud.set_settle_of(name, Settle::NEVER);
    update(&lambda, name, "two").await;

    let config = configuration(&lambda, name, None).await;
    assert_eq!(
        config.last_update_status,
        Some(LastUpdateStatus::InProgress)
    );
    assert_eq!(config.state, Some(State::Active));
    let configure = lambda
        .update_function_configuration()
        .function_name(name)
        .memory_size(256);
    let (error, message) = refusal(configure.send().await);
    assert_eq!(error, "ResourceConflictException");
    assert!(
        message.contains("An update is in progress for resource: arn:aws:lambda:"),
        "{message}"
    );
    let publish = lambda.publish_version().function_name(name);
    assert_eq!(
        refusal_code(publish.send().await),
        "ResourceConflictException"
    );
    let delete = lambda.delete_function().function_name(name);
    assert_eq!(
        refusal_code(delete.send().await),
        "ResourceConflictException"
    );

    cloud.settle_now(name);
    assert_eq!(settled(&lambda, name).await.memory_size, Some(128));
}

#[tokio::test]
async fn a_new_function_is_pending_and_cannot_be_invoked_until_it_is_active() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-pending";
    cloud.set_settle_of(name, Settle::NEVER);
    let created = lambda
        .create_function()
        .function_name(name)
        .runtime(Runtime::Python313)
        .handler("app.handler")
        .role(&cloud.dev().execution_role_arn)
        .code(code("one"))
        .send()
        .await
        .expect("created");
    assert_eq!(created.state, Some(State::Pending));
    let (error, message) = refusal(lambda.invoke().function_name(name).send().await);
    assert_eq!(error, "ResourceConflictException");
    assert!(
        message.contains("currently in the following state: Pending"),
        "{message}"
    );

    cloud.settle_now(name);

    settled(&lambda, name).await;
    let answer = lambda
        .invoke()
        .function_name(name)
        .send()
        .await
        .expect("invoked");
    assert_eq!(answer.executed_version.as_deref(), Some("$LATEST"));
    assert_eq!(answer.payload.expect("an answer").into_inner(), br#""one""#);
}

#[tokio::test]
async fn the_revision_changes_once_more_when_an_update_settles() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-revision";
    create(cloud, &lambda, name).await;
    let request = lambda
        .update_function_code()
        .function_name(name)
        .zip_file(package("two"));
    let during = request
        .send()
        .await
        .expect("updated")
        .revision_id
        .expect("a revision");
    let after = settled(&lambda, name)
        .await
        .revision_id
        .expect("a revision");
    assert_ne!(during, after);

    let configure = |revision: &str| {
        let request = lambda
            .update_function_configuration()
            .function_name(name)
            .memory_size(256);
        request.revision_id(revision).send()
    };
    assert_eq!(
        refusal_code(configure(&during).await),
        "PreconditionFailedException"
    );
    configure(&after)
        .await
        .expect("the settled revision is current");
}

#[tokio::test]
async fn a_dry_run_returns_the_result_of_an_update_and_changes_nothing() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-dry-run";
    create(cloud, &lambda, name).await;
    let before = configuration(&lambda, name, None).await;
    let dry_run = |client: &Client| {
        client
            .update_function_code()
            .function_name(name)
            .zip_file(package("two"))
            .dry_run(true)
            .send()
    };
    let answer = dry_run(&lambda).await.expect("a dry run");
    assert_ne!(answer.code_sha256, before.code_sha256);
    let after = configuration(&lambda, name, None).await;
    assert_eq!(after, before);

    let reader = Client::new(&limited(cloud, "lambda:Get*").await);
    configuration(&reader, name, None).await;
    assert_eq!(
        refusal_code(dry_run(&reader).await),
        "AccessDeniedException"
    );
}

#[tokio::test]
async fn an_update_can_be_configured_to_fail() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-fails";
    create(cloud, &lambda, name).await;
    let failure = Some("InvalidRuntime");
    cloud.set_settle_of(
        name,
        Settle {
            failure,
            ..Settle::default()
        },
    );
    update(&lambda, name, "two").await;
    let config = ended(&lambda, name).await;
    assert_eq!(config.last_update_status, Some(LastUpdateStatus::Failed));
    assert_eq!(
        config
            .last_update_status_reason_code
            .map(|code| code.to_string())
            .as_deref(),
        failure
    );
    assert_eq!(config.state, Some(State::Active));

    cloud.set_settle_of(name, Settle::default());
    update(&lambda, name, "three").await;
    assert_eq!(
        ended(&lambda, name).await.last_update_status,
        Some(LastUpdateStatus::Successful)
    );
}

#[tokio::test]
async fn latest_cannot_be_deleted_without_its_function() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    create(cloud, &lambda, "lambda-latest").await;
    let request = lambda
        .delete_function()
        .function_name("lambda-latest")
        .qualifier("$LATEST");
    assert_eq!(
        refusal_code(request.send().await),
        "InvalidParameterValueException"
    );
    get(&lambda, "lambda-latest", None).await;
}

#[tokio::test]
async fn a_functions_package_is_downloaded_through_the_proxy() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    create(cloud, &lambda, "lambda-location").await;
    let code = get(&lambda, "lambda-location", None)
        .await
        .code
        .expect("code");
    let location = code.location.expect("a location");
    assert!(location.starts_with(cloud.endpoint()), "{location}");
    let bytes = reqwest::get(&location)
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("a package");
    assert_eq!(bytes, package("one").into_inner());
    let calls = cloud
        .calls()
        .only(|call| call.resource == "lambda-location");
    assert_eq!(calls.named("lambda", "DownloadCode").count(), 1);
}

#[tokio::test]
async fn invalid_runtimes_and_environment_variables_are_refused() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    create(cloud, &lambda, "lambda-environment").await;
    let update = || {
        let update = lambda.update_function_configuration();
        update.function_name("lambda-environment")
    };
    let variables = |variables: &[(&str, &str)]| {
        let mut environment = Environment::builder();
        for (name, value) in variables {
            environment = environment.variables(*name, *value);
        }
        environment.build()
    };
    let refused =
        async |environment: Environment| refusal(update().environment(environment).send().await);
    let (error, message) = refused(variables(&[("AWS_REGION", "x"), ("A_B", "y")])).await;
    assert_eq!(error, "InvalidParameterValueException");
    assert!(
        message.ends_with("used in this request: AWS_REGION"),
        "{message}"
    );
    let (error, message) = refused(variables(&[("TEXT", &"x".repeat(4096))])).await;
    assert_eq!(error, "InvalidParameterValueException");
    assert!(message.contains("exceeded the 4KB limit"), "{message}");
    for name in ["1ST", "A", "WITH-DASH"] {
        let (error, _) = refused(variables(&[(name, "x")])).await;
        assert_eq!(error, "ValidationException", "{name}");
    }
    let runtime = update().runtime(Runtime::from("python2.7")).send().await;
    let (error, message) = refusal(runtime);
    assert_eq!(error, "InvalidParameterValueException");
    assert!(message.contains("python2.7 at 'runtime'"), "{message}");

    let most = "x".repeat(4096 - r#"{"TEXT":""}"#.len());
    let taken = update()
        .environment(variables(&[("TEXT", &most)]))
        .send()
        .await;
    taken.unwrap();
}

#[tokio::test]
async fn a_version_has_its_own_package() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-packages";
    create(cloud, &lambda, name).await;
    let first = release(&lambda, name, "first").await;
    let alias = lambda.create_alias().function_name(name).name("live");
    alias
        .function_version(&first)
        .send()
        .await
        .expect("an alias");
    let second = release(&lambda, name, "second").await;
    update(&lambda, name, "latest").await;
    settled(&lambda, name).await;
    for (qualifier, answer) in [
        (Some(first.as_str()), "first"),
        (Some("live"), "first"),
        (Some(second.as_str()), "second"),
        (Some("$LATEST"), "latest"),
        (None, "latest"),
    ] {
        let location = get(&lambda, name, qualifier)
            .await
            .code
            .and_then(|code| code.location);
        let answered = reqwest::get(location.expect("a location"))
            .await
            .expect("an answer");
        let bytes = answered.bytes().await.expect("a package");
        assert_eq!(bytes, package(answer).into_inner(), "{qualifier:?}");
    }
}

#[tokio::test]
async fn missing_subnets_security_groups_and_images_are_refused() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-network";
    create(cloud, &lambda, name).await;
    let refused = async |subnets: &[&str], groups: &[&str]| {
        let mut network = VpcConfig::builder();
        for subnet in subnets {
            network = network.subnet_ids(*subnet);
        }
        for group in groups {
            network = network.security_group_ids(*group);
        }
        let update = lambda.update_function_configuration().function_name(name);
        let (code, message) = refusal(update.vpc_config(network.build()).send().await);
        assert_eq!(code, "InvalidParameterValueException");
        message
    };
    assert_eq!(
        refused(&["subnet-0123"], &["sg-0123"]).await,
        "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The \
         subnet ID 'subnet-0123' does not exist"
    );
    // The default subnet of every account.
    let message = refused(&["subnet-00000001"], &["sg-0fedcba9876543210"]).await;
    assert!(
        message.starts_with(
            "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound."
        ),
        "{message}"
    );
    assert!(
        refused(&["subnet-0123"], &[])
            .await
            .contains("must coexist")
    );

    let image = async |uri: &str| {
        let create = lambda.create_function().function_name("lambda-image");
        let create = create
            .package_type(PackageType::Image)
            .role(&cloud.dev().execution_role_arn);
        let create = create.code(FunctionCode::builder().image_uri(uri).build());
        let (code, message) = refusal(create.send().await);
        assert_eq!(code, "InvalidParameterValueException");
        message
    };
    let here = format!("{}.dkr.ecr.eu-west-1.amazonaws.com/shop:1", cloud.dev().id);
    let expected = format!("Source image {here} does not exist. Provide a valid source image.");
    assert_eq!(image(&here).await, expected);
    let elsewhere = here.replace("eu-west-1", "us-east-1");
    let expected = format!("Source image {elsewhere} is not valid. Provide a valid source image.");
    assert_eq!(image(&elsewhere).await, expected);
}

#[tokio::test]
async fn values_beyond_the_table_of_limits_are_refused() {
    let cloud = cloud().await;
    let lambda = dev_lambda(cloud).await;
    let name = "lambda-limits";
    create(cloud, &lambda, name).await;
    let describe = |length: usize| {
        let update = lambda.update_function_configuration().function_name(name);
        update.description("x".repeat(length)).send()
    };
    let (error, message) = refusal(describe(limits::DESCRIPTION + 1).await);
    assert_eq!(error, "ValidationException");
    assert!(message.contains("less than or equal to 256"), "{message}");
    describe(limits::DESCRIPTION).await.expect("taken");
    settled(&lambda, name).await;
    let make = |name: String| {
        let create = lambda.create_function().function_name(name);
        let create = create.runtime(Runtime::Python313).handler("app.handler");
        create
            .role(&cloud.dev().execution_role_arn)
            .code(code("one"))
    };
    let long = make("n".repeat(limits::FUNCTION_NAME + 1)).send().await;
    assert_eq!(refusal_code(long), "ValidationException");
    let mut tagged = make("lambda-limits-tags".to_owned());
    for tag in 0..=limits::TAGS {
        tagged = tagged.tags(format!("tag-{tag}"), "x");
    }
    let (code, message) = refusal(tagged.send().await);
    assert_eq!(code, "InvalidParameterValueException");
    assert!(message.contains("exceeds resource tag limit"), "{message}");
    let traced = Environment::builder()
        .variables("_X_AMZN_TRACE_ID", "x")
        .build();
    let update = lambda.update_function_configuration().function_name(name);
    let (_, message) = refusal(update.environment(traced).send().await);
    assert!(
        message.ends_with("used in this request: _X_AMZN_TRACE_ID"),
        "{message}"
    );
}
