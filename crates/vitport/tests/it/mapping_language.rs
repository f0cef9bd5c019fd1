//! Tests the mapping language: every operation does what docs/mappings.md says, and whatever is written in a mapping file is
//! an answer and never a panic.

use proptest::prelude::*;
use vitport::mapping::{Bindings, Mapping, MappingError, Problem, Problems, Sources};
use vitport::plan::{Part, Plan};
use vitport::state_dict::StateDict;
use vitport_checkpoint::{Dtype, Tensor};

use crate::networks::listed;

/// The head that every mapping file needs.
const HEAD: &str = "from = \"test/source\"\nto = \"test/target\"\n";

fn sources(tensors: &[(&str, &[u64])]) -> Sources {
    let entry = |(name, shape): &(&str, &[u64])| {
        ((*name).to_owned(), Tensor::contiguous((*name).to_owned(), Dtype::F32, shape.to_vec(), 0, 0))
    };
    Sources::of_state_dict(&StateDict::from_entries(tensors.iter().map(entry)))
}

fn plan(text: &str, source: &Sources, expected: &[(&str, &[u64])]) -> Result<Plan, Vec<Problem>> {
    let mapping = Mapping::parse("test.toml", &format!("{HEAD}{text}")).unwrap();
    let mut bindings = Bindings::default();
    bindings.counts.extend([
        ("layers".to_owned(), 2),
        ("width".to_owned(), 4),
        ("blocks.0".to_owned(), 1),
        ("blocks.1".to_owned(), 3),
    ]);
    bindings.counts.insert("stages".to_owned(), 2);
    bindings.flags.extend([("on".to_owned(), true), ("off".to_owned(), false)]);
    bindings.texts.insert("base".to_owned(), "net.".to_owned());
    mapping.plan(source, &bindings, None, &listed(expected)).map_err(|problems| problems.list)
}

#[test]
fn rename_fills_every_value_of_its_variables() {
    let source = sources(&[("b.0.w", &[4]), ("b.1.w", &[4]), ("b.0.b", &[4]), ("b.1.b", &[4])]);
    let text = "[ranges]\ni = \"layers\"\n[choices]\np = { w = \"weight\", b = \"bias\" }\n[rename]\n\"b.{i}.{p}\" = \"{base}layer.{i}.{p}\"";
    let plan = plan(
        text,
        &source,
        &[
            ("net.layer.0.weight", &[4]),
            ("net.layer.1.weight", &[4]),
            ("net.layer.0.bias", &[4]),
            ("net.layer.1.bias", &[4]),
        ],
    );
    let names: Vec<_> = plan.unwrap().targets.into_iter().map(|target| target.name).collect();
    assert_eq!(
        names.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["net.layer.0.weight", "net.layer.1.weight", "net.layer.0.bias", "net.layer.1.bias"]
    );
}

#[test]
fn a_range_may_depend_on_another_variable() {
    let source = sources(&[("s0.b0", &[1]), ("s1.b0", &[1]), ("s1.b1", &[1]), ("s1.b2", &[1])]);
    let text = "[ranges]\ns = \"stages\"\nb = \"blocks.{s}\"\n[rename]\n\"s{s}.b{b}\" = \"t{s}.{b}\"";
    let plan =
        plan(text, &source, &[("t0.0", &[1]), ("t1.0", &[1]), ("t1.1", &[1]), ("t1.2", &[1])]).unwrap();
    assert_eq!(plan.targets.len(), 4);
}

#[test]
fn split_concat_and_pad_cut_and_join_rows() {
    let source = sources(&[("qkv", &[6, 4]), ("a", &[2, 4]), ("b", &[1, 4]), ("pos", &[1, 3, 4])]);
    let text = "[split]\nqkv = [\"q\", \"k\", \"v\"]\n[concat]\nab = [\"a\", \"b\"]\n[pad]\npos = { to = \"positions\", rows = 2 }";
    let shapes: [(&str, &[u64]); 5] =
        [("q", &[2, 4]), ("k", &[2, 4]), ("v", &[2, 4]), ("ab", &[3, 4]), ("positions", &[1, 5, 4])];
    let plan = plan(text, &source, &shapes).unwrap();
    let by_name = |name: &str| plan.targets.iter().find(|target| *target.name == *name).unwrap();
    assert!(matches!(by_name("k").parts[..], [Part::Slice { first: 8, elements: 8, .. }]));
    assert_eq!(by_name("ab").parts.len(), 2);
    assert!(matches!(
        by_name("positions").parts[..],
        [Part::Zeros { elements: 8 }, Part::Slice { elements: 12, .. }]
    ));
}

