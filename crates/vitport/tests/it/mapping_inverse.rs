//! Tests the way back of every operation: what a mapping makes of numbered elements is made into the same numbers again, or said not to
//! be.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vitport::mapping::{Bindings, Mapping, Problem, Problems, Sources};
use vitport::plan::{Part, Plan};
use vitport::state_dict::StateDict;
use vitport_checkpoint::{Dtype, Tensor};

use crate::networks::listed;

/// Elements of tensors by name.
type Values = BTreeMap<String, Vec<u64>>;

/// Tensors that lie row by row, each in its own storage.
fn tensors<'a>(shapes: impl IntoIterator<Item = (&'a str, &'a [u64])>, dtype: Dtype) -> Sources {
    let entry = |(name, shape): (&str, &[u64])| {
        (name.to_owned(), Tensor::contiguous(name, dtype, shape.to_vec(), 0, 0))
    };
    Sources::of_state_dict(&StateDict::from_entries(shapes.into_iter().map(entry)))
}

/// The element of a view, counted in the view's order.
fn element(view: &Tensor, values: &Values, mut number: u64) -> u64 {
    let mut place = view.offset;
    for (size, stride) in view.shape.iter().zip(&view.strides).rev() {
        place += number % size * stride;
        number /= size;
    }
    values[&*view.name][place as usize]
}

/// What a plan makes of these elements; zeros are 0.
fn made(plan: &Plan, values: &Values) -> Values {
    let of_part = |part: &Part| match part {
        Part::Slice { tensor, first, elements } => {
            (*first..first + elements).map(|number| element(tensor, values, number)).collect()
        }
        part => vec![0; part.elements() as usize],
    };
    let targets = plan.targets.iter();
    targets.map(|target| (target.name.to_string(), target.parts.iter().flat_map(of_part).collect())).collect()
}

fn bindings() -> Bindings {
    let mut bindings = Bindings::default();
    bindings.counts.insert("width".to_owned(), 4);
    bindings
}

/// The plan of a mapping, and that of its way back.
fn plans(
    text: &str,
    source: &Sources,
    targets: &[(&str, &[u64])],
    cast: Option<Dtype>,
) -> (Plan, Result<Plan, Problems>) {
    let mapping = Mapping::parse("test.toml", &format!("from = \"a/a\"\nto = \"b/b\"\n{text}")).unwrap();
    let plan = mapping.plan(source, &bindings(), cast, &listed(targets)).unwrap();
    let written = plan.targets.iter().map(|target| (&*target.name, &*target.shape));
    let folder = tensors(written, cast.unwrap_or(Dtype::F32));
    let back = mapping.inverse(source, &bindings(), &folder);
    (plan, back)
}

/// Checks that a mapping of float32 tensors loses nothing.
fn comes_back(text: &str, shapes: &[(&str, &[u64])], targets: &[(&str, &[u64])]) {
    let source = tensors(shapes.iter().copied(), Dtype::F32);
    let (plan, back) = plans(text, &source, targets, None);
    let back = back.unwrap_or_else(|problems| panic!("{text}: {problems}"));
    assert!(plan.is_reversible() && back.is_reversible(), "{text}");
    let mut values = Values::new();
    for (number, (name, shape)) in (1..).zip(shapes) {
        let elements = shape.iter().product::<u64>();
        values.insert((*name).to_owned(), (0..elements).map(|element| number * 1000 + element).collect());
    }
    assert_eq!(made(&back, &made(&plan, &values)), values, "{text}");
    for (name, shape) in shapes {
        let target = back.targets.iter().find(|target| *target.name == **name).unwrap();
        assert_eq!(*target.shape, **shape, "{text}: {name}");
    }
}

