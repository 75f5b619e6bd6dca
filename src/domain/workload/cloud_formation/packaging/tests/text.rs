//! How values are written, and what is around them.

use super::{
    CODE, Packaging, URI, URI_1, assert_packaged, packaged, parsed, read, resources, shown,
};

/// A function with this property, of one type whose location is a string, and one whose location is a mapping.
fn assert_written(property: &str) {
    let text = |resource_type: &str, name: &str| {
        let property = property.replace("NAME", name);
        resources(&format!(
            "  F:\n    Type: {resource_type}\n    Properties:\n{property}      Runtime: provided.al2023\n"
        ))
    };
    assert_packaged(&text("AWS::Serverless::Function", "CodeUri"), &[URI]);
    assert_packaged(&text("AWS::Lambda::Function", "Code"), &[CODE]);
}

#[test]
fn a_value_of_any_style_is_replaced() {
    for property in [
        "      NAME: «./src»\n",
        "      NAME: «'./it''s'» # a comment\n",
        "      NAME: «\"./\\u00e4\"»   # a comment\n",
        "      NAME:   «./src»   \n",
        "      NAME: «./a\n        b» # two lines\n",
        "      NAME: «\"./a\n\n        b\"»\n",
        "      NAME:\n        «./src»\n",
        "      NAME: # a | comment > here\n        «./src»\n",
        "      \"NAME\": «./src»\n",
        "      'NAME' : «./src»\n",
        "      ? NAME\n      : «./src»\n",
        "      NAME: &code «./src»\n",
        "      NAME: &code\n        «\"./src\"»\n",
        "      NAME: «.»\n",
        "      NAME: «..»\n",
        "      NAME: «1.0/src»\n",
        "      NAME: «\"1.0\"»\n",
        "      NAME: «C#»\n",
    ] {
        assert_written(property);
    }
}

#[test]
fn block_scalars_are_replaced_with_their_lines() {
    for (property, behind) in [
        ("      NAME: «|\n        ./src»\n", ""),
        ("      NAME: «>-\n        ./src»\n", ""),
        ("      NAME: «|+\n        ./src»\n\n\n", ""),
        ("      NAME: «|2\n        ./src»\n", ""),
        ("      NAME: «>\n        ./a\n        b»\n", ""),
        ("      NAME: «|\n\n        ./src»\n      # a comment\n", ""),
        ("      NAME: &a|b «|\n        ./src»\n", ""),
        (
            "      NAME:\n        # a | comment\n        «|-\n        ./src»\n",
            "",
        ),
        (
            "      NAME: «| # a > comment\n        ./src»\n",
            " # a > comment",
        ),
    ] {
        let text = |resource_type: &str, name: &str| {
            let property = property.replace("NAME", name);
            resources(&format!(
                "  F:\n    Type: {resource_type}\n    Properties:\n{property}      Handler: a\n"
            ))
        };
        let [uri, code] = [URI, CODE].map(|value| format!("{value}{behind}"));
        assert_packaged(&text("AWS::Serverless::Function", "CodeUri"), &[&uri]);
        assert_packaged(&text("AWS::Lambda::Function", "Code"), &[&code]);
    }
    let at_the_end = "Resources: {}\nGlobals:\n  Function:\n    CodeUri: |\n      ./src";
    assert_eq!(read(at_the_end).paths(), []);
}

#[test]
fn block_scalars_anywhere_are_no_obstacle() {
    for before in [
        "Description: |\n",
        "Description: |\n  a | b\n\n\n",
        "? |\n  key\n: >-\n  value\n",
        "Outputs:\n- |\n  a\n- - >\n    b\n  - a: b\n- |+\n\n- |2-\n    c\n# d\n",
        "Outputs:\n  A: !Sub |\n    a\n  B:\n    Fn::Sub: # b\n      - !Base64 &x |\n        c\n      - {}\n",
        "Mappings: {A: {B: c}}\nOutputs: {}\nA: |\n    a\n  # b\nB:\n  - a\nC: >\n\n  d\n\n",
    ] {
        let text = format!(
            "{before}Resources:\n  F: {{Type: AWS::Lambda::Function, Properties: {{Code: «./a»}}}}\n{before}"
        )
        .replacen("Mappings", "Conditions", 1);
        assert_packaged(&text, &[CODE]);
        assert_packaged(&text.replace('\n', "\r\n"), &[CODE]);
    }
}

#[test]
fn the_path_of_a_block_scalar_has_no_line_break_at_its_end() {
    let text = resources(
        "  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: |\n        ./src",
    );
    assert_eq!(
        shown(&read(&text)),
        "Resources.F.Properties.CodeUri:6 ./src\n"
    );
    let after = packaged(&read(&text));
    assert!(after.ends_with(&format!("      CodeUri: {URI}")), "{after}");
}

#[test]
fn flow_style_is_replaced() {
    assert_packaged(
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: «./src», Handler: a}}}",
        &[URI],
    );
    assert_packaged(
        "Resources: {F: {Properties: {Handler: a, Code: «./src»}, Type: 'AWS::Lambda::Function'}}",
        &[CODE],
    );
    assert_packaged(
        "{\"Resources\":{\"F\":{\"Type\":\"AWS::Lambda::Function\",\"Properties\":{\"Code\":«\"./src\"»}}}}",
        &[CODE],
    );
}

