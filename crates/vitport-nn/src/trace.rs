//! What a forward pass lets be seen: the hidden states between its layers, under names that are
//! the same on the source and the target side of a family, and what comes out at the end.

use std::fmt;

use super::matrix::Matrix;

/// A place in a network where hidden states are looked at, each a matrix of tokens × features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Patches with class token and positions, before the first layer of a plain network.
    Embeddings,
    /// Behind layer `0`-based number so-and-so of a plain network.
    Layer(usize),
    /// Behind the convolutional embedding of a stage of a hierarchical network, without class token.
    StageEmbedding(usize),
    /// Behind one layer of one stage of a hierarchical network, class token first where there is one.
    StageLayer {
        /// 0-based number of the stage.
        stage: usize,
        /// 0-based number of the layer within the stage.
        layer: usize,
    },
    /// Behind the last normalisation.
    Norm,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embeddings => f.write_str("embeddings"),
            Self::Layer(layer) => write!(f, "layer {layer}"),
            Self::StageEmbedding(stage) => write!(f, "stage {stage} embedding"),
            Self::StageLayer { stage, layer } => write!(f, "stage {stage} layer {layer}"),
            Self::Norm => f.write_str("norm"),
        }
    }
}

/// Looks on while a network runs, from one of rayon's threads.
pub trait Observer: Send {
    /// Called once for each stage, in the order of the network.
    fn observe(&mut self, stage: Stage, hidden: &Matrix);
}

/// Sees nothing and costs nothing.
impl Observer for () {
    fn observe(&mut self, _: Stage, _: &Matrix) {}
}

/// Keeps every stage: some tens of megabytes for a large network.
impl Observer for Vec<(Stage, Matrix)> {
    fn observe(&mut self, stage: Stage, hidden: &Matrix) {
        self.push((stage, hidden.copied_on_all_threads()));
    }
}

/// What comes out of a network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// The features that the head reads, `[dim]`: the class token behind the last normalisation, or
    /// the mean over tokens where there is no class token.
    pub pooled: Vec<f32>,
    /// What a trained pooler makes of the class token, `[pooler_output_size]`, where there is one.
    pub pooler_output: Option<Vec<f32>>,
    /// One number per class, `[classes]`, where there is a head.
    pub logits: Option<Vec<f32>>,
    /// How large the terms are that the logits are sums of ([`super::Linear::size_of_terms`]); 0 where it was not looked at.
    pub size_of_terms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_the_names_of_the_report() {
        let names = [
            Stage::Embeddings,
            Stage::Layer(11),
            Stage::StageEmbedding(0),
            Stage::StageLayer { stage: 2, layer: 9 },
            Stage::Norm,
        ]
        .map(|stage| stage.to_string());
        assert_eq!(names, ["embeddings", "layer 11", "stage 0 embedding", "stage 2 layer 9", "norm"]);
    }
}
