//! Makes networks with random weights, in the sources' own tensor names: small enough to be verified by the hundred, lively
//! enough that attention is far from uniform and the outputs depend on the image.

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use std::path::Path;

/// Generates random numbers: a linear congruential generator (Knuth's MMIX constants), its upper bits, and the sum of twelve
/// uniform numbers for a normal one.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// Holds a state dict that is being filled.
pub struct StateDict {
    random: Random,
    tensors: Vec<(String, Vec<usize>, Vec<f64>)>,
}

impl StateDict {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), tensors: Vec::new() }
    }

    fn add(&mut self, name: impl Into<String>, shape: &[usize], mean: f64, deviation: f64) {
        let count = shape.iter().product();
        let values = (0..count).map(|_| mean + deviation * self.random.normal()).collect();
        self.tensors.push((name.into(), shape.to_vec(), values));
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize, gain: f64) {
        self.add(format!("{name}.weight"), &[outputs, inputs], 0.0, gain / (inputs as f64).sqrt());
        self.add(format!("{name}.bias"), &[outputs], 0.0, 0.2);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width], 1.0, 0.2);
        self.add(format!("{name}.bias"), &[width], 0.0, 0.2);
    }

    /// Writes it in a float dtype; what counts batches stays whole numbers.
    pub fn write(&self, path: &Path, dtype: Dtype) {
        let written = self.tensors.iter().map(|(name, shape, values)| {
            let values = values.iter().map(|value| *value as f32);
            let (dtype, bytes): (Dtype, Vec<u8>) = match dtype {
                _ if name.ends_with("num_batches_tracked") => (Dtype::I64, vec![0; 8]),
                Dtype::F16 => (dtype, values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect()),
                Dtype::BF16 => {
                    (dtype, values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect())
                }
                _ => (dtype, values.flat_map(f32::to_le_bytes).collect()),
            };
            (name, shape, dtype, bytes)
        });
        let written: Vec<_> = written.collect();
        let views = written.iter().map(|(name, shape, dtype, bytes)| {
            (name, TensorView::new(*dtype, (*shape).clone(), bytes).unwrap())
        });
        serialize_to_file(views, None, path).unwrap();
    }
}

/// Width of a token of the ViT.
const WIDTH: usize = 48;

/// Makes timm's ViT: 32 pixels, patches of 8, three layers, three heads.
pub fn vit(seed: u64, classes: usize, layer_scale: bool) -> StateDict {
    let mut dict = StateDict::new(seed);
    dict.add("cls_token", &[1, 1, WIDTH], 0.0, 0.5);
    dict.add("pos_embed", &[1, 17, WIDTH], 0.0, 0.5);
    dict.add("patch_embed.proj.weight", &[WIDTH, 3, 8, 8], 0.0, 1.0 / 192_f64.sqrt());
    dict.add("patch_embed.proj.bias", &[WIDTH], 0.0, 0.2);
    for layer in 0..3 {
        let name = format!("blocks.{layer}");
        dict.norm(&format!("{name}.norm1"), WIDTH);
        dict.linear(&format!("{name}.attn.qkv"), 3 * WIDTH, WIDTH, 2.0);
        dict.linear(&format!("{name}.attn.proj"), WIDTH, WIDTH, 1.0);
        dict.norm(&format!("{name}.norm2"), WIDTH);
        dict.linear(&format!("{name}.mlp.fc1"), 4 * WIDTH, WIDTH, 1.0);
        dict.linear(&format!("{name}.mlp.fc2"), WIDTH, 4 * WIDTH, 1.0);
        if layer_scale {
            dict.add(format!("{name}.ls1.gamma"), &[WIDTH], 0.5, 0.3);
            dict.add(format!("{name}.ls2.gamma"), &[WIDTH], 0.5, 0.3);
        }
    }
    dict.norm("norm", WIDTH);
    if classes > 0 {
        dict.linear("head", classes, WIDTH, 1.0);
    }
    dict
}

/// Makes Microsoft's CvT: 32 pixels, widths 16, 32 and 64, one, two and three layers.
pub fn cvt(seed: u64, classes: usize) -> StateDict {
    let mut dict = StateDict::new(seed);
    let mut below = 3;
    for (stage, (width, depth, kernel)) in [(16, 1, 7), (32, 2, 3), (64, 3, 3)].into_iter().enumerate() {
        let fan_in = (below * kernel * kernel) as f64;
        let embedding = format!("stage{stage}.patch_embed");
        dict.add(
            format!("{embedding}.proj.weight"),
            &[width, below, kernel, kernel],
            0.0,
            1.0 / fan_in.sqrt(),
        );
        dict.add(format!("{embedding}.proj.bias"), &[width], 0.0, 0.2);
        dict.norm(&format!("{embedding}.norm"), width);
        if stage == 2 {
            dict.add(format!("stage{stage}.cls_token"), &[1, 1, width], 0.0, 0.5);
        }
        for layer in 0..depth {
            let name = format!("stage{stage}.blocks.{layer}");
            dict.norm(&format!("{name}.norm1"), width);
            for part in ["q", "k", "v"] {
                let projection = format!("{name}.attn.conv_proj_{part}");
                dict.add(format!("{projection}.conv.weight"), &[width, 1, 3, 3], 0.0, 0.5);
                dict.norm(&format!("{projection}.bn"), width);
                dict.add(format!("{projection}.bn.running_mean"), &[width], 0.0, 0.3);
                dict.add(format!("{projection}.bn.running_var"), &[width], 1.5, 0.1);
                dict.add(format!("{projection}.bn.num_batches_tracked"), &[], 0.0, 0.0);
                dict.linear(&format!("{name}.attn.proj_{part}"), width, width, 2.0);
            }
            dict.linear(&format!("{name}.attn.proj"), width, width, 1.0);
            dict.norm(&format!("{name}.norm2"), width);
            dict.linear(&format!("{name}.mlp.fc1"), 4 * width, width, 1.0);
            dict.linear(&format!("{name}.mlp.fc2"), width, 4 * width, 1.0);
        }
        below = width;
    }
    dict.norm("norm", below);
    dict.linear("head", classes, below, 1.0);
    dict
}
