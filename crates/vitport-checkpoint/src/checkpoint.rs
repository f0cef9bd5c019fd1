//! The [`Checkpoint`]: what a file or a set of shards holds, and the way to its bytes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

use crate::contents::{Branch, Contents};
use crate::dtype::Dtype;
use crate::error::{CheckpointError, Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{FileEvidence, Unsupported};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::open;
use crate::opened::FileHandle;
use crate::read::Bytes;
use crate::read::audit::Audit;
use crate::roots::{self, ChosenBy, Root, RootChoice};
use crate::saved_module::SavedModule;
use crate::source::Source;
use crate::storage::{SourceFile, Storage};
use crate::tensor::Tensor;

/// Describes a file of tensors, or several that belong together, opened and checked. No tensor has been read.
///
/// ```no_run
/// # use vitport_checkpoint::{Checkpoint, Limits};
/// # use std::path::Path;
/// let checkpoint = Checkpoint::open(Path::new("model.pth"), &Limits::default())?;
/// for tensor in checkpoint.tensors() {
///     println!("{:<6} {:?} {}", tensor.dtype, tensor.shape, vitport_checkpoint::escape(&tensor.name));
/// }
/// # Ok::<(), vitport_checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    bytes: Bytes,
    files: Vec<SourceFile>,
    all: Vec<Arc<Tensor>>,
    branches: Vec<Branch>,
    unsupported: Vec<Unsupported>,
    metadata: Vec<Metadata>,
    all_modules: Vec<SavedModule>,
    /// Holds the modules of the selected root by their paths in it.
    modules: Vec<SavedModule>,
    evidence: FileEvidence,
    roots: Vec<Root>,
    selected: Range<usize>,
    /// Holds the selected tensors under their names in the root, where those are not their full names.
    renamed: Option<Vec<Arc<Tensor>>>,
    /// Holds the numbers of the selected tensors by name, once one is looked for.
    by_name: OnceLock<HashMap<Arc<str>, usize, RandomState>>,
    root: Root,
    choice: RootChoice,
}

impl Checkpoint {
    /// Opens a file, a folder that holds weights, or a shard index, and selects the part that holds the
    /// model's weights.
    ///
    /// Of a folder, the first of `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`
    /// and `pytorch_model.bin.index.json` is opened, and otherwise its only weight file.
    ///
    /// # Errors
    /// Refuses a file whose pickle would make a dangerous call in Python ([`CheckpointError::Dangerous`]), before
    /// anything else; one that is damaged, contradicts itself, exceeds `limits`, holds a tensor that has no
    /// plain elements in the selected part, or has several parts that could be meant (then
    /// [`open_root`](Self::open_root) or [`survey`](Self::survey) help).
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, CheckpointError> {
        let (sources, contents) = open::read(path, limits)?;
        let (branch, how) = roots::choose(&contents).map_err(|fault| fault.in_file(path))?;
        Self::new(sources, contents, branch, how)
    }

    /// Opens like [`open`](Self::open), but where no root can be chosen by its name, everything is selected under its full path,
    /// for a caller who looks at the tensors and [`select`](Self::select)s; [`require_root`](Self::require_root) has the error.
    ///
    /// # Errors
    /// As [`open`](Self::open), except for the choice of the root.
    pub fn open_undecided(path: &Path, limits: &Limits) -> Result<Self, CheckpointError> {
        let (sources, contents) = open::read(path, limits)?;
        match roots::choose(&contents) {
            Ok((branch, how)) => Self::new(sources, contents, branch, how),
            Err(fault) if contents.branches.iter().all(|branch| branch.tensors.is_empty()) => {
                Err(fault.in_file(path))
            }
            Err(_) => {
                let mut opened = Self::unselected(sources, contents);
                opened.take_root(0, ChosenBy::Undecided);
                Ok(opened)
            }
        }
    }

    /// Opens like [`open`](Self::open), but with everything selected under its full path, for a caller who [`select`](Self::select)s a
    /// part.
    ///
    /// # Errors
    /// As [`open`](Self::open), except for the choice of the root and for what cannot be read in it.
    pub fn open_whole(path: &Path, limits: &Limits) -> Result<Self, CheckpointError> {
        let (sources, contents) = open::read(path, limits)?;
        let mut opened = Self::unselected(sources, contents);
        opened.take_root(0, ChosenBy::Undecided);
        Ok(opened)
    }

