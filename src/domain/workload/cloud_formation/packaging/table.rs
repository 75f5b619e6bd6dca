//! The properties that can hold local paths.
//!
//! Relies on: aws-sam-cli 1.164.0, `samcli/lib/utils/resources.py`, `samcli/lib/package/packageable_resources.py` and
//! `samcli/lib/package/artifact_exporter.py`, and aws-cli 1.45.55 (and 2.36.7, which is the same),
//! `awscli/customizations/cloudformation/artifact_exporter.py`. `AWS::CodeCommit::Repository` is only in aws-cli;
//! `AWS::Serverless::HttpApi`, `AWS::Serverless::GraphQLApi`, `AWS::ApiGatewayV2::Api`, `CodeS3Location`,
//! `AWS::CloudFormation::StackSet`, `ModuleVersion` and `ResourceVersion` are only in aws-sam-cli; all others are in
//! both. A [`Form::Zip`] is `FORCE_ZIP = True` there, a [`Shape::Object`] is `ResourceWithS3UrlDict`, and a
//! [`Form::Template`] is `CloudFormationStackResource`. Container images are left out.

use super::local_path::Form::{self, Bundle, File, Template, Zip};

/// What the location looks like in the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `s3://bucket/key`.
    Uri,
    /// The HTTPS URL.
    Url,
    /// A mapping with the bucket and the key under these names.
    Object(&'static str, &'static str),
}

use Shape::{Object, Uri, Url};

/// A type, a property of it, what is uploaded, and what is written. In a property, `.` leads into a mapping, and `**`
/// stands for any mappings below.
pub type Row = (&'static str, &'static str, Form, Shape);

const S3: Shape = Object("S3Bucket", "S3Key");
const PLAIN: Shape = Object("Bucket", "Key");

/// The properties of resources.
#[rustfmt::skip]
pub const RESOURCES: [Row; 28] = [
    ("AWS::ApiGateway::RestApi", "BodyS3Location", File, PLAIN),
    ("AWS::ApiGatewayV2::Api", "BodyS3Location", File, PLAIN),
    ("AWS::AppSync::FunctionConfiguration", "CodeS3Location", File, Uri),
    ("AWS::AppSync::FunctionConfiguration", "RequestMappingTemplateS3Location", File, Uri),
    ("AWS::AppSync::FunctionConfiguration", "ResponseMappingTemplateS3Location", File, Uri),
    ("AWS::AppSync::GraphQLSchema", "DefinitionS3Location", File, Uri),
    ("AWS::AppSync::Resolver", "CodeS3Location", File, Uri),
    ("AWS::AppSync::Resolver", "RequestMappingTemplateS3Location", File, Uri),
    ("AWS::AppSync::Resolver", "ResponseMappingTemplateS3Location", File, Uri),
    ("AWS::CloudFormation::ModuleVersion", "ModulePackage", Bundle, Uri),
    ("AWS::CloudFormation::ResourceVersion", "SchemaHandlerPackage", Bundle, Uri),
    ("AWS::CloudFormation::Stack", "TemplateURL", Template, Url),
    // The tools upload the template of a stack set as it is.
    ("AWS::CloudFormation::StackSet", "TemplateURL", File, Url),
    ("AWS::CodeCommit::Repository", "Code.S3", Zip, PLAIN),
    ("AWS::ElasticBeanstalk::ApplicationVersion", "SourceBundle", Bundle, S3),
    ("AWS::Glue::Job", "Command.ScriptLocation", File, Uri),
    ("AWS::Lambda::Function", "Code", Zip, S3),
    ("AWS::Lambda::LayerVersion", "Content", Zip, S3),
    ("AWS::Serverless::Api", "DefinitionUri", File, Uri),
    ("AWS::Serverless::Application", "Location", Template, Url),
    ("AWS::Serverless::Function", "CodeUri", Zip, Uri),
    ("AWS::Serverless::GraphQLApi", "Functions.**.CodeUri", File, Uri),
    ("AWS::Serverless::GraphQLApi", "Resolvers.**.CodeUri", File, Uri),
    ("AWS::Serverless::GraphQLApi", "SchemaUri", File, Uri),
    ("AWS::Serverless::HttpApi", "DefinitionUri", File, Uri),
    ("AWS::Serverless::LayerVersion", "ContentUri", Zip, Uri),
    ("AWS::Serverless::StateMachine", "DefinitionUri", File, PLAIN),
    ("AWS::StepFunctions::StateMachine", "DefinitionS3Location", File, PLAIN),
];

/// The properties of the template's own `Metadata`.
pub const METADATA: [Row; 2] = [
    ("AWS::ServerlessRepo::Application", "LicenseUrl", File, Uri),
    ("AWS::ServerlessRepo::Application", "ReadmeUrl", File, Uri),
];

/// The parameter of the transform `AWS::Include`, wherever it stands.
pub const INCLUDE: Row = ("AWS::Include", "Parameters.Location", File, Uri);

/// The sections of `Globals`, the type that takes a property from there, and the property in whose presence it does
/// not.
pub const GLOBALS: [(&str, Row, &str); 2] = [
    (
        "Function",
        ("AWS::Serverless::Function", "CodeUri", Zip, Uri),
        "InlineCode",
    ),
    (
        "Api",
        ("AWS::Serverless::Api", "DefinitionUri", File, Uri),
        "DefinitionBody",
    ),
];
