//! Makes blocks of a network from the parameters of a row.

use serde::Deserialize;
use vitport_nn::{
    Activation, BiasedBlocks, Context, ContinuousPositionBias, ConvNorm, CosineScale, EncoderBlock,
    FeedForward, ForwardError, Gate, GatedMlp, Heads, LayerNorm, LayerScale, Linear, LogPositionBias, Matrix,
    Mlp, Norm, PositionTable, Positions, Qkv, RelativePositionBias, ResidualBlock, RmsNorm, Scope,
    SelfAttention, SqueezeExcite, Window, WindowAttention, WindowBlock, WindowTable,
};

use crate::case::Case;
use crate::run::{activation, fused_qkv, fused_with_biases, heads};

/// A module and its parameters, as in the table. What only the inputs depend on is not read.
#[derive(Deserialize)]
#[serde(tag = "module", rename_all = "snake_case")]
pub enum BlockModule {
    EncoderBlock {
        width: usize,
        heads: usize,
        hidden: usize,
        activation: String,
        eps: f64,
        scaled: bool,
        rms: bool,
        gated: bool,
    },
    BiasedBlock {
        grid: (usize, usize),
        width: usize,
        heads: usize,
        hidden: usize,
        depth: usize,
        eps: f64,
        own: bool,
        shared: bool,
    },
    LogBiasedBlock {
        grid: (usize, usize),
        width: usize,
        heads: usize,
        hidden: usize,
        table_hidden: usize,
        eps: f64,
        class_token: bool,
    },
    WindowBlock {
        channels: usize,
        heads: usize,
        window: usize,
        shift: usize,
        hidden: usize,
        eps: f64,
    },
    WindowV2Block {
        channels: usize,
        heads: usize,
        window: usize,
        shift: usize,
        hidden: usize,
        eps: f64,
        pretrained: usize,
    },
    InvertedBlock {
        channels: usize,
        outputs: usize,
        expansion: usize,
        kernel: usize,
        stride: usize,
        reduced: usize,
        adds: bool,
        activation: String,
        eps: f64,
    },
    ResidualBlock {
        channels: usize,
        hidden: usize,
        outputs: usize,
        stride: usize,
        groups: usize,
        reduced: usize,
        activation: String,
        shortcut: bool,
    },
}

