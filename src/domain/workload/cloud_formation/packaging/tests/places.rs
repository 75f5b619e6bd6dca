//! Where local paths are found.

use super::{
    CODE, Form, URI, URI_1, assert_packaged, packaged, parsed, read, refusal, resources, shown,
};

const FUNCTION: &str = "Type: AWS::Serverless::Function, Properties: ";

#[test]
fn globals_are_packaged_if_a_function_takes_the_code_from_there() {
    let globals = "Globals: {Function: {CodeUri: «./src»}, Api: {DefinitionUri: «./api.yaml»}}\n";
    let api = "  A: {Type: AWS::Serverless::Api, Properties: {StageName: a}}\n";
    let text = format!("{globals}Resources:\n  F: {{{FUNCTION}{{Handler: a}}}}\n{api}");
    assert_packaged(&text, &[URI, URI_1]);
    let packaging = read(&text.replace(['«', '»'], ""));
    assert_eq!(
        shown(&packaging),
        "Globals.Function.CodeUri:1 ./src\nGlobals.Api.DefinitionUri:1 ./api.yaml\n"
    );
    assert_eq!(packaging.paths()[0].form, Form::Zip);
    for resource in [
        "{CodeUri: s3://b/k}",
        "{CodeUri: !Ref Code}",
        "{InlineCode: x}",
        "{PackageType: Image, ImageUri: a}",
    ] {
        let api = "  A: {Type: AWS::Serverless::Api, Properties: {DefinitionBody: {}}}\n";
        let text = format!("{globals}Resources:\n  F: {{{FUNCTION}{resource}}}\n{api}");
        assert_eq!(read(&text.replace(['«', '»'], "")).paths(), [], "{text}");
    }
}

#[test]
fn inline_code_and_images_stay() {
    for (resource_type, properties) in [
        ("AWS::Serverless::Function", "{InlineCode: x, CodeUri: ./a}"),
        (
            "AWS::Serverless::Function",
            "{PackageType: Image, CodeUri: ./a, ImageUri: 'a:b'}",
        ),
        (
            "AWS::Lambda::Function",
            "{PackageType: Image, Code: {ImageUri: 'a:b'}}",
        ),
        ("AWS::Lambda::Function", "{PackageType: Image, Code: ./a}"),
        ("AWS::Lambda::Function", "{Code: {ZipFile: ./a}}"),
    ] {
        let text = resources(&format!(
            "  F: {{Type: {resource_type}, Properties: {properties}}}\n"
        ));
        assert_eq!(read(&text).paths(), [], "{text}");
    }
    assert_packaged(
        &resources(&format!(
            "  F: {{{FUNCTION}{{PackageType: Zip, CodeUri: «./a»}}}}\n"
        )),
        &[URI],
    );
}

#[test]
fn the_metadata_of_an_application_are_packaged() {
    let text = "Metadata:\n  AWS::ServerlessRepo::Application:\n    LicenseUrl: «LICENSE.txt»\n    \
                ReadmeUrl: «README.md»\n    HomePageUrl: ./page\n";
    assert_packaged(text, &[URI, URI_1]);
    let packaging = read(&text.replace(['«', '»'], ""));
    assert_eq!(
        shown(&packaging),
        "Metadata.AWS::ServerlessRepo::Application.LicenseUrl:3 LICENSE.txt\n\
         Metadata.AWS::ServerlessRepo::Application.ReadmeUrl:4 README.md\n"
    );
    assert!(packaging.paths().iter().all(|it| it.form == Form::File));
}

