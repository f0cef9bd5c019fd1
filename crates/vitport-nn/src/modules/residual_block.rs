//! Defines ResNet's block, of which MobileNet's inverted one is made of the same parts.

use super::batch_norm::BatchNorm2d;
use super::conv2d::Conv2d;
use super::feature_map::FeatureMap;
use super::squeeze_excite::SqueezeExcite;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::kernels::convolution::{Grid, Window};
use crate::network::Context;
use crate::scope::Scope;

/// Computes act(norm(conv(x))), with a convolution without bias. [`Activation::Identity`] leaves it as it is.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
    activation: Activation,
}

impl ConvNorm {
    /// Makes the layers under these names, with an epsilon of `eps`, of a convolution from `channels` to `outputs` in `groups`.
    ///
    /// # Errors
    /// Returns what [`Conv2d::grouped`] and [`BatchNorm2d::new`] do.
    pub fn named(
        scope: &Scope,
        [conv, norm]: [&str; 2],
        [channels, outputs, groups]: [usize; 3],
        window: Window,
        eps: f64,
        activation: Activation,
    ) -> Result<Self, ForwardError> {
        let conv = Conv2d::grouped(&scope.pp(conv), channels, outputs, groups, window, false)?;
        Ok(Self { conv, norm: BatchNorm2d::new(&scope.pp(norm), outputs, eps)?, activation })
    }

    /// Makes the three layers of ResNet's bottleneck (He et al. 2015, arXiv:1512.03385, figure 5; with groups Radosavovic et al. 2020,
    /// arXiv:2003.13678, figure 4), with an epsilon of `eps`: a 1 × 1 convolution to `inner` channels, a 3 × 3 one in `groups`, both with
    /// these strides, and a 1 × 1 one without activation. `names` has those of each convolution and its norm.
    ///
    /// # Errors
    /// Returns what [`ConvNorm::named`] does.
    pub fn bottleneck(
        scope: &Scope,
        names: [[&str; 2]; 3],
        [inputs, inner, outputs]: [usize; 3],
        (groups, strides): (usize, [usize; 2]),
        (eps, act): (f64, Activation),
    ) -> Result<Vec<Self>, ForwardError> {
        let ([first, second, third], [one, three]) = (names, strides);
        let layer = |names, sizes, window, act| Self::named(scope, names, sizes, window, eps, act);
        Ok(vec![
            layer(first, [inputs, inner, 1], Window::centered(1, one), act)?,
            layer(second, [inner, inner, groups], Window::centered(3, three), act)?,
            layer(third, [inner, outputs, 1], Window::centered(1, 1), Activation::Identity)?,
        ])
    }

    /// Makes the 1 × 1 convolution of a shortcut, without activation; none where channels and size stay.
    ///
    /// # Errors
    /// Returns what [`ConvNorm::named`] does.
    pub fn shortcut(
        scope: &Scope,
        names: [&str; 2],
        [inputs, outputs]: [usize; 2],
        stride: usize,
        eps: f64,
    ) -> Result<Option<Self>, ForwardError> {
        let (window, none) = (Window::centered(1, stride), Activation::Identity);
        let new = || Self::named(scope, names, [inputs, outputs, 1], window, eps, none);
        (inputs != outputs || stride != 1).then(new).transpose()
    }

    /// Returns the layers with TensorFlow's padding `SAME` in place of the window's, or as they are.
    #[must_use]
    pub fn padded_same(self, pads_same: bool) -> Self {
        Self { conv: self.conv.padded_same(pads_same), ..self }
    }

    /// Returns the map that comes out.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing, or the grid has other channels or is smaller than the kernel.
    pub fn forward(&self, grid: Grid<'_>, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let convolved = self.conv.forward(grid, cx)?;
        self.norm.forward(convolved, self.activation, cx)
    }
}

