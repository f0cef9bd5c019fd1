//! Defines what a network is given: float32 pixels, planar.

/// Holds pixels as a network takes them, [channels, height, width]; three channels are red, green, blue.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Pixels {
    /// Makes pixels over `values` [3, height, width]; none when there are not exactly that many, or none at all.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Option<Self> {
        Self::with_shape([3, height, width], values)
    }

    /// Makes pixels over `values` of a shape [channels, height, width]; none when there are not exactly that many, or none at all.
    pub fn with_shape(shape: [usize; 3], values: Vec<f32>) -> Option<Self> {
        let [channels, height, width] = shape;
        let elements = height.checked_mul(width)?.checked_mul(channels)?;
        (elements == values.len() && elements > 0).then_some(Self { shape, values })
    }

    /// Returns the first channel alone.
    pub fn first_channel(self) -> Self {
        let Self { shape: [_, height, width], mut values } = self;
        values.truncate(height.saturating_mul(width));
        Self { shape: [1, height, width], values }
    }

    /// Returns [channels, height, width].
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Returns all values, channel after channel and row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
