//! `patch_embed` and `_pos_embed`: patches, positions, and the tokens before the patches.

use super::config::Config;
use super::norm;
use crate::nn::{Context, ForwardError, Matrix, Norm, Parameter, PatchEmbed, Pixels, Scope, prepend};

pub(super) struct Embeddings {
    patch_embed: PatchEmbed,
    norm: Option<Norm>,
    /// Lists class token, registers and distillation token, as far as there are any, in their order.
    prefix: Vec<Parameter>,
    pos_embed: Option<Parameter>,
    no_embed_class: bool,
}

impl Embeddings {
    pub(super) fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let (dim, channels) = (config.embed_dim, config.in_chans);
        let [height, width] = config.img_size;
        let (proj, input) = (scope.pp("patch_embed.proj"), [channels, height, width]);
        let patch_bias = config.patch_bias.unwrap_or(!config.pre_norm);
        let patch_embed = PatchEmbed::new(&proj, input, config.patch_size.into(), dim, patch_bias)?;
        let embedded = if config.no_embed_class { 0 } else { config.prefix_tokens() };
        let positions = patch_embed.count().saturating_add(embedded);
        let prefix = [
            ("cls_token", usize::from(config.class_token)),
            ("reg_token", config.reg_tokens),
            ("dist_token", usize::from(config.dist_token)),
        ];
        let prefix = prefix.into_iter().filter(|(_, count)| *count > 0);
        let norm = || norm::new(&scope.pp("patch_embed.norm"), config, dim);
        Ok(Self {
            prefix: prefix
                .map(|(name, count)| scope.parameter(name, &[1, count, dim]))
                .collect::<Result<_, _>>()?,
            pos_embed: config
                .pos_embed
                .then(|| scope.parameter("pos_embed", &[1, positions, dim]))
                .transpose()?,
            patch_embed,
            norm: config.patch_norm.then(norm).transpose()?,
            no_embed_class: config.no_embed_class,
        })
    }

    pub(super) fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let patches = self.patch_embed.forward(pixels, cx)?;
        let mut tokens = norm::forward_if(self.norm.as_ref(), patches, cx)?;
        let read = |parameter: &Parameter| parameter.read(cx.weights());
        let positions = self.pos_embed.as_ref().map(read).transpose()?;
        let prefix = self.prefix.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat();
        if let (Some(positions), true) = (&positions, self.no_embed_class) {
            tokens.add_values(positions)?;
        }
        if !prefix.is_empty() {
            tokens = prepend(&prefix, tokens, cx)?;
        }
        if let (Some(positions), false) = (&positions, self.no_embed_class) {
            tokens.add_values(positions)?;
        }
        Ok(tokens)
    }
}
