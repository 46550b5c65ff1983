use super::*;
use crate::syntax::limits::{MAX_DEPTH, MAX_SLASHDASH};
use crate::syntax::{Argument, Property, Spanned, Value};

fn parsed(text: &str) -> (SourceMap, Result<Tree, Vec<Diagnostic>>) {
    let mut sources = SourceMap::default();
    let source = sources.add("fleet.kdl", text.into(), None);
    let (tree, problems) = parse(&sources, source);
    (sources, if problems.is_empty() { Ok(tree) } else { Err(problems) })
}

/// `code "marked text"` of each mistake.
fn mistakes(text: &str) -> Vec<String> {
    let (sources, result) = parsed(text);
    let show = |d: &Diagnostic| format!("{} {:?}", d.code, sources.text(d.labels[0].span));
    result.map_or_else(|problems| problems.iter().map(show).collect(), |tree| panic!("{text:?} parsed: {tree:?}"))
}

/// Every span of a node, as written.
fn written(sources: &SourceMap, node: &Node) -> Vec<String> {
    let mut all = vec![sources.text(node.span).to_owned(), sources.text(node.name.span).to_owned()];
    let mut add = |span| all.push(sources.text(span).to_owned());
    node.annotation.iter().for_each(|a| add(a.span));
    for Argument { value, annotation } in &node.arguments {
        annotation.iter().for_each(|a| add(a.span));
        add(value.span);
    }
    for Property { key, value, annotation } in &node.properties {
        add(key.span);
        annotation.iter().for_each(|a| add(a.span));
        add(value.span);
    }
    all.extend(node.children.iter().flatten().flat_map(|child| written(sources, child)));
    all
}

#[test]
fn everything_knows_where_it_was_written() {
    let text = "// größe\n\nfirst 1; (força)vm  \"wéb\" 'x'=1 size = (u8) \"4GiB\" {\n  cpus 2 // two\n}\n/- gone { a; }\nlast\n";
    let (sources, tree) = parsed(&text.replace("'x'", "x"));
    let tree = tree.unwrap();
    let found: Vec<Vec<String>> = tree.nodes.iter().map(|node| written(&sources, node)).collect();
    assert_eq!(
        found,
        [
            vec!["first 1", "first", "1"],
            vec![
                "(força)vm  \"wéb\" x=1 size = (u8) \"4GiB\" {\n  cpus 2 // two\n}",
                "vm",
                "força",
                "\"wéb\"",
                "x",
                "1",
                "size",
                "u8",
                "\"4GiB\"",
                "cpus 2",
                "cpus",
                "2",
            ],
            vec!["last", "last"],
        ]
    );
    let node = &tree.nodes[1];
    assert_eq!(node.arguments[0].value.value, Value::String("wéb".into()));
    assert_eq!(node.properties[1].annotation.as_deref().map(|a: &Spanned<String>| a.value.as_str()), Some("u8"));
}

