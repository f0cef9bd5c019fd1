//! transformers' `RadioModel` (models/radio/modeling_radio.py, 5.23.0), names as they lie on disk, which the class renames when it
//! loads them (conversion_mapping.py 403–417).

use serde::Deserialize;

use super::super::build;
use super::encoder::{self, EncoderConfig};
use super::{OneClass, Task, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerScale, Linear, Matrix, Outputs, Parameter, Pixels,
    Positions, Scope, mean_of_rows, prepend, without_leading,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/radio",
    class: "RadioModel",
    task: |_| Task::Features {
        loader: "AutoModel",
        output: "summary",
        remark: Some("`summary` is the class token after the last layer."),
    },
    defaults: |config| {
        let mut defaults = exported_defaults(include_str!("../../../data/transformers/radio.v5.json"));
        // `RadioConfig.__post_init__` derives it.
        defaults.remove("patch_dim");
        if let Some(value) = config.get("patch_dim") {
            defaults.insert("patch_dim".to_owned(), value.clone());
        }
        defaults
    },
    // Version 5 has none for this model_type.
    ignored_keys: &["layerscale_value", "patch_dim", "video_patch_dim"],
    build: |config| build("RadioConfig", config, RadioModel::new),
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct RadioConfig {
    #[serde(flatten)]
    encoder: EncoderConfig,
    mlp_ratio: f64,
    use_swiglu_ffn: bool,
    qkv_bias: bool,
    max_img_size: usize,
    num_cls_tokens: usize,
    num_registers: usize,
    video_temporal_patch_size: Option<usize>,
    summary_idxs: Vec<usize>,
}

struct RadioModel {
    input: [usize; 3],
    patch_size: usize,
    norm_mean: Parameter,
    norm_std: Parameter,
    /// Are the numbers of the class tokens that are put into the summary: of the first.
    _summary_idxs: Parameter,
    embedder: Linear,
    pos_embed: Parameter,
    prefix_tokens: Parameter,
    /// Counts them.
    prefix: usize,
    layers: Vec<EncoderBlock>,
}

impl RadioModel {
    fn new(root: &Scope, config: &RadioConfig) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, num_channels: channels, .. } =
            config.encoder;
        let (image_size, patch_size) = config.encoder.edges()?;
        let refusals = [
            (config.use_swiglu_ffn, "use_swiglu_ffn is true, and only the plain MLP can be run"),
            (config.video_temporal_patch_size.is_some(), "videos cannot be run"),
            (
                config.max_img_size != image_size,
                "max_img_size is not image_size, and positions are not resampled",
            ),
            (
                config.num_cls_tokens != 1 || config.summary_idxs != [0],
                "there is not one class token as the summary",
            ),
            (patch_size == 0, "patch_size is 0"),
        ];
        if let Some((_, detail)) = refusals.into_iter().find(|(is_so, _)| *is_so) {
            return Err(ForwardError::config(detail.to_owned()));
        }
        let conditioner = root.pp("radio_model.input_conditioner");
        let generator = root.pp("radio_model.model.patch_generator");
        let side = image_size.checked_div(patch_size).unwrap_or(0);
        let patch_dim = channels.saturating_mul(patch_size).saturating_mul(patch_size);
        let prefix = config.num_registers.saturating_add(1);
        Ok(Self {
            input: [channels, image_size, image_size],
            patch_size,
            norm_mean: conditioner.buffer("norm_mean", &[channels, 1, 1])?,
            norm_std: conditioner.buffer("norm_std", &[channels, 1, 1])?,
            _summary_idxs: root.buffer("radio_model.summary_idxs", &[1])?,
            embedder: Linear::new(&generator.pp("embedder"), patch_dim, width, false)?,
            pos_embed: generator.parameter("pos_embed", &[1, side.saturating_mul(side), width])?,
            prefix_tokens: generator.parameter("cls_token.token", &[prefix, width])?,
            prefix,
            layers: root.list("radio_model.model.blocks", depth, |scope, _| layer(scope, config))?,
        })
    }

    /// Computes `RadioInputConditioner` and `_image_to_patches`: [rows × columns, channels × height × width of a patch].
    fn patches(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let [channels, height, width] = self.input;
        if pixels.shape() != self.input {
            return Err(ForwardError::Input { expected: self.input, found: pixels.shape() });
        }
        let (mean, std) = (self.norm_mean.read(cx.weights())?, self.norm_std.read(cx.weights())?);
        let patch = self.patch_size;
        let (rows, columns) = (height / patch.max(1), width / patch.max(1));
        let mut values = Vec::with_capacity(pixels.values().len());
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for ((channel, mean), std) in (0..channels).zip(&mean).zip(&std) {
                for y in row.saturating_mul(patch)..row.saturating_add(1).saturating_mul(patch) {
                    let first = channel
                        .saturating_mul(height)
                        .saturating_add(y)
                        .saturating_mul(width)
                        .saturating_add(column.saturating_mul(patch));
                    let line = pixels.values().get(first..first.saturating_add(patch)).unwrap_or_default();
                    values.extend(line.iter().map(|value| (value - mean) / std));
                }
            }
        }
        let patch_dim = channels.saturating_mul(patch).saturating_mul(patch);
        Matrix::from_values(rows.saturating_mul(columns), patch_dim, values)
    }
}

/// Builds `RadioLayer`.
fn layer(scope: &Scope, config: &RadioConfig) -> Result<EncoderBlock, ForwardError> {
    let width = config.encoder.hidden_size;
    let scale = |name: &str| LayerScale::new(&scope.pp(name), "lambda1", width).map(Some);
    let attention = config.encoder.fused_attention(&scope.pp("attn"), config.qkv_bias)?;
    let hidden = (width as f64 * config.mlp_ratio) as usize;
    let mlp = config.encoder.mlp(scope, ["mlp.fc1", "mlp.fc2"], hidden)?;
    let scales = [scale("layer_scale1")?, scale("layer_scale2")?];
    config.encoder.block(scope, ["norm1", "norm2"], attention, mlp, scales)
}

impl Forward for RadioModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patches(pixels, cx)?;
        let mut patches = self.embedder.forward(&patches, cx)?;
        patches.add_values(&self.pos_embed.read(cx.weights())?)?;
        let prefix = self.prefix_tokens.read(cx.weights())?;
        let mut hidden_states = prepend(&prefix, patches, cx)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
        let mut outputs = Outputs::new();
        outputs.push("summary", hidden_states.row(0).unwrap_or_default());
        let features = without_leading(&hidden_states, self.prefix)?;
        outputs.push("features.mean(1)", mean_of_rows(&features));
        Ok(outputs)
    }
}
