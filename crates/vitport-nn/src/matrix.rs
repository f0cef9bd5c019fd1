//! Defines the one container of the kernels: a row-major matrix of float32 whose length always is rows × columns, so that no
//! kernel need look twice. Tokens are rows, features are columns.

use rayon::prelude::*;

use super::error::ForwardError;

/// Limits a matrix to four gibibytes of float32: far above what any network here needs for one image, and far
/// below what a lying config could ask for.
const MOST_ELEMENTS: usize = 1 << 30;

/// Counts the values that are worth a thread's while in elementwise work, which takes it some ten microseconds.
pub(crate) const PART: usize = 1 << 14;

/// Holds a row-major matrix of float32.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// Returns an empty matrix, to be given its size by the kernel that fills it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a matrix over `values`, which lie row after row.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when there are not exactly `rows` × `columns` values.
    pub fn from_values(rows: usize, columns: usize, values: Vec<f32>) -> Result<Self, ForwardError> {
        if rows.checked_mul(columns) != Some(values.len()) {
            return Err(ForwardError::operands(
                "a matrix",
                format!("{} values for {rows} × {columns}", values.len()),
            ));
        }
        Ok(Self { rows, columns, values })
    }

    /// Gives the matrix a size. What it then holds is left over from before and must be overwritten.
    ///
    /// # Errors
    /// [`ForwardError::TooLarge`] when no reasonable network has a matrix of this size.
    pub fn resize(&mut self, rows: usize, columns: usize, what: &'static str) -> Result<(), ForwardError> {
        let elements = rows
            .checked_mul(columns)
            .filter(|&elements| elements <= MOST_ELEMENTS)
            .ok_or(ForwardError::TooLarge { what, rows, columns })?;
        self.values.reserve_exact(elements.saturating_sub(self.values.len()));
        self.values.resize(elements, 0.0);
        self.rows = rows;
        self.columns = columns;
        Ok(())
    }

    /// Returns the number of rows (tokens).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns how many values fit in the memory that the matrix has.
    pub(crate) fn capacity(&self) -> usize {
        self.values.capacity()
    }

    /// Returns the number of columns (features).
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns all values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns all values, row after row, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Returns the values, row after row, out of the matrix.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Returns the row at `index`, if there is one.
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        let start = index.checked_mul(self.columns)?;
        self.values.get(start..start.checked_add(self.columns)?)
    }

    /// Returns the same as a clone, on all threads: most of the time goes into memory that is fresh.
    pub(crate) fn copied_on_all_threads(&self) -> Self {
        let values = self.values.par_iter().with_min_len(PART).copied().collect();
        Self { rows: self.rows, columns: self.columns, values }
    }

    /// Adds `other`, element by element: a residual connection.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when the sizes differ.
    pub fn add(&mut self, other: &Matrix) -> Result<(), ForwardError> {
        if (self.rows, self.columns) != (other.rows, other.columns) {
            return Err(ForwardError::operands(
                "a residual connection",
                format!("{} × {} and {} × {}", self.rows, self.columns, other.rows, other.columns),
            ));
        }
        self.add_values(&other.values)
    }

    /// Adds `values`, which lie row after row: position embeddings.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when there are not as many.
    pub fn add_values(&mut self, values: &[f32]) -> Result<(), ForwardError> {
        if values.len() != self.values.len() {
            let detail = format!("{} × {} and {} values", self.rows, self.columns, values.len());
            return Err(ForwardError::operands("an addition", detail));
        }
        let parts = self.values.par_chunks_mut(PART).zip(values.par_chunks(PART));
        parts.for_each(|(values, addends)| {
            for (value, addend) in values.iter_mut().zip(addends) {
                *value += addend;
            }
        });
        Ok(())
    }

    /// Multiplies with `other`, element by element: a gate.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when the sizes differ.
    pub fn multiply(&mut self, other: &Matrix) -> Result<(), ForwardError> {
        if (self.rows, self.columns) != (other.rows, other.columns) {
            let detail = format!("{} × {} and {} × {}", self.rows, self.columns, other.rows, other.columns);
            return Err(ForwardError::operands("a gate", detail));
        }
        let parts = self.values.par_chunks_mut(PART).zip(other.values.par_chunks(PART));
        parts.for_each(|(values, factors)| {
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        });
        Ok(())
    }

    /// Adds `values` to each row: a bias.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when there are not as many as columns.
    pub fn add_to_rows(&mut self, values: &[f32]) -> Result<(), ForwardError> {
        if values.len() != self.columns {
            let detail = format!("{} × {} and {} values", self.rows, self.columns, values.len());
            return Err(ForwardError::operands("a bias", detail));
        }
        self.values.par_chunks_mut(self.columns.max(1)).for_each(|row| {
            row.iter_mut().zip(values).for_each(|(value, addend)| *value += addend);
        });
        Ok(())
    }

    /// Adds `other` with its columns multiplied by `gamma`: a residual connection with layer scale
    /// (Touvron et al. 2021, "Going deeper with Image Transformers", eq. 4).
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when the sizes differ.
    pub fn add_scaled(&mut self, other: &Matrix, gamma: &[f32]) -> Result<(), ForwardError> {
        if (self.rows, self.columns) != (other.rows, other.columns) || gamma.len() != self.columns {
            return Err(ForwardError::operands(
                "a scaled residual connection",
                format!(
                    "{} × {}, {} × {} and {} factors",
                    self.rows,
                    self.columns,
                    other.rows,
                    other.columns,
                    gamma.len()
                ),
            ));
        }
        let columns = self.columns.max(1);
        let part = PART.div_ceil(columns).saturating_mul(columns);
        let parts = self.values.par_chunks_mut(part).zip(other.values.par_chunks(part));
        parts.for_each(|(rows, addends)| {
            for (row, addends) in rows.chunks_exact_mut(columns).zip(addends.chunks_exact(columns)) {
                for ((value, addend), factor) in row.iter_mut().zip(addends).zip(gamma) {
                    *value += addend * factor;
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_holds_what_its_size_says() {
        assert!(Matrix::from_values(2, 3, vec![0.0; 5]).is_err());
        let matrix = Matrix::from_values(2, 3, (0..6).map(|value| value as f32).collect()).unwrap();
        assert_eq!(matrix.row(1), Some(&[3.0, 4.0, 5.0][..]));
        assert_eq!(matrix.row(2), None);
        assert_eq!(matrix.row(usize::MAX), None);
    }

    #[test]
    fn a_size_that_overflows_is_an_error() {
        let mut matrix = Matrix::new();
        for (rows, columns) in [(usize::MAX, 2), (1 << 20, 1 << 20)] {
            assert!(matches!(
                matrix.resize(rows, columns, "the test"),
                Err(ForwardError::TooLarge { what: "the test", .. })
            ));
        }
    }

    #[test]
    fn layer_scale_multiplies_columns() {
        let mut hidden = Matrix::from_values(2, 2, vec![1.0; 4]).unwrap();
        let branch = Matrix::from_values(2, 2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        hidden.add_scaled(&branch, &[10.0, 100.0]).unwrap();
        assert_eq!(hidden.values(), [11.0, 201.0, 31.0, 401.0]);
        assert!(hidden.add_scaled(&branch, &[1.0]).is_err());
    }
}