#[test]
fn includes_are_packaged_anywhere() {
    let include = "{Name: AWS::Include, Parameters: {Location: «./a.yaml»}}";
    for (text, place) in [
        (
            format!("Transform: {include}\n"),
            "Transform.Parameters.Location",
        ),
        (
            format!("Transform: [AWS::Serverless-2016-10-31, {include}]\n"),
            "Transform[1].Parameters.Location",
        ),
        (
            format!("Mappings:\n  Fn::Transform: {include}\n"),
            "Mappings.Fn::Transform.Parameters.Location",
        ),
        (
            format!(
                "Resources: {{A: {{Type: AWS::Serverless::Api, \
                 Properties: {{DefinitionBody: {{'Fn::Transform': {include}}}}}}}}}\n"
            ),
            "Resources.A.Properties.DefinitionBody.Fn::Transform.Parameters.Location",
        ),
        (
            format!(
                "Resources: {{A: {{Type: X, Properties: {{L: [1, [{{Fn::Transform: {include}}}]]}}}}}}\n"
            ),
            "Resources.A.Properties.L[1][0].Fn::Transform.Parameters.Location",
        ),
        (
            format!("Outputs:\n  A: !Transform {include}\n"),
            "Outputs.A.Parameters.Location",
        ),
        (
            format!("Resources:\n  Fn::ForEach::A: [B, [c], {{Fn::Transform: {include}}}]\n"),
            "Resources.Fn::ForEach::A[2].Fn::Transform.Parameters.Location",
        ),
        (
            format!(
                "Outputs: {{Fn::Transform: {{Name: M, Parameters: {{X: {{Fn::Transform: {include}}}}}}}}}\n"
            ),
            "Outputs.Fn::Transform.Parameters.X.Fn::Transform.Parameters.Location",
        ),
    ] {
        assert_packaged(&text, &[URI]);
        let packaging = read(&text.replace(['«', '»'], ""));
        assert_eq!(packaging.paths()[0].place, place);
        assert_eq!(packaging.paths()[0].form, Form::File);
    }
    for text in [
        "Transform: AWS::Serverless-2016-10-31\n",
        "Mappings: {Fn::Transform: {Name: Other, Parameters: {Location: ./a}}}\n",
        "Mappings: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://a/b}}}\n",
        "Mappings: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: !Ref L}}}\n",
        "Mappings: {Fn::Transform: {Name: AWS::Include, Parameters: {Other: ./a}}}\n",
        "Mappings: {Transform: {Name: AWS::Include, Parameters: {Location: ./a}}}\n",
        "Mappings: {A: !Other {Name: AWS::Include, Parameters: {Location: ./a}}}\n",
    ] {
        assert_eq!(read(text).paths(), [], "{text}");
    }
}

#[test]
fn the_fragments_of_for_each_are_searched() {
    let text = resources(
        "  Fn::ForEach::Outer:\n    - A\n    - [a, b]\n    - Plain${A}:\n        Type: AWS::Lambda::Function\n        \
         Properties:\n          Code: «./src»\n      Fn::ForEach::Inner:\n      - B\n      - !Ref Names\n      \
         - Function${A}${B}: {Type: AWS::Serverless::Function, Properties: {CodeUri: «./src»}}\n",
    );
    assert_packaged(&text, &[CODE, URI_1]);
    assert_eq!(
        shown(&read(&text.replace(['«', '»'], ""))),
        "Resources.Fn::ForEach::Outer[2].Plain${A}.Properties.Code:8 ./src\n\
         Resources.Fn::ForEach::Outer[2].Fn::ForEach::Inner[2].Function${A}${B}.Properties.CodeUri:12 ./src\n"
    );
    let function = "{F: {Type: AWS::Lambda::Function, Properties: {Code: ./a}}}";
    for text in [
        format!("Resources: {{Fn::ForEach::A: [{function}]}}"),
        format!("Resources: {{Fn::ForEach::A: {function}}}"),
        format!("Resources: {{A: [B, [c], {function}]}}"),
    ] {
        assert_eq!(read(&text).paths(), [], "{text}");
    }
}

#[test]
fn the_mappings_that_sam_build_generates_are_packaged() {
    for value in [
        "!FindInMap [SAMCodeUriLoop, !Ref Name, CodeUri]",
        "{\"Fn::FindInMap\": [SAMCodeUriLoop, {Ref: Name}, CodeUri]}",
    ] {
        let text = format!(
            "Mappings:\n  SAMCodeUriLoop:\n    \
             A: {{CodeUri: «AFunction», Other: ./x}}\n    B: {{CodeUri: «BFunction»}}\n    \
             C: {{CodeUri: s3://b/k}}\n  SAMCodeUriUnused: {{A: {{CodeUri: ./y}}}}\nResources:\n  \
             Fn::ForEach::Loop: [Name, [A, B], {{\"F${{Name}}\": {{{FUNCTION}{{CodeUri: {value}}}}}}}]\n  \
             F: {{{FUNCTION}{{CodeUri: {value}}}}}\n"
        );
        assert_packaged(&text, &[URI, URI_1]);
        let packaging = read(&text.replace(['«', '»'], ""));
        assert_eq!(
            shown(&packaging),
            "Mappings.SAMCodeUriLoop.A.CodeUri:3 AFunction\nMappings.SAMCodeUriLoop.B.CodeUri:4 BFunction\n"
        );
        assert_eq!(packaging.paths()[0].form, Form::Zip);
        let own = text.replace(['«', '»'], "").replace("SAMCodeUri", "SAMPLE");
        assert_eq!(read(&own).paths(), []);
    }
    assert_packaged(
        "Mappings: {SAMDefinitionUriX: {A: {DefinitionUri: «a.json»}}}\n\
         Resources: {S: {Type: AWS::Serverless::StateMachine, \
         Properties: {DefinitionUri: !FindInMap [SAMDefinitionUriX, A, DefinitionUri]}}}\n",
        &[URI],
    );
}

