//! Computes the innermost part of a matrix product: sums of products for a few rows times a few vectors of columns are kept in
//! registers while all terms go by, so that every value that is loaded is used many times. Written for any vector width with
//! pulp, which chooses the instructions at run time.

use pulp::{Simd, WithSimd};

use super::activation::Activation;
use super::view::View;

/// Gives the rows of a tile: 6 × 4 vectors of sums leave enough of 32 registers for the operands, 6 × 2 of 16.
const TILE_ROWS: usize = 6;

/// Counts the vectors of columns in a tile.
const fn tile_vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// Says how wide a panel is on this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct PanelWidth {
    /// Gives the most columns of a panel.
    pub(super) most: usize,
    /// Gives what a width is a multiple of.
    pub(super) step: usize,
}

impl PanelWidth {
    /// Returns the widths that suit the machine.
    pub(super) fn here() -> Self {
        pulp::Arch::new().dispatch(Measure)
    }

    /// Returns the narrowest width that holds `columns`, or all that a panel can.
    pub(super) fn of(self, columns: usize) -> usize {
        columns.next_multiple_of(self.step).min(self.most)
    }
}

struct Measure;

impl WithSimd for Measure {
    type Output = PanelWidth;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> PanelWidth {
        PanelWidth { most: tile_vectors::<S>() * S::F32_LANES, step: S::F32_LANES }
    }
}

/// Says what becomes of finished sums while they are in the core's first cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish<'a> {
    /// Holds what is added to the columns of the panel.
    pub(super) bias: &'a [f32],
    /// Names the function that is applied after that.
    pub(super) activation: Activation,
}

/// Counts the terms between which a cache line is asked for ahead: as many values as it holds.
const LINE: usize = 16;

/// Asks the machine to bring a value's cache line nearer, where it can be asked.
#[inline(always)]
fn prefetch(values: &[f32], place: usize) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(sse), Some(value)) = (pulp::core_arch::x86::Sse::try_new(), values.get(place)) {
        sse._mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, place);
}

/// Multiplies rows with a panel.
#[derive(Debug)]
pub(super) struct Strip<'a, 'b, 'c> {
    /// Holds the left operand.
    pub(super) left: View<'a>,
    /// Gives its first row here; as many follow as `out` has.
    pub(super) first_row: usize,
    /// Gives the first term of the sums that the panel holds.
    pub(super) first_term: usize,
    /// Holds [terms, width] values.
    pub(super) panel: &'a [f32],
    /// Gives the width, a multiple of [`PanelWidth::step`], at most [`PanelWidth::most`].
    pub(super) width: usize,
    /// Holds the rows that the sums are put into.
    pub(super) out: &'b mut [&'c mut [f32]],
    /// Gives the first of their columns that is written; what of the panel's width reaches beyond their end is dropped.
    pub(super) first_column: usize,
    /// Says whether the sums are added to what is there.
    pub(super) accumulate: bool,
    /// Says what becomes of the sums if these are the last of their terms.
    pub(super) finish: Option<Finish<'a>>,
    /// Says what the next panel will be made of, if that is known: it is fetched into the cache meanwhile.
    pub(super) ahead: Option<View<'a>>,
}

impl WithSimd for Strip<'_, '_, '_> {
    /// Is none when the sizes do not fit.
    type Output = Option<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Option<()> {
        match self.width / S::F32_LANES {
            1 => self.tiles::<S, 1>(simd),
            2 => self.tiles::<S, 2>(simd),
            3 if tile_vectors::<S>() >= 3 => self.tiles::<S, 3>(simd),
            4 if tile_vectors::<S>() >= 4 => self.tiles::<S, 4>(simd),
            _ => None,
        }
    }
}

impl<'a> Strip<'a, '_, '_> {
    #[inline(always)]
    fn tiles<S: Simd, const VECTORS: usize>(&mut self, simd: S) -> Option<()> {
        let rows = self.out.len();
        for row in (0..rows).step_by(TILE_ROWS) {
            match rows - row {
                1 => self.tile::<S, 1, VECTORS>(simd, row)?,
                2 => self.tile::<S, 2, VECTORS>(simd, row)?,
                3 => self.tile::<S, 3, VECTORS>(simd, row)?,
                4 => self.tile::<S, 4, VECTORS>(simd, row)?,
                5 => self.tile::<S, 5, VECTORS>(simd, row)?,
                _ => self.tile::<S, TILE_ROWS, VECTORS>(simd, row)?,
            }
        }
        Some(())
    }

