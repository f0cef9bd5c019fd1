//! Makes layers, norms, poolings and what they are made of from the parameters of a row.

use serde::Deserialize;
use vitport_nn::{
    AvgPool2d, BatchNorm2d, Context, Conv2d, ForwardError, Gate, GatedMlp, GlobalResponseNorm, LayerNorm,
    LayerScale, Linear, Matrix, MaxPool2d, Mlp, PatchEmbed, PatchMerging, Pixels, RmsNorm, Scope,
    SqueezeExcite, Window, mean_of_rows, prepend,
};

use crate::case::Case;
use crate::run::activation;

/// A module and its parameters, as in the table. What only the inputs depend on is not read.
#[derive(Deserialize)]
#[serde(tag = "module", rename_all = "snake_case")]
pub enum Layer {
    Activation {
        activation: String,
    },
    Linear {
        inputs: usize,
        outputs: usize,
        bias: bool,
        activation: String,
    },
    LayerNorm {
        features: usize,
        eps: f64,
    },
    RmsNorm {
        features: usize,
        eps: f64,
    },
    BatchNorm {
        channels: usize,
        eps: f64,
        activation: String,
    },
    Conv2d {
        channels: usize,
        outputs: usize,
        groups: usize,
        bias: bool,
        layout: String,
    },
    Conv2dSame {
        channels: usize,
        outputs: usize,
        groups: usize,
        kernel: (usize, usize),
        stride: (usize, usize),
        bias: bool,
        layout: String,
    },
    Conv2dOneMoreBehind {
        channels: usize,
        outputs: usize,
        groups: usize,
        bias: bool,
        layout: String,
    },
    Conv2dNorm {
        channels: usize,
        eps: f64,
    },
    LayerScale {
        features: usize,
        scaled: bool,
    },
    Mlp {
        width: usize,
        hidden: usize,
        activation: String,
    },
    GatedMlp {
        width: usize,
        hidden: usize,
        activation: String,
        packed: bool,
        bias: bool,
    },
    Prepend {
        count: usize,
        width: usize,
    },
    PatchEmbed {
        input: [usize; 3],
        patch: (usize, usize),
        width: usize,
        bias: bool,
    },
    MeanOfRows {},
    MaxPool2d {
        ceil_mode: bool,
    },
    AvgPool2d {
        ceil_mode: bool,
        count_include_pad: bool,
    },
    SqueezeExcite {
        channels: usize,
        reduced: usize,
        activation: String,
        gate: String,
    },
    PatchMerging {
        channels: usize,
        outputs: usize,
        eps: f64,
        normalized_first: bool,
    },
    GlobalResponseNorm {
        features: Vec<usize>,
        eps: f64,
    },
}