#[test]
fn transpose_is_a_view_and_reshape_keeps_the_bytes() {
    let source = sources(&[("t", &[3, 5]), ("r", &[4, 6])]);
    let text = "[transpose]\nt = \"tt\"\n[reshape]\nr = { to = \"rr\", shape = [\"width\", 2, 3] }";
    let plan = plan(text, &source, &[("tt", &[5, 3]), ("rr", &[4, 2, 3])]).unwrap();
    let Part::Slice { tensor, .. } = &plan.targets[0].parts[0] else { panic!() };
    assert_eq!((tensor.shape.as_slice(), tensor.strides.as_slice()), (&[5, 3][..], &[1, 5][..]));
    assert!(matches!(&plan.targets[1].parts[..], [Part::Slice { tensor, .. }] if tensor.is_contiguous()));
}

#[test]
fn what_a_layout_reshaped_is_transposed_in_its_new_shape() {
    let reshaped =
        plan("[reshape]\nw = { to = \"r\", shape = [8, 3] }", &sources(&[("w", &[4, 6])]), &[("r", &[8, 3])]);
    let laid_out = Sources::of_plan(&reshaped.unwrap());
    let plan = plan("[transpose]\nr = \"t\"", &laid_out, &[("t", &[3, 8])]).unwrap();
    let Part::Slice { tensor, .. } = &plan.targets[0].parts[0] else { panic!() };
    assert_eq!((tensor.shape.as_slice(), tensor.strides.as_slice()), (&[3, 8][..], &[1, 3][..]));
}

#[test]
fn permute_puts_axes_into_order_and_joins_them() {
    let source = sources(&[("conv", &[2, 3, 4, 5]), ("query", &[6, 2, 3]), ("bias", &[2, 3])]);
    let text = "[permute]\nconv = { to = \"c\", axes = [3, 2, 0, 1] }\nquery = { to = \"q\", axes = [[1, 2], 0] }\nbias = { to = \"b\", axes = [[0, 1]] }";
    let plan = plan(text, &source, &[("c", &[5, 4, 2, 3]), ("q", &[6, 6]), ("b", &[6])]).unwrap();
    let view = |name: &str| match &plan.targets.iter().find(|target| *target.name == *name).unwrap().parts[..]
    {
        [Part::Slice { tensor, .. }] => (tensor.shape.to_vec(), tensor.strides.to_vec()),
        other => panic!("{other:?}"),
    };
    assert_eq!(view("c"), (vec![5, 4, 2, 3], vec![1, 5, 60, 20]));
    assert_eq!(view("q"), (vec![2, 3, 6], vec![3, 1, 6]));
    assert_eq!(view("b"), (vec![2, 3], vec![3, 1]));
    assert!(plan.is_reversible());
    for axes in ["[]", "[0, 0, 1, 2]", "[0, 1]", "[1, 2, 3, 4]", "[0, 1, 2, 18446744073709551615]"] {
        let text = format!("{HEAD}[permute]\nconv = {{ to = \"c\", axes = {axes} }}");
        let answer = Mapping::parse("test.toml", &text);
        assert!(answer.is_err() || axes == "[0, 1]", "{axes}");
    }
    let wrong = "[permute]\nconv = { to = \"c\", axes = [1, 0] }";
    let problems = problems_of(wrong, &source);
    assert!(matches!(problems[..], [Problem::Unfit { .. }, ..]), "{problems:?}");
}

fn problems_of(text: &str, source: &Sources) -> Vec<Problem> {
    plan(text, source, &[("c", &[1])]).unwrap_err()
}

#[test]
fn fold_needs_one_factor_a_row_and_cannot_be_undone() {
    let source = sources(&[("w", &[4, 3]), ("g", &[4])]);
    let text = "[fold]\nw = { to = \"ww\", rows_times = \"g\" }";
    let folded = plan(text, &source, &[("ww", &[4, 3])]).unwrap();
    assert_eq!(folded.targets[0].operation, "fold");
    assert!(!folded.is_reversible());
    let wrong = sources(&[("w", &[4, 3]), ("g", &[3])]);
    assert!(matches!(plan(text, &wrong, &[("ww", &[4, 3])]).unwrap_err()[..], [Problem::Unfit { .. }, ..]));
}