#[test]
fn short_tags_stay() {
    for value in [
        "!Ref Code",
        "!Sub ./src",
        "!Sub \"${Stage}/src\"",
        "!FindInMap [A, B, C]",
        "!If [A, ./a, ./b]",
        "!ImportValue code",
        "{Ref: Code}",
        "~",
        "null",
        "",
        "true",
        "1.5",
        "12",
    ] {
        let text = resources(&format!(
            "  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: {value}\n"
        ));
        let packaging = read(&text);
        assert_eq!(packaging.paths(), [], "{text}");
        assert_eq!(packaged(&packaging), text);
    }
}

#[test]
fn a_tag_that_says_string_goes() {
    for (property, expected) in [
        ("!!str ./src", format!(" {CODE}")),
        ("! ./src", format!(" {CODE}")),
        ("&a !!str ./src", format!("&a  {CODE}")),
        ("!!str &a ./src", format!(" &a {CODE}")),
    ] {
        let text = |value: &str| {
            resources(&format!(
                "  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      Code: {value}\n"
            ))
        };
        let after = packaged(&read(&text(property)));
        assert_eq!(after, text(&expected));
        assert_eq!(
            parsed(&after)["Resources"]["F"]["Properties"]["Code"]["S3Key"],
            "packaged/0"
        );
    }
}

#[test]
fn text_before_the_place_may_be_anything() {
    let before = [
        "Description: Größe 测试 🚀 «not a mark»\n".replace(['«', '»'], "\""),
        "# ünïcödé\n".to_owned(),
        "%YAML 1.1\n---\n".to_owned(),
        "--- # begin\n".to_owned(),
        "\u{feff}".to_owned(),
        "\u{feff}# ä\n".to_owned(),
        "# comment\n".repeat(300),
        format!("Outputs:\n{}  A: b\n", "  # comment\n".repeat(300)),
        format!("Outputs:\n- a\n{}- b\n", "# comment\n".repeat(300)),
        format!("Outputs:\n-\n{}  b\n", "  # comment\n".repeat(300)),
        format!("Outputs: [\n{}b]\n", "# comment\n".repeat(300)),
        format!("? # comment\n{}\n: b\n", "# comment\n".repeat(300)),
        "Mappings: {\"🚀\": {ä: {ö: '\\'}}}\n".to_owned(),
    ];
    for before in before {
        for line_end in ["\n", "\r\n"] {
            let text = before.clone()
                + &resources(
                    "  É:\n    Type: AWS::Serverless::Function\n    Properties:\n      \
                     CodeUri: «./ñ» # ß\n      Handler: ö\n  \
                     L:\n    Type: AWS::Serverless::LayerVersion\n    Properties: {ContentUri: «'ü'»}\n",
                );
            assert_packaged(&text.replace('\n', line_end), &[URI, URI_1]);
        }
    }
}

#[test]
fn lines_count_from_one() {
    let text = "\u{feff}# ä\r\nResources:\r\n  F:\r\n    Type: AWS::Lambda::Function\r\n    \
                Properties:\r\n      Code: ä\r\n";
    assert_eq!(shown(&read(text)), "Resources.F.Properties.Code:6 ä\n");
    let json = "{\n\"Resources\": {\"F\": {\"Type\": \"AWS::Lambda::Function\",\n\"Properties\": {\"Code\":\n\"a\"}}}}";
    assert_eq!(shown(&read(json)), "Resources.F.Properties.Code:4 a\n");
}

#[test]
fn a_text_that_is_no_template_has_no_paths() {
    let function = "Resources: {F: {Type: AWS::Lambda::Function, Properties: {Code: ./a}}}\n";
    let deep = |depth: usize| {
        format!(
            "{function}Metadata: {}{}\n",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert_eq!(read(&deep(99)).paths().len(), 1);
    for text in [
        String::new(),
        "\n".to_owned(),
        "# nothing\n".to_owned(),
        "text".to_owned(),
        "[]".to_owned(),
        "Resources: [".to_owned(),
        format!("{function}  - x: [\n"),
        format!("{function}Outputs: *unknown\n"),
        format!("{function}---\n{function}"),
        format!("{function}...\n---\nx\n"),
        format!("{function}\t\u{0}\n"),
        "Resources: text\n".to_owned(),
        "Resources: {F: text, G: [], H: {Type: [], Properties: []}}\n".to_owned(),
        "Resources: {F: {Type: AWS::Lambda::Function, Properties: ./a}}\n".to_owned(),
        deep(100),
        deep(5000),
        "{\"Resources\":".repeat(5000),
    ] {
        let packaging = Packaging::read(&text).expect("no contradiction");
        assert_eq!(packaging.paths(), [], "{text:.200}");
        assert_eq!(packaging.packaged(&[]), text);
    }
}

#[test]
fn a_large_template_is_read() {
    let function = |index: usize| {
        format!(
            "  F{index}:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: «./ä{index}»\n      \
             Handler: app.handler\n      Environment: {{Variables: {{A: !Ref B, C: !Sub \"${{D}}\"}}}}\n"
        )
    };
    let count = 6500;
    let functions: Vec<String> = (0..count).map(function).collect();
    let text = resources(&functions.concat());
    assert!(text.len() > 1_000_000, "{}", text.len());
    let value = |index| format!("\"s3://artifacts/packaged/{index}\"");
    let values: Vec<String> = (0..count).map(value).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    assert_packaged(&text, &values);
}
