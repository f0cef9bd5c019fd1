//! Names by which a pickle would execute code, or reach processes, files or the network.
//!
//! Dangerous is what a call of such a name does; paths, partials, enums and other data are not, though they may live in the
//! same modules. Whoever names a dangerous function next to weights means to call it, so naming is enough.

use super::dangerous_names::{ANYWHERE, ANYWHERE_BUT_METHODS, DATA, MEANT, MODULES, NAMES, SUBMODULES};

/// Returns whether a global is one that a pickle names to execute code, or to reach processes, files or the network.
pub(super) fn is_dangerous(module: &str, name: &str) -> bool {
    let module = if module == "__builtin__" { "builtins" } else { module };
    if DATA.contains(&(module, name)) {
        return false;
    }
    let is_under = |known: &str| within(module, known);
    let top = module.split('.').next().unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    MODULES.contains(&top)
        || SUBMODULES.iter().any(|known| is_under(known))
        || NAMES.iter().any(|(of, known)| *of == module && within(name, known))
        || ANYWHERE.contains(&last)
        || ANYWHERE_BUT_METHODS.contains(&name)
        || reaches_through(name)
}

/// Returns whether a name is another one, or something in it.
fn within(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns whether a name reaches through attributes: `builtins` `__dict__.get`, `torch` `os.system`, `random` `_os.system`.
fn reaches_through(name: &str) -> bool {
    let count = name.split('.').count();
    name.split('.').enumerate().any(|(index, part)| {
        let is_last = index + 1 == count;
        let bare = part.trim_start_matches('_');
        let is_attribute = part.starts_with("__") && part.ends_with("__") && part.len() > 4;
        is_attribute || MEANT.contains(&bare) || (!is_last && MODULES.contains(&bare))
    })
}

#[cfg(test)]
mod tests {
    use super::is_dangerous;

    /// Holds what honest checkpoints name: seen in files of timm, torchvision, Lightning, mmengine, DeiT, MAE and their like.
    const HARMLESS: [(&str, &str); 67] = [
        ("__builtin__", "set"),
        ("_codecs", "encode"),
        ("argparse", "Namespace"),
        ("builtins", "bytearray"),
        ("builtins", "complex"),
        ("builtins", "getattr"),
        ("builtins", "int"),
        ("builtins", "object"),
        ("builtins", "print"),
        ("builtins", "range"),
        ("builtins", "slice"),
        ("builtins", "type"),
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("copyreg", "_reconstructor"),
        ("datetime", "datetime"),
        ("datetime", "timedelta"),
        ("decimal", "Decimal"),
        ("easydict", "EasyDict"),
        ("enum", "Enum"),
        ("fractions", "Fraction"),
        ("functools", "partial"),
        ("io", "BytesIO"),
        ("lightning.fabric.utilities.data", "AttributeDict"),
        ("lightning_utilities.core.enums", "StrEnum"),
        ("logging", "getLogger"),
        ("mmengine.config.config", "ConfigDict"),
        ("mmengine.logging.history_buffer", "HistoryBuffer"),
        ("mycode.model", "Net"),
        ("mylib.io", "Reader"),
        ("mylib.trace", "Tracer"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy", "trace"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("omegaconf.base", "ContainerMetadata"),
        ("omegaconf.dictconfig", "DictConfig"),
        ("operator", "itemgetter"),
        ("osprey", "x"),
        ("pathlib", "Path"),
        ("pathlib", "PosixPath"),
        ("pathlib", "WindowsPath"),
        ("pathlib._local", "PosixPath"),
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
        ("pytorch_lightning.utilities.parsing", "AttributeDict"),
        ("re", "_compile"),
        ("signal", "Signals"),
        ("timm.layers.activations", "QuickGELU"),
        ("timm.layers.format", "Format"),
        ("timm.models._pretrained", "PretrainedCfg"),
        ("timm.models.vision_transformer", "VisionTransformer"),
        ("torch", "device"),
        ("torch", "trace"),
        ("torch.jit._pickle", "build_intlist"),
        ("torch._C._nn", "gelu"),
        ("torch._dynamo.eval_frame", "OptimizedModule"),
        ("torch.nn.functional", "gelu"),
        ("torch.nn.modules.module", "Module.eval"),
        ("torch.nn.parallel.distributed", "DistributedDataParallel"),
        ("torch.optim.lr_scheduler", "LambdaLR"),
        ("torchvision.transforms.functional", "InterpolationMode"),
        ("typing", "Any"),
        ("uuid", "UUID"),
        ("wandb.sdk.wandb_config", "Config"),
    ];

    const HOSTILE: [(&str, &str); 98] = [
        ("__builtin__", "eval"),
        ("__builtin__", "execfile"),
        ("_io", "FileIO"),
        ("_io", "open"),
        ("_osx_support", "_read_output"),
        ("_pickle", "loads"),
        ("_posixsubprocess", "fork_exec"),
        ("aiohttp.client", "ClientSession"),
        ("asyncio", "create_subprocess_shell"),
        ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
        ("bdb", "Bdb.run"),
        ("builtins", "__dict__.get"),
        ("builtins", "__import__"),
        ("builtins", "compile"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "map"),
        ("builtins", "open"),
        ("builtins", "setattr"),
        ("cProfile", "run"),
        ("cloudpickle.cloudpickle", "_make_function"),
        ("code", "InteractiveInterpreter.runcode"),
        ("codecs", "open"),
        ("collections", "__class__.__base__"),
        ("commands", "getoutput"),
        ("ctypes", "CDLL"),
        ("dill._dill", "_create_function"),
        ("distutils.file_util", "write_file"),
        ("doctest", "debug_script"),
        ("ensurepip", "_run_pip"),
        ("ftplib", "FTP"),
        ("functools", "reduce"),
        ("gzip", "open"),
        ("http.client", "HTTPConnection"),
        ("huggingface_hub", "hf_hub_download"),
        ("hydra.utils", "instantiate"),
        ("idlelib.pyshell", "ModifiedInterpreter.runcommand"),
        ("idlelib.run", "Executive.runcode"),
        ("importlib", "import_module"),
        ("io", "open"),
        ("joblib", "load"),
        ("lib2to3.pgen2.grammar", "Grammar.loads"),
        ("logging", "FileHandler"),
        ("logging.config", "listen"),
        ("marshal", "loads"),
        ("multiprocessing", "Process"),
        ("nt", "system"),
        ("numpy", "fromfile"),
        ("numpy", "load"),
        ("numpy.distutils.exec_command", "exec_command"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("numpy.testing._private.utils", "runstring"),
        ("operator", "attrgetter"),
        ("operator", "methodcaller"),
        ("os", "environ"),
        ("os", "system"),
        ("pandas", "read_pickle"),
        ("pathlib", "Path.read_text"),
        ("pathlib", "Path.unlink"),
        ("pathlib", "Path.write_text"),
        ("pdb", "Pdb.run"),
        ("pickle", "loads"),
        ("pip", "main"),
        ("pkgutil", "resolve_name"),
        ("platform", "popen"),
        ("posix", "system"),
        ("profile", "Profile.runctx"),
        ("pty", "spawn"),
        ("pydoc", "pipepager"),
        ("random", "_os.system"),
        ("requests.api", "get"),
        ("runpy", "_run_code"),
        ("shutil", "rmtree"),
        ("site", "main"),
        ("six.moves.builtins", "eval"),
        ("smtplib", "SMTP"),
        ("socket", "create_connection"),
        ("subprocess", "Popen"),
        ("sys", "modules"),
        ("tempfile", "NamedTemporaryFile"),
        ("timeit", "timeit"),
        ("torch", "load"),
        ("torch", "os"),
        ("torch", "os.system"),
        ("torch._dynamo.guards", "GuardBuilder.get"),
        ("torch._inductor.codecache", "compile_file"),
        ("torch.fx.graph_module", "reduce_graph_module"),
        ("torch.hub", "load"),
        ("torch.jit", "load"),
        ("torch.jit.unsupported_tensor_ops", "execWrapper"),
        ("torch.utils.collect_env", "run"),
        ("trace", "Trace.run"),
        ("types", "CodeType"),
        ("types", "FunctionType"),
        ("urllib.request", "urlopen"),
        ("uuid", "_get_command_stdout"),
        ("webbrowser", "open"),
        ("yaml", "unsafe_load"),
    ];

    #[test]
    fn harmless_names() {
        for (module, name) in HARMLESS {
            assert!(!is_dangerous(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn hostile_names() {
        for (module, name) in HOSTILE {
            assert!(is_dangerous(module, name), "{module}.{name}");
        }
    }
}