#[test]
fn scale_multiplies_by_the_factor_of_hidden_states_and_cannot_be_undone() {
    let head = "states_times = { root_of = 4, over = \"eps\" }\n[compare]\n";
    let text = format!("{HEAD}{head}[scale]\nw = \"ww\"");
    let mapping = Mapping::parse("test.toml", &text).unwrap();
    let made = |dtype: Dtype, states_times: Option<f64>, cast: Option<Dtype>| {
        let tensor = Tensor::contiguous("w".to_owned(), dtype, vec![2, 3], 0, 0);
        let source = Sources::of_state_dict(&StateDict::from_entries([("w".to_owned(), tensor)]));
        let bindings = Bindings { states_times, ..Bindings::default() };
        let plan = mapping.plan(&source, &bindings, cast, &listed(&[("ww", &[2, 3])]));
        plan.map_err(|problems| problems.to_string())
    };
    let plan = made(Dtype::F32, Some(0.5), None).unwrap();
    assert!(matches!(plan.targets[0].parts[..], [Part::Scaled { factor: 0.5, .. }]));
    assert!(plan.targets[0].is_folded() && !plan.is_reversible());
    let dtypes = [
        (Dtype::F64, None, Dtype::F64),
        (Dtype::F64, Some(Dtype::F32), Dtype::F32),
        (Dtype::BF16, Some(Dtype::F32), Dtype::F32),
    ];
    for (dtype, cast, written) in dtypes {
        assert_eq!(made(dtype, Some(0.5), cast).unwrap().targets[0].dtype, written);
    }
    assert!(made(Dtype::F16, Some(0.5), None).unwrap_err().contains("give --dtype f32"));
    assert!(made(Dtype::F32, Some(0.5), Some(Dtype::BF16)).unwrap_err().contains("give --dtype f32"));
    assert!(made(Dtype::I64, Some(0.5), Some(Dtype::F32)).unwrap_err().contains("whole numbers"));
    assert!(made(Dtype::F32, None, None).unwrap_err().contains("no factor of hidden states"));

    let refused = |text: &str| Mapping::parse("test.toml", &format!("{HEAD}{text}")).unwrap_err().to_string();
    let alone = [
        "[scale]\nw = \"ww\"",
        "[compare_scaled]\nw = [\"a\", \"b\"]",
        "states_times = { root_of = 4, over = \"eps\" }\n[rename]\nw = \"ww\"",
    ];
    assert!(alone.iter().all(|text| refused(text).contains("[states_times]")));
}