/// Computes act(layers(x) + shortcut(x)), with a squeeze and excitation before the last layer if there is one (He et al. 2015,
/// arXiv:1512.03385, figure 5; Radosavovic et al. 2020, arXiv:2003.13678, figure 4), or act(layers(x)) (Tan and Le 2019,
/// arXiv:1905.11946, where channels or the size change).
#[derive(Debug, Clone)]
pub struct ResidualBlock {
    layers: Vec<ConvNorm>,
    excite: Option<SqueezeExcite>,
    shortcut: Option<ConvNorm>,
    adds: bool,
    activation: Activation,
}

impl ResidualBlock {
    /// Puts the layers together. Without a shortcut, x itself is added.
    pub fn new(layers: Vec<ConvNorm>, shortcut: Option<ConvNorm>, activation: Activation) -> Self {
        Self { layers, excite: None, shortcut, adds: true, activation }
    }

    /// Makes MobileNet's inverted block (Sandler et al. 2018, arXiv:1801.04381, table 1; Tan and Le 2019, arXiv:1905.11946), with an
    /// epsilon of `eps`: a 1 × 1 convolution to `hidden` channels, unless these are as many as come in, a depth-wise one with this
    /// window, and a 1 × 1 convolution without activation. `names` has those of each convolution and its norm.
    ///
    /// # Errors
    /// Returns what [`ConvNorm::named`] does.
    pub fn inverted(
        scope: &Scope,
        names: [[&str; 2]; 3],
        [inputs, hidden, outputs]: [usize; 3],
        window: Window,
        (eps, act): (f64, Activation),
    ) -> Result<Self, ForwardError> {
        let layer = |names, sizes, window, act| ConvNorm::named(scope, names, sizes, window, eps, act);
        let ([expand, depthwise, project], one) = (names, Window::centered(1, 1));
        let mut layers = Vec::new();
        if hidden != inputs {
            layers.push(layer(expand, [inputs, hidden, 1], one, act)?);
        }
        layers.push(layer(depthwise, [hidden, hidden, hidden], window, act)?);
        layers.push(layer(project, [hidden, outputs, 1], one, Activation::Identity)?);
        Ok(Self::new(layers, None, Activation::Identity))
    }

    /// Returns the block with TensorFlow's padding `SAME` in place of that of its windows, or as it is.
    #[must_use]
    pub fn padded_same(self, pads_same: bool) -> Self {
        let layers = self.layers.into_iter().map(|layer| layer.padded_same(pads_same)).collect();
        Self { layers, ..self }
    }

    /// Returns the block with a squeeze and excitation, or without.
    #[must_use]
    pub fn excited(self, excite: Option<SqueezeExcite>) -> Self {
        Self { excite, ..self }
    }

    /// Returns the block that adds its shortcut, or nothing.
    #[must_use]
    pub fn adding(self, adds: bool) -> Self {
        Self { adds, ..self }
    }

    /// Returns the map that comes out.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has other channels.
    pub fn forward(&self, map: FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let mut branch: Option<FeatureMap> = None;
        for (number, layer) in self.layers.iter().enumerate() {
            if let (Some(excite), true) = (&self.excite, number + 1 == self.layers.len())
                && let Some(reached) = branch.take()
            {
                branch = Some(excite.forward(reached, cx)?);
            }
            let next = layer.forward(branch.as_ref().unwrap_or(&map).grid()?, cx)?;
            if let Some(reached) = branch.replace(next) {
                cx.recycle(reached.tokens);
            }
        }
        if let Some(mut out) = branch.take_if(|_| !self.adds) {
            cx.recycle(map.tokens);
            self.activation.apply(&mut out.tokens);
            return Ok(out);
        }
        let shortcut = match &self.shortcut {
            Some(shortcut) => {
                let projected = shortcut.forward(map.grid()?, cx)?;
                cx.recycle(map.tokens);
                projected
            }
            None => map,
        };
        let Some(mut out) = branch else { return Ok(shortcut) };
        out.tokens.add(&shortcut.tokens)?;
        cx.recycle(shortcut.tokens);
        self.activation.apply(&mut out.tokens);
        Ok(out)
    }
}
