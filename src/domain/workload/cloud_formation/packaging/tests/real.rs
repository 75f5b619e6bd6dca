//! What `sam build` and `sam package` really wrote for a small project.

use super::{Form, location, packaged, parsed, read, shown};

const SOURCE: &str = r#"AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: hello
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
Globals:
  Function: {Timeout: 5, MemorySize: 128}
Resources:
  HelloFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello/
      Handler: app.handler
      Runtime: python3.11
      Architectures: [x86_64]
      AutoPublishAlias: live
      Environment: {Variables: {STAGE: !Ref Stage}}
      Events:
        Hello: {Type: Api, Properties: {Path: /hello, Method: get}}
Outputs:
  HelloArn: {Value: !GetAtt HelloFunction.Arn}
  HelloApi: {Value: !Sub "https://${ServerlessRestApi}.execute-api.${AWS::Region}.amazonaws.com/Prod/hello/"}
"#;

const BUILT: &str = r"AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: hello
Parameters:
  Stage:
    Type: String
    Default: dev
    AllowedValues:
    - dev
    - prod
Globals:
  Function:
    Timeout: 5
    MemorySize: 128
Resources:
  HelloFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: HelloFunction
      Handler: app.handler
      Runtime: python3.11
      Architectures:
      - x86_64
      AutoPublishAlias: live
      Environment:
        Variables:
          STAGE:
            Ref: Stage
      Events:
        Hello:
          Type: Api
          Properties:
            Path: /hello
            Method: get
    Metadata:
      SamResourceId: HelloFunction
Outputs:
  HelloArn:
    Value:
      Fn::GetAtt:
      - HelloFunction
      - Arn
  HelloApi:
    Value:
      Fn::Sub: https://${ServerlessRestApi}.execute-api.${AWS::Region}.amazonaws.com/Prod/hello/
";

/// `sam package` replaced only the path, in this template.
fn packaged_by_sam() -> String {
    BUILT.replace(
        "CodeUri: HelloFunction",
        "CodeUri: s3://sam-art-mini/3fb5ad01b6ccc101a1c8af944a22b2bb",
    )
}

#[test]
fn the_result_is_that_of_sam_package() {
    let packaging = read(BUILT);
    assert_eq!(
        shown(&packaging),
        "Resources.HelloFunction.Properties.CodeUri:19 HelloFunction\n"
    );
    assert_eq!(packaging.paths()[0].form, Form::Zip);
    let mut location = location(0);
    location.bucket = "sam-art-mini".to_owned();
    location.key = "3fb5ad01b6ccc101a1c8af944a22b2bb".to_owned();
    assert_eq!(
        parsed(&packaging.packaged(&[location])),
        parsed(&packaged_by_sam())
    );
    // Nothing is left to package.
    assert_eq!(read(&packaged_by_sam()).paths(), []);
}

#[test]
fn the_source_template_keeps_its_text() {
    let packaging = read(SOURCE);
    assert_eq!(
        shown(&packaging),
        "Resources.HelloFunction.Properties.CodeUri:12 hello/\n"
    );
    let expected = SOURCE.replace(
        "hello/\n      Handler",
        "\"s3://artifacts/packaged/0\"\n      Handler",
    );
    assert_eq!(packaged(&packaging), expected);
}