#[test]
fn fill_drop_and_conditions() {
    let source = sources(&[("w", &[4]), ("junk", &[9])]);
    let text = "[drop]\njunk = \"of no use\"\nabsent = \"never there\"\n[when.on.rename]\nw = \"{base}w\"\n[unless.on.rename]\nw = \"wrong\"\n[unless.off.fill]\n\"eye\" = { identity = \"width\" }\n\"zero\" = { zeros = [2, \"width\"] }\n[when.on.when.off.fill]\n\"never\" = { zeros = [1] }";
    let plan = plan(text, &source, &[("net.w", &[4]), ("eye", &[4, 4]), ("zero", &[2, 4])]).unwrap();
    assert_eq!(plan.dropped.len(), 1);
    assert_eq!(plan.dropped[0].reason, "of no use");
    assert_eq!(plan.targets.len(), 3);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let refused = |text: &str| Mapping::parse("mine.toml", &format!("{HEAD}{text}")).unwrap_err();
    let syntax = refused("[rename]\n\"a\" = 3\n");
    assert!(matches!(syntax, MappingError::Syntax { .. }), "{syntax}");
    assert!(syntax.to_string().contains("mine.toml"));
    let unknown = refused("[renames]\n\"a\" = \"b\"\n").to_string();
    assert!(unknown.contains("renames"), "{unknown}");
    let braces = refused("[rename]\n\"a.{i\" = \"b\"\n").to_string();
    assert!(braces.contains("[rename]") && braces.contains("no } closes"), "{braces}");
    let line = refused("\n[rename\n").to_string();
    assert!(line.contains("line 4"), "{line}");
    for error in [syntax.to_string(), unknown, braces, line] {
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_rule_file_of_the_first_version_is_distinguished_from_a_broken_one() {
    let refused = |text: &str| Mapping::parse("mine.toml", text).unwrap_err();
    let old = refused("family = \"vit\"\n[rename]\n\"a\" = \"b\"\n");
    assert_eq!(old, MappingError::OldRules { file: "mine.toml".to_owned(), family: "vit".to_owned() });
    let said = old.to_string();
    assert!(said.contains("`from` and `to`") && said.contains("--print-mapping"), "{said}");
    for incomplete in ["from = \"timm/vision_transformer\"\n", "to = \"transformers/vit\"\n", ""] {
        assert!(matches!(refused(incomplete), MappingError::Syntax { .. }), "{incomplete}");
    }
}

#[test]
fn undefined_variables_flags_and_counts_are_named() {
    let source = sources(&[("w", &[4])]);
    let problems = |text: &str| format!("{:?}", plan(text, &source, &[("w", &[4])]).unwrap_err());
    assert!(problems("[rename]\n\"{x}w\" = \"w\"").contains("{x}"));
    assert!(problems("[when.nothing.rename]\nw = \"w\"").contains("nothing"));
    assert!(problems("[ranges]\ni = \"unknown\"\n[rename]\n\"w{i}\" = \"w{i}\"").contains("unknown"));
    assert!(problems("[ranges]\na = \"{b}\"\nb = \"{a}\"\n[rename]\n\"w{a}\" = \"w\"").contains("depend"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = Mapping::parse("any.toml", &text);
    }

    #[test]
    fn no_rule_makes_planning_panic(
        source in "[a-z{}.]{0,12}",
        target in "[a-z{}.]{0,12}",
        rows in 0_u64..,
        shape in proptest::collection::vec(0_u64.., 0..4),
    ) {
        let tables = [
            format!("rename]\n{source:?} = {target:?}"),
            format!("split]\n{source:?} = [{target:?}, \"z\"]"),
            format!("concat]\n{target:?} = [{source:?}, {source:?}]"),
            format!("transpose]\n{source:?} = {target:?}"),
            format!("pad]\n{source:?} = {{ to = {target:?}, rows = {} }}", rows >> 1),
            format!("fold]\n{source:?} = {{ to = {target:?}, rows_times = {source:?} }}"),
        ];
        let tensor = Tensor::contiguous(source.clone(), Dtype::F32, shape, 0, 0);
        let dict = StateDict::from_entries([(source.clone(), tensor)]);
        let dict = Sources::of_state_dict(&dict);
        for table in tables {
            if let Ok(mapping) = Mapping::parse("any.toml", &format!("{HEAD}[{table}")) {
                let _ = mapping.plan(&dict, &Bindings::default(), Some(Dtype::F16), &listed(&[]));
            }
        }
    }
}

#[test]
fn choices_that_multiply_are_refused_at_once() {
    let source = sources(&[("w", &[4])]);
    let texts = (0..1000).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let choices: String = names.iter().map(|name| format!("{name} = [{texts}]\n")).collect();
    let pattern: String = names.iter().map(|name| format!("{{{name}}}")).collect();
    let bomb = format!("[choices]\n{choices}[rename]\n\"w{pattern}\" = \"x{pattern}\"");
    let problems = plan(&bomb, &source, &[("w", &[4])]).unwrap_err();
    assert!(format!("{problems:?}").contains("more than 200000 names"), "{problems:?}");
    // Each rule by itself is small, all together are not.
    let many: String = (0..300).map(|n| format!("\"w{n}.{{a}}\" = \"x{n}.{{a}}\"\n")).collect();
    let problems =
        plan(&format!("[choices]\n{choices}[rename]\n{many}"), &source, &[("w", &[4])]).unwrap_err();
    assert!(format!("{problems:?}").contains("more than 200000 names"));
    let long = format!("{HEAD}[rename]\n\"{}\" = \"b\"", "w".repeat(5000));
    assert!(Mapping::parse("long.toml", &long).unwrap_err().to_string().contains("4096"));
}

#[test]
fn what_a_mapping_file_says_cannot_steer_a_terminal() {
    let evil = "\\u001b[31m\\u009b\\u202e\\n";
    let source = sources(&[("w", &[4])]);
    let mut shown = Vec::new();
    for text in [
        format!("from = \"{evil}\"\nto = \"{evil}\"\n[renames]\n\"a\" = \"{evil}\""),
        format!("{HEAD}[rename]\n\"{evil}{{\" = \"b\""),
        format!("{HEAD}[choices]\n\"{evil}\" = []"),
        format!("{HEAD}[when.\"{evil}\".rename]\n\"{{{evil}}}\" = \"b\""),
    ] {
        shown.push(Mapping::parse("evil\u{1b}.toml", &text).unwrap_err().to_string());
    }
    shown.push(Mapping::parse("old.toml", &format!("family = \"{evil}\"")).unwrap_err().to_string());
    let other = Mapping::parse("e.toml", &format!("from = \"{evil}\"\nto = \"t\"")).unwrap();
    shown.push(other.require_source("timm/vision_transformer").unwrap_err().to_string());
    for text in [
        format!("[rename]\n\"{evil}\" = \"b\""),
        format!("[rename]\nw = \"{evil}\""),
        format!("[rename]\nw = \"{{x}}{evil}\""),
        format!("[when.\"{evil}\".rename]\nw = \"b\""),
        format!("[ranges]\ni = \"{evil}\"\n[rename]\n\"w{{i}}\" = \"b{{i}}\""),
        format!("[reshape]\nw = {{ to = \"b\", shape = [\"{evil}\"] }}"),
        format!("[fill]\n\"b\" = {{ identity = \"{evil}\" }}"),
    ] {
        let list = plan(&text, &source, &[("w", &[4])]).unwrap_err();
        shown.push(Problems { list }.to_string());
    }
    for line in shown {
        assert!(!line.chars().any(vitport_checkpoint::is_unsafe_to_show), "{line:?}");
    }
}
