//! The six ImageNet label sets that timm's models are trained on, from one embedded table of WordNet synsets
//! (`data/labels/imagenet.tsv`, made from timm 1.0.31). timm tells them apart by the class count alone
//! (`timm/data/imagenet_info.py`, `infer_imagenet_subset`), and so do we.

use super::unique::make_unique;

const TABLE: &str = include_str!("../../data/labels/imagenet.tsv");

/// Describes a list of ImageNet classes, as timm names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LabelSet {
    /// Is the 1,000 classes of ILSVRC 2012.
    Imagenet1k,
    /// Is timm's own selection of 11,821 classes from the fall 2011 release.
    Imagenet12k,
    /// Is Google's ImageNet-21k: 21,843 classes.
    Imagenet21kGoog,
    /// Is the selection of 11,221 classes in "ImageNet-21K Pretraining for the Masses" (Alibaba MIIL).
    Imagenet21kMiil,
    /// Is the fall 2011 release: 21,841 classes.
    Imagenet22k,
    /// Is Microsoft's order of the 22k (FocalNet): the 1k classes first; 21,842 classes.
    Imagenet22kMs,
}

impl LabelSet {
    /// Lists every set.
    pub const ALL: [LabelSet; 6] = [
        LabelSet::Imagenet1k,
        LabelSet::Imagenet12k,
        LabelSet::Imagenet21kGoog,
        LabelSet::Imagenet21kMiil,
        LabelSet::Imagenet22k,
        LabelSet::Imagenet22kMs,
    ];

    /// Returns the name on the command line, which is timm's.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// Returns the set of that name; `None` for any other word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// Returns how many classes the set has.
    pub fn class_count(self) -> usize {
        self.facts().1
    }

    /// Returns the set that timm takes a head of `classes` classes to be trained on; `None` if it knows no such set.
    pub fn by_class_count(classes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.class_count() == classes)
    }

    /// Returns whether its classes are those of a dataset, by the name that the Hub has for it: `imagenet-1k`,
    /// `ILSVRC/imagenet-1k`. The Hub calls all selections from the whole of ImageNet `imagenet-21k` or `imagenet-22k`.
    pub fn is_of(self, dataset: &str) -> bool {
        let dataset = dataset.rsplit('/').next().unwrap_or(dataset).to_ascii_lowercase();
        match self {
            LabelSet::Imagenet1k => dataset == "imagenet-1k",
            LabelSet::Imagenet12k => dataset == "imagenet-12k",
            LabelSet::Imagenet21kGoog
            | LabelSet::Imagenet21kMiil
            | LabelSet::Imagenet22k
            | LabelSet::Imagenet22kMs => dataset.starts_with("imagenet-2"),
        }
    }

    /// Returns the WordNet id of each class ("n01440764"), in the order of the logits.
    pub fn synsets(self) -> Vec<&'static str> {
        self.rows().into_iter().map(|(synset, _)| synset).collect()
    }

    /// Returns the words of each class, in the order of the logits: "tench, Tinca tinca". Words that several classes of the
    /// set share have the WordNet id added, "crane (n02012849)", so that no two labels are equal.
    pub fn labels(self) -> Vec<String> {
        let rows = self.rows();
        let marks: Vec<_> = rows.iter().map(|(synset, _)| Some((*synset).to_owned())).collect();
        make_unique(rows.into_iter().map(|(_, words)| words.to_owned()).collect(), &marks).names
    }

    /// Returns name, class count and letter in the table.
    fn facts(self) -> (&'static str, usize, u8) {
        match self {
            LabelSet::Imagenet1k => ("imagenet-1k", 1_000, b'1'),
            LabelSet::Imagenet12k => ("imagenet-12k", 11_821, b'2'),
            LabelSet::Imagenet21kGoog => ("imagenet-21k-goog", 21_843, b'g'),
            LabelSet::Imagenet21kMiil => ("imagenet-21k-miil", 11_221, b'm'),
            LabelSet::Imagenet22k => ("imagenet-22k", 21_841, b'w'),
            LabelSet::Imagenet22kMs => ("imagenet-22k-ms", 21_842, b's'),
        }
    }

    /// Returns (synset, words) of each class. The table has the classes of imagenet-1k in front of the others, both ascending by
    /// synset; every set ascends as a whole but Microsoft's, which has the table's own order.
    fn rows(self) -> Vec<(&'static str, &'static str)> {
        let (_, classes, letter) = self.facts();
        let held = table().filter(|(_, sets, _)| sets.as_bytes().contains(&letter));
        let mut rows: Vec<_> = held.map(|(synset, _, words)| (synset, words)).take(classes).collect();
        if self != LabelSet::Imagenet22kMs {
            rows.sort_by_key(|(synset, _)| *synset);
        }
        rows
    }
}

/// Returns the table's lines as (synset, letters of the sets that hold it, words).
fn table() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABLE.lines().filter_map(|line| {
        let (synset, rest) = line.split_once('\t')?;
        let (sets, words) = rest.split_once('\t')?;
        Some((synset, sets, words))
    })
}