    /// Computes one tile, from row `row` on.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, simd: S, row: usize) -> Option<()> {
        let terms = S::as_simd_f32s(self.panel).0.as_chunks::<VECTORS>().0;
        let mut rows = [&[][..]; ROWS];
        for (offset, values) in rows.iter_mut().enumerate() {
            *values = self.left.part(self.first_row + row + offset, self.first_term, terms.len())?;
        }
        let sums = sum_products(simd, rows, terms, self.ahead_of(row, ROWS))?;
        for (out, sums) in self.out.iter_mut().skip(row).zip(&sums) {
            let (whole, rest) = S::as_mut_simd_f32s(out.get_mut(self.first_column..)?);
            if let Some(slots) = whole.first_chunk_mut::<VECTORS>() {
                // So many that they are moved in registers.
                put(simd, slots, sums, self.accumulate);
            } else {
                put(simd, whole, sums, self.accumulate);
                if let Some(sum) = sums.get(whole.len()).filter(|_| !rest.is_empty()) {
                    let before =
                        if self.accumulate { simd.partial_load_f32s(rest) } else { simd.splat_f32s(0.0) };
                    simd.partial_store_f32s(rest, simd.add_f32s(before, *sum));
                }
            }
            if let Some(finish) = self.finish {
                let part = out.get_mut(self.first_column..)?.get_mut(..finish.bias.len())?;
                finish.activation.of_sums(simd, part, finish.bias);
            }
        }
        Some(())
    }

    /// Returns the share that the tile of `count` rows from row `row` on has of what is fetched ahead, in proportion to its rows.
    #[inline(always)]
    fn ahead_of(&self, row: usize, count: usize) -> impl Iterator<Item = &'a [f32]> + Clone + use<'a> {
        let rows = self.out.len().max(1);
        let share = |row: usize| self.ahead.map_or(0, |ahead| row * ahead.rows() / rows);
        let ahead = self.ahead;
        (share(row)..share(row + count)).filter_map(move |row| {
            let ahead = ahead?;
            ahead.part(row, 0, ahead.columns())
        })
    }
}

/// Puts sums into as many slots, or adds them to what is there.
#[inline(always)]
fn put<S: Simd>(simd: S, slots: &mut [S::f32s], sums: &[S::f32s], accumulate: bool) {
    for (slot, sum) in slots.iter_mut().zip(sums) {
        *slot = if accumulate { simd.add_f32s(*slot, *sum) } else { *sum };
    }
}

/// Fills `out` with the sum over all terms for each row and each vector of columns.
#[inline(always)]
fn sum_products<'a, S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    terms: &[[S::f32s; VECTORS]],
    ahead: impl Iterator<Item = &'a [f32]> + Clone,
) -> Option<[[S::f32s; VECTORS]; ROWS]> {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (number, terms) in terms.chunks(LINE).enumerate() {
        let first = number * LINE;
        ahead.clone().for_each(
            #[inline(always)]
            |values| prefetch(values, first),
        );
        let mut part = [&[][..]; ROWS];
        for (part, row) in part.iter_mut().zip(rows) {
            *part = row.get(first..)?.get(..terms.len())?;
        }
        for (term, columns) in terms.iter().enumerate() {
            for (row, sums) in part.iter().zip(&mut sums) {
                let value = simd.splat_f32s(*row.get(term)?);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = simd.mul_add_e_f32s(value, *column, *sum);
                }
            }
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests every number of rows, of vectors and of columns left over, on one kind of vectors.
    fn check<S: Simd>(simd: S) {
        let terms = 9;
        let value = |seed: usize| ((seed * 37 + 11) % 19) as f32 - 9.0;
        for vectors in 1..=tile_vectors::<S>() {
            let width = vectors * S::F32_LANES;
            let panel: Vec<f32> = (0..terms * width).map(value).collect();
            for (rows, columns) in (1..=2 * TILE_ROWS + 1)
                .flat_map(|rows| (width - S::F32_LANES + 1..=width + 2).map(move |columns| (rows, columns)))
            {
                let values: Vec<f32> = (0..(rows + 2) * 12).map(|seed| value(seed + 5)).collect();
                let left = View::new(&values, 0, rows + 2, 11, 12).unwrap();
                let mut out = vec![0.5; rows * columns];
                let mut slots: Vec<&mut [f32]> = out.chunks_mut(columns).collect();
                for accumulate in [false, true] {
                    let strip = Strip {
                        left,
                        first_row: 2,
                        first_term: 2,
                        panel: &panel,
                        width,
                        out: &mut slots,
                        first_column: 0,
                        accumulate,
                        finish: None,
                        ahead: Some(left),
                    };
                    simd.vectorize(strip).unwrap();
                }
                for (row, out) in out.chunks(columns).enumerate() {
                    for (column, out) in out.iter().enumerate() {
                        let sum: f32 = (0..terms)
                            .filter(|_| column < width)
                            .map(|term| values[(row + 2) * 12 + 2 + term] * panel[term * width + column])
                            .sum();
                        let expected = if column < width { 2.0 * sum } else { 0.5 };
                        assert_eq!(*out, expected, "{rows} × {columns} of {width}: {row}, {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_of_every_size_on_every_kind_of_vectors() {
        check(pulp::Scalar::new());
        #[cfg(target_arch = "x86_64")]
        {
            pulp::x86::V3::try_new().into_iter().for_each(check);
            pulp::x86::V4::try_new().into_iter().for_each(check);
        }
        #[cfg(target_arch = "aarch64")]
        pulp::aarch64::Neon::try_new().into_iter().for_each(check);
    }

    #[test]
    fn sizes_that_do_not_fit_are_none() {
        let values = [0.0; 12];
        let left = View::new(&values, 0, 3, 4, 4).unwrap();
        let width = PanelWidth::here().step;
        let panel = vec![0.0; 4 * width];
        let run = |first_row, first_term, width| {
            let mut out = vec![0.0; 2 * width];
            let mut slots: Vec<&mut [f32]> = out.chunks_mut(width).collect();
            pulp::Arch::new().dispatch(Strip {
                left,
                first_row,
                first_term,
                panel: &panel,
                width,
                out: &mut slots,
                first_column: 0,
                accumulate: false,
                finish: None,
                ahead: None,
            })
        };
        assert!(run(1, 0, width).is_some());
        assert!(run(2, 0, width).is_none());
        assert!(run(0, 1, width).is_none());
        assert!(run(0, 0, 16 * width).is_none());
    }
}
