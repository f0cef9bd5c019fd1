//! Makes a row's module from its parameters and runs it.

use serde::Deserialize;
use serde_json::Value;
use vitport_nn::{
    Activation, Attention, AttentionPool, AvgPool2d, BatchNorm2d, BiasedBlocks, Context,
    ContinuousPositionBias, Conv2d, ConvNorm, CosineScale, EncoderBlock, FeatureMap, FeedForward,
    ForwardError, Gate, GatedMlp, GlobalResponseNorm, Grid, GridLayout, Heads, LayerNorm, LayerScale, Linear,
    Matrix, MaxPool2d, Mlp, Norm, PatchEmbed, PatchMerging, Pixels, PoolQkv, PositionBias, Positions, Qkv,
    RelativePositionBias, ResidualBlock, RmsNorm, Rotation, Scope, SelfAttention, SqueezeExcite, Window,
    WindowAttention, WindowBlock, WindowTable, mean_of_rows, on_the_pool, prepend,
};

use crate::case::Case;

/// A module and its parameters, as in the table. What only the inputs depend on is not read.
#[derive(Deserialize)]
#[serde(tag = "module", rename_all = "snake_case")]
enum Module {
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
    PooledAttention {
        width: usize,
        heads: usize,
        hidden: usize,
        activation: String,
        eps: f64,
        fused: bool,
    },
    SelfAttention {
        width: usize,
        heads: usize,
        scale: f32,
        fused: bool,
        bias: bool,
    },
    Attention {
        width: usize,
        heads: usize,
        scale: f32,
    },
    BiasedAttention {
        width: usize,
        heads: usize,
        grid: (usize, usize),
        shared: bool,
    },
    RotatedAttention {
        width: usize,
        heads: usize,
        grid: (usize, usize),
        theta: f64,
        fused: bool,
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

fn activation(name: &str) -> Activation {
    match name {
        "identity" => Activation::Identity,
        "gelu" => Activation::Gelu,
        "quick_gelu" => Activation::QuickGelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "hard_sigmoid" => Activation::HardSigmoid,
        "hard_swish" => Activation::HardSwish,
        "mish" => Activation::Mish,
        other => panic!("{other:?} is not an activation"),
    }
}

fn heads(count: usize, width: usize, scale: f32) -> Heads {
    Heads { scale, ..Heads::of_width(count, width) }
}

fn fused_qkv(root: &Scope, width: usize) -> Result<Qkv, ForwardError> {
    Ok(Qkv::FusedWithBiases {
        layer: Linear::new(&root.pp("qkv"), width, 3 * width, false)?,
        query_bias: root.parameter("q_bias", &[width])?,
        value_bias: root.parameter("v_bias", &[width])?,
    })
}

fn fused_with_biases(root: &Scope, width: usize, count: usize) -> Result<SelfAttention, ForwardError> {
    let qkv = fused_qkv(root, width)?;
    let proj = Linear::new(&root.pp("proj"), width, width, true)?;
    Ok(SelfAttention::new(qkv, Heads::of_width(count, width), proj))
}

impl Case {
    fn parameter<T: serde::de::DeserializeOwned>(&self, name: &str) -> T {
        serde_json::from_value(self.parameters[name].clone()).unwrap()
    }

    fn window(&self) -> Window {
        Window {
            kernel: self.parameter("kernel"),
            stride: self.parameter("stride"),
            padding: self.parameter("padding"),
            extra: (0, 0),
        }
    }

    fn grid(&self, channels: usize, layout: &str) -> Result<Grid<'_>, ForwardError> {
        let layout = if layout == "planar" { GridLayout::Planar } else { GridLayout::Interleaved };
        let (height, width) = (self.parameter("height"), self.parameter("width"));
        Grid::new(self.values("x"), channels, height, width, layout)
    }

    fn map(&self) -> FeatureMap {
        FeatureMap {
            tokens: self.matrix("x"),
            height: self.parameter("height"),
            width: self.parameter("width"),
        }
    }
}

/// Makes the module and runs it on the row's inputs and weights.
pub fn run(case: &Case) -> Result<Matrix, ForwardError> {
    let module: Module = serde_json::from_value(Value::Object(case.parameters.clone())).unwrap();
    let weights = case.weights();
    on_the_pool(|| {
        let mut observer = ();
        module.forward(case, &mut Context::new(&weights, &mut observer))
    })
}

impl Module {
    fn forward(self, case: &Case, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
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
            Self::PooledAttention { width, heads, hidden, activation: name, eps, fused } => {
                let linear = |name: &str, outputs| Linear::new(&root.pp(name), width, outputs, true);
                let sizes = [width, hidden, width];
                let mlp =
                    Mlp::with_biases(Linear::new, &root, ["mlp.fc1", "mlp.fc2"], sizes, activation(&name))?;
                let heads = Heads::of_width(heads, width);
                let shape = [1, 1, width];
                let pool = if fused {
                    let names = ["in_proj_weight", "in_proj_bias"];
                    let qkv = Linear::named(&root.pp("attention"), names, width, 3 * width)?;
                    AttentionPool::new(
                        root.parameter("probe", &shape)?,
                        PoolQkv::Fused(qkv),
                        heads,
                        linear("attention.out_proj", width)?,
                        LayerNorm::new(&root.pp("layernorm"), width, eps)?,
                        mlp,
                    )
                } else {
                    AttentionPool::new(
                        root.parameter("latent", &shape)?,
                        PoolQkv::QueryAndRest(linear("q", width)?, linear("kv", 2 * width)?),
                        heads,
                        linear("proj", width)?,
                        LayerNorm::new(&root.pp("norm"), width, eps)?,
                        mlp,
                    )
                };
                pool.forward(&case.matrix("x"), cx)
            }
            Self::SelfAttention { width, heads: count, scale, fused, bias } => {
                let linear = |name: &str, outputs| Linear::new(&root.pp(name), width, outputs, bias);
                let qkv = if fused {
                    Qkv::Fused(linear("qkv", 3 * width)?)
                } else {
                    Qkv::Separate([linear("query", width)?, linear("key", width)?, linear("value", width)?])
                };
                let proj = Linear::new(&root.pp("proj"), width, width, true)?;
                SelfAttention::new(qkv, heads(count, width, scale), proj).forward(&case.matrix("x"), cx)
            }
            Self::Attention { width, heads: count, scale } => {
                let proj = Linear::new(&root.pp("proj"), width, width, true)?;
                let attention = Attention::new(heads(count, width, scale), proj);
                attention.forward(case.matrix("q"), case.matrix("k"), case.matrix("v"), cx)
            }
            Self::BiasedAttention { width, heads: count, grid, shared } => {
                let table = RelativePositionBias::new(&root, grid, count)?.read(cx)?;
                let shared = shared.then(|| RelativePositionBias::new(&root.pp("shared"), grid, count));
                let shared = shared.transpose()?.map(|table| table.read(cx)).transpose()?;
                let table = PositionBias::sum(Some(table), shared.as_ref()).unwrap();
                let attention = fused_with_biases(&root, width, count)?;
                attention.forward_at(&case.matrix("x"), Positions::Biased(&table), cx)
            }
            Self::RotatedAttention { width, heads: count, grid, theta, fused } => {
                let attention = if fused {
                    fused_with_biases(&root, width, count)?
                } else {
                    let linear = |name: &str, bias| Linear::new(&root.pp(name), width, width, bias);
                    let separate =
                        [linear("q_proj", true)?, linear("k_proj", false)?, linear("v_proj", true)?];
                    SelfAttention::new(
                        Qkv::Separate(separate),
                        Heads::of_width(count, width),
                        linear("proj", true)?,
                    )
                };
                let rotation = Rotation::of_centers(grid, width / count, theta)?;
                attention.forward_at(&case.matrix("x"), Positions::Rotated(&rotation), cx)
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
                let table = |scope: &Scope| RelativePositionBias::new(scope, grid, heads);
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
                let (act, none) = (activation(&name), Activation::Identity);
                let (hidden, one) = (channels * expansion, Window::square(1, 1, 0));
                let layer = |conv: &str, norm: &str, sizes, window, act| {
                    ConvNorm::named(&root, [conv, norm], sizes, window, eps, act)
                };
                let depthwise = |norm: &str| {
                    layer("conv_dw", norm, [hidden, hidden, hidden], Window::centered(kernel, stride), act)
                };
                let layers = if expansion == 1 {
                    vec![
                        depthwise("bn1")?.padded_same(true),
                        layer("conv_pw", "bn2", [hidden, outputs, 1], one, none)?,
                    ]
                } else {
                    vec![
                        layer("conv_pw", "bn1", [channels, hidden, 1], one, act)?,
                        depthwise("bn2")?.padded_same(true),
                        layer("conv_pwl", "bn3", [hidden, outputs, 1], one, none)?,
                    ]
                };
                let excite = || {
                    let (names, acts) = (["conv_reduce", "conv_expand"], [act, Activation::Sigmoid]);
                    SqueezeExcite::named(&root.pp("se"), names, [hidden, reduced], acts)
                };
                let block = ResidualBlock::new(layers, None, none).adding(adds);
                let block = block.excited((reduced > 0).then(excite).transpose()?);
                Ok(block.forward(case.map(), cx)?.tokens)
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
