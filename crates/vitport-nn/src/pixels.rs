//! Defines what a network is given: float32 pixels, planar.

/// Holds pixels as a network takes them, [channels, height, width] with three channels red, green, blue.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Pixels {
    /// Gives the number of channels.
    pub const CHANNELS: usize = 3;

    /// Makes pixels over `values` [3, height, width]; none when there are not exactly that many, or none at all.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Option<Self> {
        let elements = height.checked_mul(width)?.checked_mul(Self::CHANNELS)?;
        (elements == values.len() && elements > 0).then_some(Self { height, width, values })
    }

    /// Returns [channels, height, width].
    pub fn shape(&self) -> [usize; 3] {
        [Self::CHANNELS, self.height, self.width]
    }

    /// Returns all values, channel after channel and row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