#[test]
fn a_path_with_variables_is_refused() {
    for (path, variable) in [("'./${Name}'", "${"), ("'a/&{Name}/b'", "&{")] {
        let text = resources(&format!(
            "  Fn::ForEach::Fs: [Name, [a], {{\"F${{Name}}\": {{{FUNCTION}{{CodeUri: {path}}}}}}}]\n"
        ));
        let error = refusal(&text);
        for part in [
            "Resources.Fn::ForEach::Fs[2].F${Name}.Properties.CodeUri in line 2",
            path.trim_matches('\''),
            &format!("contains {variable}…}}"),
            "write one resource for each path",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
    let text = resources(&format!(
        "  F: {{{FUNCTION}{{CodeUri: 's3://${{Bucket}}/a'}}}}\n"
    ));
    assert_eq!(read(&text).paths(), []);
}

#[test]
fn a_place_that_occurs_twice_is_refused() {
    let error = refusal(&resources(
        "  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: ./a\n      Handler: b\n      \
         CodeUri: ./b\n",
    ));
    assert_eq!(
        error,
        "Resources.F.Properties.CodeUri occurs twice, in lines 5 and 7: remove one of them"
    );
    let function = format!("F: {{{FUNCTION}{{CodeUri: ./a}}}}");
    for text in [
        format!("Resources: {{{function}, {function}}}"),
        format!("Resources: {{{function}}}\nResources: {{{function}}}\n"),
        format!(
            "Resources: {{F: {{{FUNCTION}{{CodeUri: ./a}}, Properties: {{CodeUri: s3://a/b}}}}}}"
        ),
        format!("Resources: {{F: {{{FUNCTION}{{CodeUri: s3://a/b, CodeUri: ./a}}}}}}"),
        format!("Resources: {{F: {{{FUNCTION}{{CodeUri: !Ref A, \"CodeUri\": ./a}}}}}}"),
        "Globals: {Function: {CodeUri: ./a}, Function: {CodeUri: ./b}}\n\
         Resources: {F: {Type: AWS::Serverless::Function, Properties: {}}}"
            .to_owned(),
        "A: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: a, Location: b}}}"
            .to_owned(),
        "{\"Resources\": {\"F\": {\"Type\": \"AWS::Lambda::Function\", \
         \"Properties\": {\"Code\": \"a\", \"Code\": \"b\"}}}}"
            .to_owned(),
    ] {
        assert!(refusal(&text).contains("occurs twice"), "{text}");
    }
    for text in [
        format!("Resources: {{F: {{{FUNCTION}{{CodeUri: s3://a/b, CodeUri: s3://a/c}}}}}}"),
        format!("Resources: {{F: {{{FUNCTION}{{Handler: a, Handler: b, CodeUri: ./a}}}}}}"),
    ] {
        read(&text);
    }
}

#[test]
fn the_order_is_that_of_the_text() {
    let text = resources(&format!(
        "  B: {{{FUNCTION}{{CodeUri: ./b}}}}\n  \
         I: {{Fn::Transform: {{Name: AWS::Include, Parameters: {{Location: ./i}}}}}}\n  \
         A: {{{FUNCTION}{{CodeUri: ./a}}}}\n\
         Metadata: {{AWS::ServerlessRepo::Application: {{ReadmeUrl: ./r, LicenseUrl: ./l}}}}\n"
    ));
    let packaging = read(&text);
    let paths: Vec<&str> = packaging
        .paths()
        .iter()
        .map(|it| it.path.as_str())
        .collect();
    assert_eq!(paths, ["./b", "./i", "./a", "./r", "./l"]);
    let after = parsed(&packaged(&packaging));
    assert_eq!(
        after["Resources"]["A"]["Properties"]["CodeUri"],
        "s3://artifacts/packaged/2"
    );
    assert_eq!(
        after["Metadata"]["AWS::ServerlessRepo::Application"]["LicenseUrl"],
        "s3://artifacts/packaged/4"
    );
}
