//! The whole table, against a copy that was made by hand from the tools.

use serde_json::{Value, json};

use super::{super::table, Form, packaged, parsed, read};

const EXPECTED: &str = "
    AWS::ApiGateway::RestApi BodyS3Location File Bucket/Key
    AWS::ApiGatewayV2::Api BodyS3Location File Bucket/Key
    AWS::AppSync::FunctionConfiguration CodeS3Location File s3
    AWS::AppSync::FunctionConfiguration RequestMappingTemplateS3Location File s3
    AWS::AppSync::FunctionConfiguration ResponseMappingTemplateS3Location File s3
    AWS::AppSync::GraphQLSchema DefinitionS3Location File s3
    AWS::AppSync::Resolver CodeS3Location File s3
    AWS::AppSync::Resolver RequestMappingTemplateS3Location File s3
    AWS::AppSync::Resolver ResponseMappingTemplateS3Location File s3
    AWS::CloudFormation::ModuleVersion ModulePackage Bundle s3
    AWS::CloudFormation::ResourceVersion SchemaHandlerPackage Bundle s3
    AWS::CloudFormation::Stack TemplateURL Template https
    AWS::CloudFormation::StackSet TemplateURL File https
    AWS::CodeCommit::Repository Code.S3 Zip Bucket/Key
    AWS::ElasticBeanstalk::ApplicationVersion SourceBundle Bundle S3Bucket/S3Key
    AWS::Glue::Job Command.ScriptLocation File s3
    AWS::Lambda::Function Code Zip S3Bucket/S3Key
    AWS::Lambda::LayerVersion Content Zip S3Bucket/S3Key
    AWS::Serverless::Api DefinitionUri File s3
    AWS::Serverless::Application Location Template https
    AWS::Serverless::Function CodeUri Zip s3
    AWS::Serverless::GraphQLApi Functions.Add.CodeUri File s3
    AWS::Serverless::GraphQLApi Resolvers.Query.get.CodeUri File s3
    AWS::Serverless::GraphQLApi SchemaUri File s3
    AWS::Serverless::HttpApi DefinitionUri File s3
    AWS::Serverless::LayerVersion ContentUri Zip s3
    AWS::Serverless::StateMachine DefinitionUri File Bucket/Key
    AWS::StepFunctions::StateMachine DefinitionS3Location File Bucket/Key";

fn rows() -> impl Iterator<Item = [&'static str; 4]> {
    EXPECTED.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.try_into().ok()
    })
}

fn form(name: &str) -> Form {
    match name {
        "Zip" => Form::Zip,
        "Bundle" => Form::Bundle,
        "File" => Form::File,
        "Template" => Form::Template,
        other => panic!("{other}"),
    }
}

fn value(shape: &str) -> Value {
    match shape {
        "s3" => json!("s3://artifacts/packaged/0"),
        "https" => json!("https://artifacts.s3.eu-central-1.amazonaws.com/packaged/0"),
        names => {
            let (bucket, key) = names.split_once('/').expect("two names");
            json!({bucket: "artifacts", key: "packaged/0"})
        }
    }
}

/// The properties with this value at this path.
fn properties(path: &str, value: &Value) -> Value {
    let names = path.rsplit('.');
    names.fold(value.clone(), |value, name| json!({name: value}))
}

fn template(resource_type: &str, properties: &Value) -> Value {
    json!({"Resources": {"It": {"Type": resource_type, "Properties": properties}}})
}

fn check(text: &str, [resource_type, path, form_name, shape]: [&str; 4]) {
    let packaging = read(text);
    let [found] = packaging.paths() else {
        panic!("{text}: {:?}", packaging.paths());
    };
    assert_eq!(found.place, format!("Resources.It.Properties.{path}"));
    assert_eq!(found.path, "./local/päth");
    assert_eq!(found.form, form(form_name), "{found:?}");
    let after = packaged(&packaging);
    let (before, behind) = text.split_once("\"./local/päth\"").expect("the path");
    assert!(
        after.starts_with(before) && after.ends_with(behind),
        "{after}"
    );
    let expected = template(resource_type, &properties(path, &value(shape)));
    assert_eq!(parsed(&after), expected, "{after}");
    if text.starts_with('{') {
        let json: Value = serde_json::from_str(&after).expect("JSON stays JSON");
        assert_eq!(json, expected);
    }
}

#[test]
fn each_property_is_found_and_written_in_json() {
    for row in rows() {
        let of = template(row[0], &properties(row[1], &json!("./local/päth")));
        check(&of.to_string(), row);
        check(&format!("{of:#}"), row);
        check(&format!("{of:#}").replace("  ", "\t"), row);
    }
}

#[test]
fn each_property_is_found_and_written_in_yaml() {
    for row in rows() {
        let mut text = format!("Resources:\n  It:\n    Type: {}\n    Properties:", row[0]);
        let mut indent = String::from("\n      ");
        for name in row[1].split('.') {
            text.push_str(&indent);
            text.push_str(name);
            text.push(':');
            indent.push_str("  ");
        }
        text.push_str(" \"./local/päth\" # the path\n");
        check(&text, row);
    }
}

#[test]
fn the_table_has_no_other_property() {
    assert_eq!(rows().count(), table::RESOURCES.len());
    let mut names: Vec<(&str, &str)> = table::RESOURCES.iter().map(|it| (it.0, it.1)).collect();
    names.dedup();
    assert_eq!(names.len(), table::RESOURCES.len());
}

#[test]
fn values_that_are_not_local_paths_stay() {
    let values = [
        json!("s3://bucket/key"),
        json!("https://bucket.s3.amazonaws.com/key"),
        json!("http://localhost/key"),
        json!("{{resolve:ssm:/code}}"),
        json!(""),
        json!(null),
        json!(3),
        json!(true),
        json!({"Ref": "Code"}),
        json!({"Bucket": "b", "Key": "./k"}),
        json!(["./a"]),
    ];
    for [resource_type, path, ..] in rows() {
        for value in &values {
            let text = template(resource_type, &properties(path, value)).to_string();
            let packaging = read(&text);
            assert_eq!(packaging.paths(), [], "{text}");
            assert_eq!(packaged(&packaging), text);
        }
    }
}

#[test]
fn other_types_and_properties_stay() {
    for [resource_type, path, ..] in rows() {
        let of = properties(path, &json!("./a"));
        for text in [
            template("AWS::SNS::Topic", &of),
            template(resource_type, &json!({"Nested": of})),
            json!({"Resources": {"It": {"Type": resource_type, "Metadata": of}}}),
            json!({"Outputs": {"It": {"Type": resource_type, "Properties": of}}}),
            json!({"Resources": {"It": {"Properties": of}}}),
        ] {
            assert_eq!(read(&text.to_string()).paths(), [], "{text}");
        }
    }
}