impl BlockModule {
    /// Makes the module and runs it on the row's inputs.
    pub fn forward(self, case: &Case, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let root = Scope::root();
        match self {
            Self::EncoderBlock { width, heads, hidden, activation: name, eps, scaled, rms, gated } => {
                let norm = |name: &str| {
                    Ok::<_, ForwardError>(match rms {
                        true => Norm::Rms(RmsNorm::new(&root.pp(name), width, eps)?),
                        false => Norm::Layer(LayerNorm::new(&root.pp(name), width, eps)?),
                    })
                };
                let scale =
                    |name: &str| scaled.then(|| LayerScale::new(&root.pp(name), "gamma", width)).transpose();
                let linear = |name: &str, inputs, outputs| Linear::new(&root.pp(name), inputs, outputs, true);
                let (act, qkv) = (activation(&name), linear("attn.qkv", width, 3 * width)?);
                let (proj, fc2) = (linear("attn.proj", width, width)?, linear("mlp.fc2", hidden, width)?);
                let mlp = if gated {
                    let gate = Gate::Packed(linear("mlp.fc1", width, 2 * hidden)?);
                    FeedForward::Gated(GatedMlp::new(gate, act, fc2))
                } else {
                    FeedForward::Plain(Mlp::new(linear("mlp.fc1", width, hidden)?, act, fc2))
                };
                let block = EncoderBlock {
                    norm1: norm("norm1")?,
                    attention: SelfAttention::new(Qkv::Fused(qkv), Heads::of_width(heads, width), proj),
                    scale1: scale("ls1")?,
                    norm2: norm("norm2")?,
                    mlp,
                    scale2: scale("ls2")?,
                };
                let mut x = case.matrix("x");
                block.forward(&mut x, Positions::Embedded, cx)?;
                Ok(x)
            }
            Self::BiasedBlock { grid, width, heads, hidden, depth, eps, own, shared } => {
                let table =
                    |scope: &Scope| RelativePositionBias::new(scope, grid, heads).map(PositionTable::Learned);
                let block = |scope: &Scope, _| {
                    let norm = |name: &str| LayerNorm::new(&scope.pp(name), width, eps).map(Norm::Layer);
                    let scale = |name: &str| LayerScale::new(scope, name, width).map(Some);
                    let (names, sizes) = (["mlp.fc1", "mlp.fc2"], [width, hidden, width]);
                    let mlp = Mlp::with_biases(Linear::new, scope, names, sizes, Activation::Gelu)?;
                    let block = EncoderBlock {
                        norm1: norm("norm1")?,
                        attention: fused_with_biases(&scope.pp("attn"), width, heads)?,
                        scale1: scale("gamma_1")?,
                        norm2: norm("norm2")?,
                        mlp: FeedForward::Plain(mlp),
                        scale2: scale("gamma_2")?,
                    };
                    Ok((block, own.then(|| table(&scope.pp("attn"))).transpose()?))
                };
                let blocks = BiasedBlocks {
                    blocks: root.list("blocks", depth, block)?,
                    shared: shared.then(|| table(&root.pp("rel_pos_bias"))).transpose()?,
                };
                let mut x = case.matrix("x");
                blocks.forward(&mut x, |index| index.to_string(), cx)?;
                Ok(x)
            }
            Self::LogBiasedBlock { grid, width, heads: count, hidden, table_hidden, eps, class_token } => {
                let attn = root.pp("attn");
                let sizes = [table_hidden, count];
                let table = LogPositionBias::new(&attn.pp("rel_pos"), grid, sizes, class_token)?;
                let norm = |name: &str| LayerNorm::new(&root.pp(name), width, eps).map(Norm::Layer);
                let scale = |name: &str| LayerScale::new(&root.pp(name), "gamma", width).map(Some);
                let linear = |name: &str, outputs| Linear::new(&attn.pp(name), width, outputs, true);
                let (qkv, proj) = (Qkv::Fused(linear("qkv", 3 * width)?), linear("proj", width)?);
                let (names, sizes) = (["mlp.fc1", "mlp.fc2"], [width, hidden, width]);
                let block = EncoderBlock {
                    norm1: norm("norm1")?,
                    attention: SelfAttention::new(qkv, Heads::of_width(count, width), proj),
                    scale1: scale("ls1")?,
                    norm2: norm("norm2")?,
                    mlp: FeedForward::Plain(Mlp::with_biases(
                        Linear::new,
                        &root,
                        names,
                        sizes,
                        Activation::Gelu,
                    )?),
                    scale2: scale("ls2")?,
                };
                let (mut x, bias) = (case.matrix("x"), table.read(cx)?);
                block.forward(&mut x, Positions::Biased(&bias), cx)?;
                Ok(x)
            }
            Self::WindowBlock { channels, heads, window, shift, hidden, eps } => {
                let attn = root.pp("attn");
                let linear = |name: &str, outputs| Linear::new(&attn.pp(name), channels, outputs, true);
                let qkv = Qkv::Fused(linear("qkv", 3 * channels)?);
                let attention =
                    SelfAttention::new(qkv, Heads::of_width(heads, channels), linear("proj", channels)?);
                let table = RelativePositionBias::of_window(&attn, window, heads)?;
                let norm = |name: &str| LayerNorm::new(&root.pp(name), channels, eps);
                let (sizes, names) = ([channels, hidden, channels], ["mlp.fc1", "mlp.fc2"]);
                let block = WindowBlock::new(
                    [norm("norm1")?, norm("norm2")?],
                    WindowAttention::new(attention, WindowTable::Learned(table), [window, shift], -100.0),
                    Mlp::with_biases(Linear::new, &root, names, sizes, Activation::Gelu)?,
                );
                let mut map = case.map();
                block.forward(&mut map, cx)?;
                Ok(map.tokens)
            }
            Self::WindowV2Block { channels, heads: count, window, shift, hidden, eps, pretrained } => {
                let attn = root.pp("attn");
                let names = ["cpb_mlp.0", "cpb_mlp.2"];
                let table = ContinuousPositionBias::named(&attn, names, [512, count], pretrained)?;
                let attention = SelfAttention::new(
                    fused_qkv(&attn, channels)?,
                    heads(count, channels, 1.0),
                    Linear::new(&attn.pp("proj"), channels, channels, true)?,
                );
                let attention = attention.of_cosines(CosineScale::new(&attn, count)?);
                let norm = |name: &str| LayerNorm::new(&root.pp(name), channels, eps);
                let (sizes, names) = ([channels, hidden, channels], ["mlp.fc1", "mlp.fc2"]);
                let block = WindowBlock::new(
                    [norm("norm1")?, norm("norm2")?],
                    WindowAttention::new(
                        attention,
                        WindowTable::Computed(Box::new(table)),
                        [window, shift],
                        -100.0,
                    ),
                    Mlp::with_biases(Linear::new, &root, names, sizes, Activation::Gelu)?,
                );
                let mut map = case.map();
                block.normalized_after().forward(&mut map, cx)?;
                Ok(map.tokens)
            }
            Self::InvertedBlock {
                channels,
                outputs,
                expansion,
                kernel,
                stride,
                reduced,
                adds,
                activation: name,
                eps,
            } => {
                let (act, hidden) = (activation(&name), channels * expansion);
                let names = match expansion {
                    1 => [["", ""], ["conv_dw", "bn1"], ["conv_pw", "bn2"]],
                    _ => [["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]],
                };
                let excite = || {
                    let (names, acts) = (["conv_reduce", "conv_expand"], [act, Activation::Sigmoid]);
                    SqueezeExcite::named(&root.pp("se"), names, [hidden, reduced], acts)
                };
                let (sizes, window) = ([channels, hidden, outputs], Window::centered(kernel, stride));
                let block = ResidualBlock::inverted(&root, names, sizes, window, (eps, act))?;
                let block =
                    block.padded_same(true).adding(adds).excited((reduced > 0).then(excite).transpose()?);
                Ok(block.forward(case.map(), cx)?.tokens)
            }
            Self::ResidualBlock {
                channels,
                hidden,
                outputs,
                stride,
                groups,
                reduced,
                activation: name,
                shortcut,
            } => {
                let act = activation(&name);
                let layer = |conv: &str, norm: &str, sizes, window, act| {
                    ConvNorm::named(&root, [conv, norm], sizes, window, 1e-5, act)
                };
                let (one, none) = (Window::square(1, 1, 0), Activation::Identity);
                let layers = vec![
                    layer("conv1", "norm1", [channels, hidden, 1], one, act)?,
                    layer("conv2", "norm2", [hidden, hidden, groups], Window::square(3, stride, 1), act)?,
                    layer("conv3", "norm3", [hidden, outputs, 1], one, none)?,
                ];
                let projected = || {
                    let window = Window::square(1, stride, 0);
                    layer("shortcut.conv", "shortcut.norm", [channels, outputs, 1], window, none)
                };
                let excite = || {
                    let acts = [Activation::Relu, Activation::Sigmoid];
                    SqueezeExcite::named(&root.pp("se"), ["fc1", "fc2"], [hidden, reduced], acts)
                };
                let block = ResidualBlock::new(layers, shortcut.then(projected).transpose()?, act);
                let block = block.excited((reduced > 0).then(excite).transpose()?);
                Ok(block.forward(case.map(), cx)?.tokens)
            }
        }
    }
}
