//! Which part of a file is taken for the weights, and how another one is asked for.

use vitport_checkpoint::{Checkpoint, ChosenBy, Limits, Reason};

use crate::support::pickles::Pickle;
use crate::support::zips::torch_file;
use crate::support::{data, one_line, open, open_bytes, refusal};

/// A file whose top is a dict of dicts with one tensor each.
fn parts(names: &[&str]) -> Vec<u8> {
    let mut pickle = Pickle::new().op(b"}");
    for name in names {
        pickle = pickle.text(name).op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"ss");
    }
    torch_file(&pickle.op(b".").0)
}

/// The root that is chosen among these parts.
fn chosen(names: &[&str]) -> (String, ChosenBy) {
    let c = open_bytes(&parts(names)).unwrap_or_else(|error| panic!("{names:?}: {error}"));
    (c.root().path.clone(), c.root_choice().how)
}

#[test]
fn a_bare_state_dict_is_its_own_root() {
    let c = open("small.pth");
    assert_eq!((c.root().path.as_str(), c.root().tensors), ("", 6));
    assert_eq!(c.root_choice().how, ChosenBy::TopLevel);
    assert!(c.root_choice().alternatives.is_empty());
}

#[test]
fn timms_order() {
    assert_eq!(chosen(&["state_dict", "state_dict_ema", "model_ema", "model"]).0, "state_dict_ema");
    assert_eq!(chosen(&["model", "model_ema", "state_dict"]).0, "model_ema");
    assert_eq!(chosen(&["model", "state_dict"]), ("state_dict".into(), ChosenBy::KnownName));
    assert_eq!(chosen(&["student", "teacher"]).0, "teacher");
    assert_eq!(chosen(&["foo", "model"]).0, "model");
    assert_eq!(chosen(&["foo"]), ("foo".into(), ChosenBy::OnlyOne));
}

#[test]
fn training_state_is_never_chosen() {
    assert_eq!(chosen(&["optimizer", "foo"]), ("foo".into(), ChosenBy::OnlyOne));
    assert_eq!(chosen(&["lr_scheduler", "optim", "model", "loss_scaler"]).0, "model");
    let c = open("train.pth");
    let optimizer = c.roots().iter().find(|root| root.path == "optimizer").unwrap();
    assert!(optimizer.training_state);
    assert_eq!(optimizer.tensors, 6);
    assert_eq!(refusal(&parts(&["optimizer"])).0, Reason::Ambiguous);
}

#[test]
fn what_cannot_be_decided_is_asked() {
    let error = Checkpoint::open(&data("gan.pth"), &Limits::default()).map(drop).unwrap_err();
    let (reason, text) = one_line(error);
    assert_eq!(reason, Reason::Ambiguous);
    assert!(text.contains("'left' (2 tensors), 'right' (2 tensors)"), "{text}");

    let survey = Checkpoint::survey(&data("gan.pth"), &Limits::default()).unwrap();
    assert_eq!(&*survey.tensors()[0].name, "left.weight");
    assert_eq!(survey.root_choice().how, ChosenBy::Undecided);

    let right = Checkpoint::open_root(&data("gan.pth"), &Limits::default(), "right").unwrap();
    assert_eq!(&*right.tensors()[0].name, "weight");
    assert_eq!(right.root_choice().how, ChosenBy::Caller);
    assert_eq!(right.root_choice().alternatives[0].path, "left");
}

#[test]
fn another_root_can_be_selected() {
    let mut c = open("ema.pth");
    assert_eq!(c.root().path, "state_dict_ema");
    c.select("state_dict").unwrap();
    assert_eq!(&*c.tensors()[0].name, "weight");
    c.select("").unwrap();
    assert_eq!(&*c.tensors()[0].name, "state_dict.weight");
    assert_eq!(c.tensors(), c.all_tensors());
    let (reason, text) = one_line(c.select("nonsense").unwrap_err());
    assert_eq!(reason, Reason::Ambiguous);
    assert!(text.contains("'state_dict' (2 tensors), 'state_dict_ema' (2 tensors)"), "{text}");
    // A refused selection leaves the old one.
    assert_eq!(c.root().path, "");
}

#[test]
fn a_stray_tensor_at_the_top_does_not_hide_the_weights() {
    let pickle = Pickle::new()
        .op(b"}")
        .text("rng_state")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"s")
        .text("model")
        .op(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"ss.")
        .0;
    let c = open_bytes(&torch_file(&pickle)).unwrap();
    assert_eq!(c.root().path, "model");
}

#[test]
fn every_tensor_has_its_full_path() {
    let c = open("train.pth");
    let names: Vec<&str> = c.all_tensors().iter().map(|t| &*t.name).collect();
    for name in ["state_dict.weight", "optimizer.state.0.exp_avg", "rng"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn parts_in_parts() {
    let pickle = Pickle::new()
        .op(b"}")
        .text("model")
        .op(b"}")
        .text("encoder")
        .op(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"ss")
        .text("decoder")
        .op(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"sss.")
        .0;
    let c = open_bytes(&torch_file(&pickle)).unwrap();
    assert_eq!(c.root().path, "model");
    assert_eq!(c.tensors().iter().map(|t| &*t.name).collect::<Vec<_>>(), ["encoder.w", "decoder.w"]);
}