/// What is read without the parser is what the parser reads, spans included.
fn assert_plain_is_the_same(text: &str) -> bool {
    let mut sources = SourceMap::default();
    let source = sources.add("fleet.kdl", text.into(), None);
    let Some(plain) = plain::nodes(source, 0, text) else { return false };
    let document = KdlDocument::parse_v2(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
    let converter = Converter { source, base: 0, text, multilines: &[] };
    let parsed: Vec<Node> = document.nodes().iter().map(|node| converter.node(node)).collect();
    assert_eq!(plain, parsed, "{text:?}");
    true
}

#[test]
fn plain_pieces_are_read_as_the_parser_reads_them() {
    for plain in [
        "vm \"web\" count=2 {\n    cpus 2 // two\n\n    use a-b\n}\n",
        "a;b 1 -2 \"\" ;c #true x=#null y=z{ }\n".replace("z{", "z {").as_str(),
        "// größe\n  a \"größe // {\" // \"",
        "a { b { c { } ; } } ",
        "a {b}",
        "",
    ] {
        assert!(assert_plain_is_the_same(plain), "{plain:?} is not plain");
    }
    for other in [
        "a (t)1",
        "a \"\\n\"",
        "a 1.5",
        "a 1_0",
        "/- a",
        "a /* */",
        "a \\\n b",
        "a #\"x\"#",
        "a \"\"\"\n\"\"\"",
        "a \"k\"=1",
        "a x = 1",
        "a{ }",
        "a true",
        "a\r\nb",
        "a {",
        "a } b",
        "a 99999999999999999999",
        "a \"x\"y",
        "a b//c",
        "a // x\u{85}b",
    ] {
        assert!(!assert_plain_is_the_same(other), "{other:?} was taken for plain");
    }
}

proptest::proptest! {
    /// Any text of the characters that matter: what is taken for plain is valid, and means the same to the parser.
    #[test]
    fn plain_is_a_part_of_the_language(text in r#"([ab]|"[a{};/ =]{0,3}"|[0-9]{1,2}|-|=|#true|\{|\}|;|//|\n| |\t|[ab]=1|[ab] \{|\}\n){0,16}"#) {
        assert_plain_is_the_same(&text);
    }
}

#[test]
fn one_mistake_is_one_diagnostic() {
    assert_eq!(mistakes("a {\n b\n"), ["syntax::unclosed \"{\""]);
    assert_eq!(mistakes("a\n}\nb"), ["syntax::unopened \"}\""]);
    assert_eq!(mistakes("a \"x\nb \"y\nc"), ["syntax::unclosed-string \"\\\"x\"", "syntax::unclosed-string \"\\\"y\""]);
    assert_eq!(mistakes("a /* x\nb"), ["syntax::unclosed-comment \"/*\""]);
    assert_eq!(mistakes("memory 512MiB\nok\nmode true"), ["syntax::unquoted \"512MiB\"", "syntax::keyword \"true\""]);
    assert_eq!(mistakes("/- kdl-version 1\na"), ["syntax::kdl-1 \"/- kdl-version 1\""]);
    assert_eq!(mistakes("a \"\u{202e}\""), ["syntax::control-character \"\\u{202e}\""]);
}

#[test]
fn a_mistake_in_one_node_leaves_the_others_alone() {
    assert_eq!(
        mistakes("a =\nb \"ok\"\nc 1 = 2\nd )\n"),
        ["syntax::assignment \"=\"", "syntax::misfit \"=\"", "syntax::misfit \")\""]
    );
}

#[test]
fn strings_and_comments_hide_braces() {
    for text in [
        "a \"{\\\"{\"",
        "a #\"\"{\"#",
        "a \"\"\"\n  {{{\n  \"\"\"",
        "a // {\nb",
        "a /* { /* { */ } */ b",
        "a \\ // {\n  b",
        "a \"x \\\n   y\"",
        "/-\na {\n}\nb",
        "/- a; /-b;c",
        "a { /- b; c; }",
    ] {
        assert!(parsed(text).1.is_ok(), "{text:?}: {:?}", parsed(text).1);
    }
}

#[test]
fn hostile_nesting_never_reaches_the_parser() {
    let nested = |opening: &str, depth: usize| format!("a {}{}", opening.repeat(depth), "}".repeat(depth));
    assert!(parsed(&nested("{ a ", MAX_DEPTH).replace("a {", "a{")).1.is_ok());
    assert!(mistakes(&nested("{ a ", MAX_DEPTH + 1)).iter().all(|m| m == "syntax::depth \"{\""));
    assert!(parsed(&nested("{ a /-", MAX_SLASHDASH)).1.is_err());
    assert!(
        mistakes(&nested("/-{ a ", 100_000))
            .iter()
            .all(|m| m.starts_with("syntax::slashdash-depth") || m.starts_with("syntax::depth"))
    );
    assert!(mistakes(&"{".repeat(100_000)).len() <= MAX_ERRORS);
}

#[test]
fn a_large_document_parses_the_same_in_parallel() {
    let node = |i: usize| format!("vm \"web-{i}\" {{\n    cpus {i}\n}}\n");
    let text: String = (0..10_000).map(node).collect();
    let (sources, tree) = parsed(&text);
    let tree = tree.unwrap();
    assert_eq!(tree.nodes.len(), 10_000);
    for (i, found) in tree.nodes.iter().enumerate() {
        assert_eq!(format!("{}\n", sources.text(found.span)), node(i));
    }
}