    /// Opens like [`open`](Self::open), but with the root that the caller names: a dotted path such as
    /// `model_ema`, or the empty string for everything.
    ///
    /// # Errors
    /// As [`open`](Self::open); and when nothing of that name holds tensors.
    pub fn open_root(path: &Path, limits: &Limits, root: &str) -> Result<Self, CheckpointError> {
        let (sources, contents) = open::read(path, limits)?;
        let branch = roots::find(&contents, root).map_err(|fault| fault.in_file(path))?;
        Self::new(sources, contents, branch, ChosenBy::Caller)
    }

    /// Opens like [`open`](Self::open), but where no root can be chosen, everything is selected under its full
    /// path: for looking at a file, not for converting it. Dangerous calls are allowed, and named in the
    /// [`evidence`](Self::evidence).
    ///
    /// # Errors
    /// As [`open`](Self::open), except for the choice of the root, and for tensors without plain elements,
    /// which are only listed in the [`evidence`](Self::evidence).
    pub fn survey(path: &Path, limits: &Limits) -> Result<Self, CheckpointError> {
        let limits = Limits { allow_dangerous_pickle: true, ..limits.clone() };
        let (sources, contents) = open::read(path, &limits)?;
        let (branch, how) = roots::choose(&contents).unwrap_or((0, ChosenBy::Undecided));
        let mut opened = Self::unselected(sources, contents);
        opened.take_root(branch, how);
        Ok(opened)
    }

    fn new(
        sources: Vec<Source>,
        contents: Contents,
        branch: usize,
        how: ChosenBy,
    ) -> Result<Self, CheckpointError> {
        let mut opened = Self::unselected(sources, contents);
        opened.check_root(branch).map_err(|fault| fault.in_file(opened.first_path()))?;
        opened.take_root(branch, how);
        Ok(opened)
    }

    fn unselected(sources: Vec<Source>, contents: Contents) -> Self {
        let roots = roots::list(&contents);
        let files = sources.iter().map(|s| SourceFile { path: s.path.clone(), len: s.len }).collect();
        let Contents { tensors, storages, branches, unsupported, metadata, modules, mut evidence } = contents;
        evidence.unsupported.clone_from(&unsupported);
        Self {
            bytes: Bytes::new(sources, storages),
            files,
            all: tensors,
            branches,
            unsupported,
            metadata,
            all_modules: modules,
            modules: Vec::new(),
            evidence,
            roots,
            selected: 0..0,
            renamed: None,
            by_name: OnceLock::new(),
            root: Root { path: String::new(), tensors: 0, training_state: false },
            choice: RootChoice { how: ChosenBy::TopLevel, alternatives: Vec::new() },
        }
    }

    /// Refuses a root that holds what cannot be read, or two tensors of one name.
    fn check_root(&self, branch: usize) -> Result<(), Fault> {
        let Some(branch) = self.branches.get(branch) else {
            return refuse(Reason::NoTensors, "the file holds no tensors");
        };
        if let Some(first) = self.unsupported.get(branch.unsupported.clone()).and_then(<[_]>::first) {
            let more = branch.unsupported.len().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
            return refuse(
                Reason::Unsupported,
                format!("tensor '{}'{more} {}", escape(&first.path), first.in_words()),
            );
        }
        let tensors = self.all.get(branch.tensors.clone()).unwrap_or_default();
        let mut names = HashSet::with_capacity_and_hasher(tensors.len(), RandomState::default());
        for tensor in tensors {
            if !names.insert(&*tensor.name) {
                return refuse(
                    Reason::Contradiction,
                    format!("two tensors are both called '{}'", escape(&tensor.name)),
                );
            }
        }
        Ok(())
    }

    fn take_root(&mut self, branch: usize, how: ChosenBy) {
        let Some(branch) = self.branches.get(branch) else {
            return;
        };
        let prefix = branch.prefix_len();
        self.selected = branch.tensors.clone();
        self.renamed = (prefix > 0).then(|| {
            let mut tensors = self.all.get(branch.tensors.clone()).unwrap_or_default().to_vec();
            for tensor in &mut tensors {
                let tensor = Arc::make_mut(tensor);
                tensor.name = tensor.name.get(prefix..).unwrap_or_default().into();
            }
            tensors
        });
        self.modules = self.all_modules.iter().filter_map(|module| module.below(branch)).collect();
        self.by_name = OnceLock::new();
        let listed = self.roots.iter().find(|root| root.path == branch.path);
        self.root = listed.cloned().unwrap_or_else(|| Root {
            path: branch.path.clone(),
            tensors: branch.tensors.len(),
            training_state: false,
        });
        let alternatives = self.roots.iter().filter(|root| root.path != self.root.path).cloned().collect();
        self.choice = RootChoice { how, alternatives };
    }