#[test]
fn every_operation_that_loses_nothing_can_be_inverted() {
    comes_back("[rename]\na = \"b\"", &[("a", &[2, 3])], &[("b", &[2, 3])]);
    comes_back(
        "[split]\nqkv = [\"q\", \"k\", \"v\"]",
        &[("qkv", &[6, 4])],
        &[("q", &[2, 4]), ("k", &[2, 4]), ("v", &[2, 4])],
    );
    comes_back("[concat]\nab = [\"a\", \"b\"]", &[("a", &[2, 4]), ("b", &[1, 4])], &[("ab", &[3, 4])]);
    comes_back(
        "[concat]\nqk = { of = [\"q\", \"k\"], axes = [[1, 2], 0] }",
        &[("q", &[6, 2, 3]), ("k", &[6, 2, 3])],
        &[("qk", &[12, 6])],
    );
    comes_back("[transpose]\nt = \"tt\"", &[("t", &[2, 3, 5])], &[("tt", &[2, 5, 3])]);
    comes_back(
        "[permute]\nconv = { to = \"c\", axes = [3, 2, 0, 1] }",
        &[("conv", &[2, 3, 4, 5])],
        &[("c", &[5, 4, 2, 3])],
    );
    comes_back(
        "[permute]\nout = { to = \"o\", axes = [2, [1, 0]] }",
        &[("out", &[2, 3, 5])],
        &[("o", &[5, 6])],
    );
    comes_back(
        "[reshape]\nr = { to = \"rr\", shape = [\"width\", 2, 3] }",
        &[("r", &[4, 6])],
        &[("rr", &[4, 2, 3])],
    );
    comes_back("[pad]\npos = { to = \"p\", rows = 2 }", &[("pos", &[1, 3, 4])], &[("p", &[1, 5, 4])]);
    comes_back(
        "[rename]\na = \"b\"\n[fill]\nz = { zeros = [3] }\no = { ones = [2] }\ni = { identity = \"width\" }",
        &[("a", &[2])],
        &[("b", &[2]), ("z", &[3]), ("o", &[2]), ("i", &[4, 4])],
    );
}

#[test]
fn the_way_back_of_a_transposition_is_a_view() {
    let source = tensors([("t", &[3, 5][..])], Dtype::F32);
    let (_, back) = plans("[transpose]\nt = \"tt\"", &source, &[("tt", &[5, 3])], None);
    let back = back.unwrap();
    let Part::Slice { tensor, .. } = &back.targets[0].parts[0] else { panic!() };
    assert_eq!((&*tensor.name, &*tensor.shape, &*tensor.strides), ("tt", &[3, 5][..], &[1, 3][..]));
}

#[test]
fn dropped_tensors_do_not_come_back() {
    let source = tensors([("a", &[2][..]), ("junk", &[9][..])], Dtype::F32);
    let text = "[rename]\na = \"b\"\n[drop]\njunk = \"of no use\"";
    let (_, back) = plans(text, &source, &[("b", &[2])], None);
    let names: Vec<_> = back.unwrap().targets.into_iter().map(|target| target.name.to_string()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn products_casts_and_what_is_missing_are_said() {
    let reasons = |back: Result<Plan, Problems>| back.unwrap_err().to_string();
    let source = tensors([("w", &[4, 3][..]), ("g", &[4][..])], Dtype::F32);
    let fold = "[fold]\nw = { to = \"ww\", rows_times = \"g\" }";
    let said = reasons(plans(fold, &source, &[("ww", &[4, 3])], None).1);
    assert!(said.contains("ww does not fit: it is a product of two tensors"), "{said}");
    let source = tensors([("p", &[1, 4, 3][..]), ("b", &[3][..])], Dtype::F32);
    let shift = "[shift]\np = { to = \"pp\", columns_plus = \"b\" }";
    let said = reasons(plans(shift, &source, &[("pp", &[1, 4, 3])], None).1);
    assert!(said.contains("pp does not fit: it is a sum of two tensors"), "{said}");
    let source = tensors([("w", &[4, 3][..])], Dtype::F32);
    let said = reasons(plans("[rename]\nw = \"ww\"", &source, &[("ww", &[4, 3])], Some(Dtype::F16)).1);
    assert!(said.contains("it is cast from"), "{said}");
    let mapping = Mapping::parse("test.toml", "from = \"a/a\"\nto = \"b/b\"\n[rename]\nw = \"ww\"").unwrap();
    let problems =
        mapping.inverse(&source, &bindings(), &tensors([("x", &[1][..])], Dtype::F32)).unwrap_err();
    assert!(matches!(problems.list[..], [Problem::Unmapped { .. }, Problem::Missing { .. }]), "{problems:?}");
}

proptest! {
    #[test]
    fn a_split_can_be_put_together_again(shares in 1_usize..6, rows in 1_u64..5, columns in 1_u64..5) {
        let names: Vec<String> = (0..shares).map(|share| format!("t{share}")).collect();
        let quoted = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let shape = [rows, columns];
        let targets: Vec<(&str, &[u64])> = names.iter().map(|name| (name.as_str(), &shape[..])).collect();
        comes_back(&format!("[split]\nw = [{quoted}]"), &[("w", &[rows * shares as u64, columns])], &targets);
    }

    #[test]
    fn axes_in_any_order_come_back(order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle()) {
        let shape = [2_u64, 3, 4, 5];
        let target: Vec<u64> = order.iter().map(|&axis| shape[axis]).collect();
        let text = format!("[permute]\nw = {{ to = \"t\", axes = {order:?} }}");
        comes_back(&text, &[("w", &shape)], &[("t", &target)]);
    }
}
