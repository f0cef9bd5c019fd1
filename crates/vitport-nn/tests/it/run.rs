//! Makes a row's module from its parameters and runs it.

use serde::Deserialize;
use serde_json::Value;
use vitport_nn::{
    Activation, Context, FeatureMap, ForwardError, Grid, GridLayout, Heads, Linear, Matrix, Qkv, Scope,
    SelfAttention, Window, on_the_pool,
};

use crate::attention::AttentionModule;
use crate::blocks::BlockModule;
use crate::case::Case;
use crate::layers::Layer;

/// A module of the table.
#[derive(Deserialize)]
#[serde(untagged)]
enum Module {
    Layer(Layer),
    Attention(AttentionModule),
    Block(BlockModule),
}

/// Returns the activation of a name in the table.
pub fn activation(name: &str) -> Activation {
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

/// Returns heads of another scale than is usual.
pub fn heads(count: usize, width: usize, scale: f32) -> Heads {
    Heads { scale, ..Heads::of_width(count, width) }
}

/// Returns the layer with the query's and the value's biases apart.
pub fn fused_qkv(root: &Scope, width: usize) -> Result<Qkv, ForwardError> {
    Ok(Qkv::FusedWithBiases {
        layer: Linear::new(&root.pp("qkv"), width, 3 * width, false)?,
        query_bias: root.parameter("q_bias", &[width])?,
        value_bias: root.parameter("v_bias", &[width])?,
    })
}

/// Returns attention with such a layer.
pub fn fused_with_biases(root: &Scope, width: usize, count: usize) -> Result<SelfAttention, ForwardError> {
    let qkv = fused_qkv(root, width)?;
    let proj = Linear::new(&root.pp("proj"), width, width, true)?;
    Ok(SelfAttention::new(qkv, Heads::of_width(count, width), proj))
}

impl Case {
    pub fn parameter<T: serde::de::DeserializeOwned>(&self, name: &str) -> T {
        serde_json::from_value(self.parameters[name].clone()).unwrap()
    }

    pub fn window(&self) -> Window {
        Window {
            kernel: self.parameter("kernel"),
            stride: self.parameter("stride"),
            padding: self.parameter("padding"),
            extra: (0, 0),
        }
    }

    pub fn grid(&self, channels: usize, layout: &str) -> Result<Grid<'_>, ForwardError> {
        let layout = if layout == "planar" { GridLayout::Planar } else { GridLayout::Interleaved };
        let (height, width) = (self.parameter("height"), self.parameter("width"));
        Grid::new(self.values("x"), channels, height, width, layout)
    }

    pub fn map(&self) -> FeatureMap {
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
        let cx = &mut Context::new(&weights, &mut observer);
        match module {
            Module::Layer(layer) => layer.forward(case, cx),
            Module::Attention(attention) => attention.forward(case, cx),
            Module::Block(block) => block.forward(case, cx),
        }
    })
}