    fn first_path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |file| &file.path)
    }

    /// Selects another part of the file: [`tensors`](Self::tensors) are then its tensors.
    ///
    /// # Errors
    /// When nothing of that name holds tensors (the message names what there is), or when it holds tensors
    /// that cannot be read.
    pub fn select(&mut self, root: &str) -> Result<(), CheckpointError> {
        let found = self.find_branch(root).and_then(|branch| self.check_root(branch).map(|()| branch));
        let branch = found.map_err(|fault| fault.in_file(self.first_path()))?;
        self.take_root(branch, ChosenBy::Caller);
        Ok(())
    }

    /// Selects another part of the file, because its tensors show that it holds the weights.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn select_by_structure(&mut self, root: &str) -> Result<(), CheckpointError> {
        self.select(root)?;
        self.choice.how = ChosenBy::Structure;
        Ok(())
    }

    /// Returns the path of the innermost part of the file that lies on the way to names with this beginning: of
    /// `state_dict.module.` that is `state_dict`, if `state_dict` is a dict and `module.` a part of its keys.
    #[must_use]
    pub fn part_around(&self, prefix: &str) -> &str {
        let is_around = |branch: &&Branch| {
            branch.depth == 0 || prefix.strip_prefix(&*branch.path).is_some_and(|rest| rest.starts_with('.'))
        };
        let around = self.branches.iter().filter(is_around).max_by_key(|branch| branch.prefix_len());
        around.map_or("", |branch| &branch.path)
    }

    /// Checks that a root is selected.
    ///
    /// # Errors
    /// Names the parts of a file of which none could be chosen.
    pub fn require_root(&self) -> Result<(), CheckpointError> {
        let contents = Contents { branches: self.branches.clone(), ..Contents::default() };
        match self.choice.how {
            ChosenBy::Undecided => match roots::choose(&contents) {
                Ok(_) => Ok(()),
                Err(fault) => Err(fault.in_file(self.first_path())),
            },
            _ => Ok(()),
        }
    }

    fn find_branch(&self, root: &str) -> Result<usize, Fault> {
        let contents = Contents { branches: self.branches.clone(), ..Contents::default() };
        roots::find(&contents, root)
    }

    /// Returns the files that were opened: one, or the shards.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Returns handles of their own of the opened [`files`](Self::files), in the same order: whatever happens to the names
    /// meanwhile, they are the files that the tensors are read from.
    pub fn handles(&self) -> impl Iterator<Item = FileHandle> {
        self.bytes.handles()
    }

    /// Returns the storages that the tensors are views of.
    #[must_use]
    pub fn storages(&self) -> &[Storage] {
        self.bytes.storages()
    }

    /// Returns the tensors of the selected root, under their names in it, in the order of the file.
    #[must_use]
    pub fn tensors(&self) -> &[Arc<Tensor>] {
        match &self.renamed {
            Some(tensors) => tensors,
            None => self.all.get(self.selected.clone()).unwrap_or_default(),
        }
    }

    /// Returns the tensor of this name in the selected root.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Arc<Tensor>> {
        let tensors = self.tensors();
        let named = |(number, tensor): (usize, &Arc<Tensor>)| (Arc::clone(&tensor.name), number);
        let by_name = self.by_name.get_or_init(|| tensors.iter().enumerate().map(named).collect());
        by_name.get(name).and_then(|&number| tensors.get(number))
    }

    /// Lets the names of the selected root's tensors begin with a prefix that the file leaves out.
    pub fn prepend(&mut self, prefix: &str) {
        let named = |tensor: &Arc<Tensor>| {
            Arc::new(Tensor { name: format!("{prefix}{}", tensor.name).into(), ..Tensor::clone(tensor) })
        };
        self.renamed = Some(self.tensors().iter().map(named).collect());
        self.by_name = OnceLock::new();
    }

    /// Returns every tensor in the file under its full dotted path, in the order of the file.
    #[must_use]
    pub fn all_tensors(&self) -> &[Arc<Tensor>] {
        &self.all
    }

    /// Returns the nested parts that hold tensors.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Returns the selected root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns how the selected root was chosen, and what else it could have been.
    #[must_use]
    pub fn root_choice(&self) -> &RootChoice {
        &self.choice
    }

    /// Returns the modules of the selected root that were saved whole, with their paths in the root (empty for the root
    /// itself): classes and settings, those of submodules without parameters included. Empty for a state dict.
    #[must_use]
    pub fn modules(&self) -> &[SavedModule] {
        &self.modules
    }

    /// Returns every module of the file that was saved whole, with its full dotted path.
    #[must_use]
    pub fn all_modules(&self) -> &[SavedModule] {
        &self.all_modules
    }

    /// Returns the plain values found next to the weights: safetensors' `__metadata__`, and what a pickle holds besides its
    /// tensors, such as the arguments of a training run. A key whose value is `None` is an entry like any other.
    #[must_use]
    pub fn metadata(&self) -> &[Metadata] {
        &self.metadata
    }

    /// Returns what the file shows of itself besides its tensors.
    #[must_use]
    pub fn evidence(&self) -> &FileEvidence {
        &self.evidence
    }

    /// Fills `out` with the tensor's elements from number `first` on, counted in row-major order, as
    /// little-endian bytes. Right for every stride and offset; for a contiguous tensor it is one
    /// positional read straight into `out`. Threads may call it at the same time.
    ///
    /// # Errors
    /// When the file can no longer be read as it was when it was opened, when a compressed record does
    /// not decode to what it declares, or when the range is not whole elements inside the tensor.
    pub fn read(&self, tensor: &Tensor, first: u64, out: &mut [u8]) -> Result<(), CheckpointError> {
        self.bytes.read(tensor, first, out, None)
    }

    /// Returns where the tensor's bytes lie in one of the [`files`](Self::files), when they lie there exactly as
    /// [`read`](Self::read) would give them: the file's number, and the offset in it.
    #[must_use]
    pub fn plain_bytes(&self, tensor: &Tensor) -> Option<(usize, u64)> {
        self.bytes.plain(tensor)
    }

    /// Checks that nobody wrote to the files since they were opened. An [`Audit`] does so when it is finished; this is for
    /// what is read without one.
    ///
    /// # Errors
    /// Refuses a file whose length or time of last modification is another one now.
    pub fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.bytes.check_unchanged()
    }

    /// Adds a tensor that was computed from others, row-major and little-endian, and returns it: it is read like those of the
    /// file, and is not among [`tensors`](Self::tensors). Its bytes lie in a temporary file.
    ///
    /// # Errors
    /// When the temporary file cannot be written, or when there are not as many bytes as the shape says.
    pub fn add(
        &mut self,
        name: Arc<str>,
        dtype: Dtype,
        shape: &[u64],
        bytes: &[u8],
    ) -> Result<Tensor, CheckpointError> {
        let mut tensor = Tensor::contiguous(name, dtype, shape, 0, 0);
        if tensor.bytes() != bytes.len() as u64 {
            let why = "a computed tensor has another number of bytes than its shape says";
            return Err(CheckpointError::Misuse { tensor: tensor.name.to_string(), why });
        }
        tensor.storage = self.bytes.add(bytes).map_err(|fault| fault.in_file(self.first_path()))?;
        Ok(tensor)
    }

    /// Starts reading under supervision: what is read through the audit is checksummed on the way, and at
    /// the end every record that holds a tensor of the selected root has been checked.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit::new(&self.bytes, self.tensors().iter().map(|tensor| &**tensor))
    }

    /// Starts an audit like [`audit`](Self::audit), for the records of all tensors of the file, selected or not.
    #[must_use]
    pub fn audit_all(&self) -> Audit<'_> {
        Audit::new(&self.bytes, self.all.iter().map(|tensor| &**tensor))
    }

    /// Checks every checksum of every record that holds a tensor, selected or not.
    ///
    /// # Errors
    /// When a checksum does not match, or the file cannot be read.
    pub fn verify_all(&self) -> Result<(), CheckpointError> {
        self.audit_all().finish()
    }

    /// Returns the SHA-256 of the tensor's row-major little-endian bytes, in lower-case hexadecimal. The checksum of its
    /// record is checked with it; for many tensors an [`Audit`] does that once a record.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the checksum does not match.
    pub fn sha256_of_tensor(&self, tensor: &Tensor) -> Result<String, CheckpointError> {
        let audit = Audit::new(&self.bytes, [tensor]);
        let sha256 = audit.sha256(tensor)?;
        audit.finish()?;
        Ok(sha256)
    }
}
