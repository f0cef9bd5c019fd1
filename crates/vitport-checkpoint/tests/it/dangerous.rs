//! Files that would run something in Python are refused with the call that they would make, and harmless ones are not.

use vitport_checkpoint::{Checkpoint, CheckpointError, CheckpointErrorClass, Limits};

use crate::support::pickles::Pickle;
use crate::support::zips::torch_file;
use crate::support::{self, data, open_bytes, open_dangerous};

/// A file with a tensor, and before it what these opcodes make.
fn file(evil: &Pickle) -> Vec<u8> {
    torch_file(&Pickle::new().op(&evil.0).op(b"0}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s.").0)
}

/// The call that a file is refused for.
fn refused(bytes: &[u8]) -> Option<String> {
    match open_bytes(bytes) {
        Err(error @ CheckpointError::Dangerous { .. }) => {
            assert_eq!(error.class(), CheckpointErrorClass::Dangerous);
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            let CheckpointError::Dangerous { call, .. } = error else { return None };
            assert!(text.contains(&call), "{text}");
            Some(call)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

fn p() -> Pickle {
    Pickle::default()
}

/// A call of a global with one text.
fn called(module: &str, name: &str, argument: &str) -> Pickle {
    p().global(module, name).op(b"(").text(argument).op(b"tR")
}

/// `getattr(OWNER, 'NAME')`.
fn attribute(owner: &Pickle, name: &str) -> Pickle {
    p().global("builtins", "getattr").op(b"(").op(&owner.0).text(name).op(b"tR")
}

/// `functools.partial(FUNCTION)` with the state that Python writes.
fn partial(function: &Pickle) -> Pickle {
    p().global("functools", "partial").op(&function.0).op(b"\x85R(").op(&function.0).op(b")}Ntb")
}

#[test]
fn hostile_calls_wherever_they_stand() {
    let system = p().global("os", "system");
    let torch = p().global("torch", "nn");
    let instance = called("pathlib", "PosixPath", "/tmp/x");
    let hostile: Vec<(&str, Pickle, &str)> = vec![
        ("REDUCE", called("posix", "system", "id"), "posix.system('id')"),
        ("NEWOBJ", p().global("os", "system").op(b"(").text("id").op(b"t\x81"), "os.system('id')"),
        ("NEWOBJ_EX", p().global("os", "system").op(b"(").text("id").op(b"t}\x92"), "os.system('id')"),
        ("INST", p().op(b"(").text("id").op(b"ios\nsystem\n"), "os.system('id')"),
        ("OBJ", p().op(b"(").global("os", "system").text("id").op(b"o"), "os.system('id')"),
        ("named only", system.clone(), "os.system"),
        ("eval", called("builtins", "eval", "1"), "builtins.eval('1')"),
        ("partial of it", partial(&system), "functools.partial(os.system)"),
        ("partial of getattr", partial(&p().global("builtins", "getattr")), "functools.partial("),
        ("getattr", attribute(&torch, "os"), "builtins.getattr(torch.nn, 'os')"),
        (
            "getattr, twice",
            attribute(&attribute(&torch, "_os"), "system"),
            "builtins.getattr(torch.nn, '_os')",
        ),
        (
            "method",
            p().op(&attribute(&instance, "write_text").0).op(b"(").text("x").op(b"tR"),
            "builtins.getattr(…)",
        ),
        ("attribute called", p().op(&called("m", "f", "x").0).op(b"(").text("y").op(b"tR"), "m.f(…)('y')"),
        ("import_module", called("importlib", "import_module", "os"), "importlib.import_module('os')"),
        ("attrgetter", called("operator", "attrgetter", "system"), "operator.attrgetter('system')"),
        ("hub", called("torch.hub", "load", "evil/repo"), "torch.hub.load('evil/repo')"),
        ("numpy", called("numpy", "load", "x.npy"), "numpy.load('x.npy')"),
        (
            "new class",
            p().global("builtins", "type").op(b"(").text("X").op(b")}tR"),
            "builtins.type('X', (), {})",
        ),
        (
            "state of a module",
            p().global("torch.nn", "Linear").op(b"}").text("forward").op(b"Nsb"),
            "__setstate__",
        ),
        ("environment", p().global("os", "environ").op(b"}").text("PATH").text("/x").op(b"sb"), "/x"),
        ("state setter", p().global("m", "C").op(b")\x81}").text("__setstate__").op(b"Nsb"), "m.C"),
        (
            "state setter of slots",
            p().global("m", "C").op(b")\x81N}").text("__setstate__").op(b"Ns\x86b"),
            "m.C",
        ),
        (
            "a tensor rebuilt by it",
            p().global("torch._tensor", "_rebuild_from_type_v2")
                .op(b"(")
                .op(&attribute(&instance, "unlink").0)
                .global("torch", "Tensor")
                .op(b")NtR"),
            "_rebuild_from_type_v2",
        ),
    ];
    for (what, evil, call) in &hostile {
        let found = refused(&file(evil));
        assert!(found.as_ref().is_some_and(|found| found.contains(call)), "{what}: {found:?}, not {call}");
        let taken = open_dangerous(&file(evil)).unwrap();
        assert_eq!((taken.tensors().len(), &taken.evidence().dangerous_call), (1, &found), "{what}");
    }
}

#[test]
fn harmless_calls() {
    let norm = p().global("torch.nn.modules.normalization", "LayerNorm");
    let module = p().global("m", "Net").op(b")\x81");
    let harmless: Vec<(&str, Pickle)> = vec![
        ("path", called("pathlib", "PosixPath", "/data")),
        ("partial of a class", partial(&norm)),
        ("partial of a partial", partial(&partial(&norm))),
        ("enum", called("timm.layers.format", "Format", "NCHW")),
        ("enum of Python 3.11", attribute(&p().global("m", "Colour"), "RED")),
        ("bound method", attribute(&module, "forward")),
        ("partial of a bound method", partial(&attribute(&module, "forward"))),
        (
            "constructor of a class",
            p().op(&attribute(&p().global("m", "Net"), "of").0).op(b"(").text("x").op(b"tR"),
        ),
        ("class of None", p().global("builtins", "type").op(b"N\x85R")),
        ("namespace", p().global("argparse", "Namespace").op(b")R}").text("lr").op(b"K\x01sb")),
        ("logger", called("logging", "getLogger", "train")),
        ("default", p().global("collections", "defaultdict").op(b"(").global("builtins", "int").op(b"tR")),
        (
            "old object",
            p().global("copy_reg", "_reconstructor")
                .op(b"(")
                .global("m", "C")
                .global("__builtin__", "object")
                .op(b"NtR"),
        ),
    ];
    for (what, pickle) in &harmless {
        assert_eq!(refused(&file(pickle)), None, "{what}");
    }
}

#[test]
fn the_danger_is_said_before_anything_else() {
    let evil = called("os", "system", "id").0;
    // No tensors; several parts; damage after the call; a pickle in a pickle.
    let several = p().op(b"}").text("a").op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"ss");
    let several = several.text("b").op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"ss");
    for pickle in [
        Pickle::new().op(&evil).op(b"."),
        Pickle::new().op(&evil).op(b"0").op(&several.0).op(b"."),
        Pickle::new().op(&evil).op(b"\xff"),
        Pickle::new().op(&evil).op(b"0"),
    ] {
        assert_eq!(refused(&torch_file(&pickle.0)).as_deref(), Some("os.system('id')"));
        assert_eq!(refused(&pickle.0).as_deref(), Some("os.system('id')"));
    }
    let inner = Pickle::new().op(&evil).op(b".").0;
    let storage = Pickle::new().global("torch.storage", "_load_from_bytes").op(b"B");
    let storage = storage.op(&(inner.len() as u32).to_le_bytes()).op(&inner).op(b"\x85R.");
    assert_eq!(refused(&storage.0).as_deref(), Some("os.system('id')"));
    assert!(Checkpoint::open_root(&data("small.pth"), &Limits::default(), "").is_ok());
}

#[test]
fn a_survey_shows_it() {
    let written = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(written.path(), file(&called("os", "system", "id"))).unwrap();
    let c = Checkpoint::survey(written.path(), &Limits::default()).unwrap();
    assert_eq!(c.evidence().dangerous_call.as_deref(), Some("os.system('id')"));
    let json = serde_json::to_value(c.evidence()).unwrap();
    assert_eq!(json["dangerous_call"], "os.system('id')");
    assert_eq!(json["globals"][0]["class"], "dangerous");
}

#[test]
fn honest_files_are_not_refused() {
    let says = ["module_quickgelu.pt", "module_avgpool_wrapped.pth", "module_functions.pt", "script_tanh.pt"]
        .into_iter()
        .chain(["trace_tanh.pt", "timm_train.pth.tar", "lightning.ckpt", "mmengine.pth"])
        .map(|name| format!("says/{name}"));
    for name in support::expected().keys().cloned().chain(says) {
        let opened =
            Checkpoint::open(&data(&name), &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(opened.evidence().dangerous_call, None, "{name}");
    }
}
