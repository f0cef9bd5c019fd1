//! What the weights of an EfficientNet show of its stages: each block's channels, kernel and expansion, and whether all blocks of a
//! stage are as transformers' class makes them of one entry of its lists.

use super::super::super::source::{Inquiry, axes};
use super::FAMILY;
use crate::facts::{Evidence, FactError};
use crate::mapping::{Sources, efficientnet};

/// Limits the stages and the blocks in one that are looked at.
const MOST: u64 = 64;

/// Describes a block.
struct Block {
    inputs: u64,
    outputs: u64,
    hidden: u64,
    /// Channels that a channel of the depth-wise convolution sees.
    in_group: u64,
    kernel: [u64; 2],
    /// Channels in its squeeze-excite, 0 without one.
    reduced: u64,
    /// Whether there is a convolution before the depth-wise one.
    expands: bool,
}

impl Block {
    fn read(tensors: &Sources, name: &str) -> Result<Self, FactError> {
        let kernel = |convolution: &str| axes::<4>(tensors, &format!("{name}.{convolution}.weight"), FAMILY);
        let expands = tensors.has(&format!("{name}.conv_pwl.weight"));
        let [hidden, in_group, high, wide] = kernel("conv_dw")?;
        let [rows, columns, ..] = kernel("conv_pw")?;
        let outputs = if expands { kernel("conv_pwl")?[0] } else { rows };
        let has_excitation = tensors.has(&format!("{name}.se.conv_reduce.weight"));
        Ok(Self {
            inputs: if expands { columns } else { hidden },
            outputs,
            hidden,
            in_group,
            kernel: [high, wide],
            reduced: if has_excitation { kernel("se.conv_reduce")?[0] } else { 0 },
            expands,
        })
    }

    /// Returns by how much it widens its input, if that is a whole number: 1 stands for no convolution that does.
    fn expansion(&self) -> Option<u64> {
        let ratio = self.hidden.checked_div(self.inputs)?;
        let is_it = ratio.checked_mul(self.inputs) == Some(self.hidden) && (ratio > 1) == self.expands;
        is_it.then_some(ratio)
    }
}

/// Reads all blocks.
pub(super) fn read(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let mut stages = Vec::new();
    for stage in 0..tensors.count_indices("blocks.").min(MOST) {
        let numbers = 0..tensors.count_indices(&format!("blocks.{stage}.")).min(MOST);
        let blocks = numbers.map(|number| Block::read(tensors, &format!("blocks.{stage}.{number}")));
        stages.push(blocks.collect::<Result<Vec<_>, _>>()?);
    }
    let firsts = || stages.iter().filter_map(|blocks| blocks.first());
    let list = |value: fn(&Block) -> u64| firsts().map(value).collect::<Vec<u64>>();
    let all = |holds: &dyn Fn(&Block) -> bool| stages.iter().flatten().all(holds);
    let alike = |same: fn(&Block, &Block) -> bool| {
        stages.iter().all(|blocks| blocks.windows(2).all(|pair| matches!(pair, [a, b] if same(a, b))))
    };
    evidence.weights("grouped", !all(&|block| block.in_group == 1), "conv_dw.weight");
    let is_whole = all(&|block| block.expansion().is_some()) && alike(|a, b| a.expansion() == b.expansion());
    evidence.weights("whole_expansions", is_whole, "conv_dw.weight");
    let widths = alike(|a, b| b.inputs == b.outputs && a.outputs == b.outputs);
    let kernels = alike(|a, b| a.kernel == b.kernel) && all(&|block| block.kernel[0] == block.kernel[1]);
    evidence.weights("alike_in_stages", widths && kernels, "conv_dw.weight");
    let changes = firsts().all(|block| block.inputs != block.outputs);
    evidence.weights("stages_change_channels", changes, "conv_pw.weight");
    let has_excitation = !all(&|block| block.reduced == 0);
    evidence.weights("se", has_excitation, "se.conv_reduce.weight");
    let is_usual = |block: &Block| !has_excitation || block.reduced.saturating_mul(4) == block.inputs;
    evidence.weights("usual_excitation", all(&is_usual), "se.conv_reduce.weight");
    evidence.weights("out_chs", list(|block| block.outputs), "conv_pw.weight");
    evidence.weights("in_chs", list(|block| block.inputs), "conv_dw.weight");
    evidence.weights("kernels", list(|block| block.kernel[0]), "conv_dw.weight");
    evidence.weights("expansions", list(|block| block.expansion().unwrap_or(0)), "conv_dw.weight");
    if let [a, b, c, _, e, _, g] = list(|block| block.outputs)[..] {
        evidence.weights("num_chs", [a, b, c, e, g].to_vec(), "conv_pw.weight");
    }
    let [stem, ..] = axes::<4>(tensors, "conv_stem.weight", FAMILY)?;
    let [last, ..] = axes::<4>(tensors, "conv_head.weight", FAMILY)?;
    let is_usual = efficientnet::rounded(32, efficientnet::width(last)) == stem;
    evidence.weights("usual_stem", is_usual, "conv_stem.weight");
    Ok(true)
}