impl Layer {
    /// Makes the module and runs it on the row's inputs.
    pub fn forward(self, case: &Case, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let root = Scope::root();
        match self {
            Self::Activation { activation: name } => {
                let mut x = case.matrix("x");
                activation(&name).apply(&mut x);
                Ok(x)
            }
            Self::Linear { inputs, outputs, bias, activation: name } => {
                let layer = Linear::new(&root, inputs, outputs, bias)?;
                layer.forward_with(&case.matrix("x"), activation(&name), cx)
            }
            Self::LayerNorm { features, eps } => {
                LayerNorm::new(&root, features, eps)?.forward(&case.matrix("x"), cx)
            }
            Self::RmsNorm { features, eps } => {
                RmsNorm::new(&root, features, eps)?.forward(&case.matrix("x"), cx)
            }
            Self::BatchNorm { channels, eps, activation: name } => {
                let norm = BatchNorm2d::new(&root, channels, eps)?;
                Ok(norm.forward(case.map(), activation(&name), cx)?.tokens)
            }
            Self::Conv2d { channels, outputs, groups, bias, layout } => {
                let layer = Conv2d::grouped(&root, channels, outputs, groups, case.window(), bias)?;
                Ok(layer.forward(case.grid(channels, &layout)?, cx)?.tokens)
            }
            Self::Conv2dSame { channels, outputs, groups, kernel, stride, bias, layout } => {
                let window = Window { kernel, stride, padding: (0, 0), extra: (0, 0) };
                let layer = Conv2d::grouped(&root, channels, outputs, groups, window, bias)?;
                Ok(layer.padded_same(true).forward(case.grid(channels, &layout)?, cx)?.tokens)
            }
            Self::Conv2dOneMoreBehind { channels, outputs, groups, bias, layout } => {
                let window = case.window().one_more_behind();
                let layer = Conv2d::grouped(&root, channels, outputs, groups, window, bias)?;
                Ok(layer.forward(case.grid(channels, &layout)?, cx)?.tokens)
            }
            Self::Conv2dNorm { channels, eps } => {
                let layer = Conv2d::depthwise(&root.pp("conv"), channels, case.window(), false)?;
                let norm = BatchNorm2d::new(&root.pp("norm"), channels, eps)?;
                Ok(layer.forward_normalized(&norm, case.map().grid()?, cx)?.tokens)
            }
            Self::LayerScale { features, scaled } => {
                let scale = scaled.then(|| LayerScale::new(&root, "gamma", features)).transpose()?;
                let mut x = case.matrix("x");
                LayerScale::add(scale.as_ref(), &mut x, case.matrix("branch"), cx)?;
                Ok(x)
            }
            Self::Mlp { width, hidden, activation: name } => {
                let fc1 = Linear::new(&root.pp("fc1"), width, hidden, true)?;
                let fc2 = Linear::new(&root.pp("fc2"), hidden, width, true)?;
                Mlp::new(fc1, activation(&name), fc2).forward(&case.matrix("x"), cx)
            }
            Self::GatedMlp { width, hidden, activation: name, packed, bias } => {
                let linear = |name: &str, inputs, outputs| Linear::new(&root.pp(name), inputs, outputs, bias);
                let gate = if packed {
                    Gate::Packed(linear("fc1", width, 2 * hidden)?)
                } else {
                    Gate::Separate([linear("fc1_g", width, hidden)?, linear("fc1_x", width, hidden)?])
                };
                let fc2 = linear("fc2", hidden, width)?;
                GatedMlp::new(gate, activation(&name), fc2).forward(&case.matrix("x"), cx)
            }
            Self::Prepend { count, width } => {
                let leading = case.values("leading").get(..count * width).unwrap();
                prepend(leading, case.matrix("x"), cx)
            }
            Self::PatchEmbed { input, patch, width, bias } => {
                let pixels = Pixels::with_shape(input, case.values("x").to_vec()).unwrap();
                PatchEmbed::new(&root.pp("proj"), input, patch, width, bias)?.forward(&pixels, cx)
            }
            Self::MeanOfRows {} => {
                let mean = mean_of_rows(&case.matrix("x"));
                Matrix::from_values(1, mean.len(), mean)
            }
            Self::MaxPool2d { ceil_mode } => {
                Ok(MaxPool2d::new(case.window(), ceil_mode).forward(&case.map(), cx)?.tokens)
            }
            Self::AvgPool2d { ceil_mode, count_include_pad } => {
                let pool = AvgPool2d::new(case.window(), ceil_mode, count_include_pad);
                Ok(pool.forward(&case.map(), cx)?.tokens)
            }
            Self::SqueezeExcite { channels, reduced, activation: name, gate } => {
                let acts = [activation(&name), activation(&gate)];
                let module = SqueezeExcite::named(&root, ["fc1", "fc2"], [channels, reduced], acts)?;
                Ok(module.forward(case.map(), cx)?.tokens)
            }
            Self::PatchMerging { channels, outputs, eps, normalized_first } => {
                let normed = if normalized_first { 4 * channels } else { outputs };
                let norm = LayerNorm::new(&root.pp("norm"), normed, eps)?;
                let reduction = Linear::new(&root.pp("reduction"), 4 * channels, outputs, false)?;
                Ok(PatchMerging::new(norm, reduction, normalized_first).forward(case.map(), cx)?.tokens)
            }
            Self::GlobalResponseNorm { features, eps } => {
                GlobalResponseNorm::new(&root, &features, eps)?.forward(case.matrix("x"), cx)
            }
        }
    }
}
