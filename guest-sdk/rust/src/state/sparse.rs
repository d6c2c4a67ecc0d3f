//! A sparse matrix in compressed rows, written once and read by many.

use faaslet_abi::Status;

use super::{Element, Mapped, Options, StateError, Vector};

/// A sparse matrix in compressed rows (CSR) that does not change: three values under `key/rows`,
/// `key/columns` and `key/values`. Functions read the chunks that their rows lie in, and no others.
#[derive(Debug)]
pub struct SparseMatrix<T> {
    rows: Vector<u64>,
    columns: Vector<u32>,
    values: Vector<T>,
    count: usize,
}

/// Rows of a [`SparseMatrix`] that are mapped.
#[derive(Debug)]
pub struct Rows<T: Element> {
    starts: Vec<u64>,
    columns: Mapped<u32>,
    values: Mapped<T>,
}

impl<T: Element> SparseMatrix<T> {
    /// Writes a matrix from its rows, each a list of column and value, and pushes it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn create(
        key: &str,
        rows: impl IntoIterator<Item = Vec<(u32, T)>>,
    ) -> Result<Self, StateError> {
        let (mut starts, mut columns, mut values) = (vec![0_u64], Vec::new(), Vec::new());
        for row in rows {
            for (column, value) in row {
                columns.push(column);
                values.push(value);
            }
            starts.push(columns.len() as u64);
        }
        write(&format!("{key}/columns"), &columns)?;
        write(&format!("{key}/values"), &values)?;
        // Last, so that whoever finds it finds the rest.
        write(&format!("{key}/rows"), &starts)?;
        Self::open(key)
    }

    /// Opens a matrix that was written.
    ///
    /// # Errors
    /// [`Status::NotFound`] when it was not; see [`StateError`].
    pub fn open(key: &str) -> Result<Self, StateError> {
        let rows = Vector::existing(&format!("{key}/rows"))?;
        let count = rows.len()?.saturating_sub(1);
        Ok(Self {
            count,
            rows,
            columns: Vector::existing(&format!("{key}/columns"))?,
            values: Vector::existing(&format!("{key}/values"))?,
        })
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Maps `count` rows from `first` on.
    ///
    /// # Errors
    /// [`Status::Invalid`] when there are no such rows; see [`StateError`].
    pub fn rows(&self, first: usize, count: usize) -> Result<Rows<T>, StateError> {
        let wrong = |text: String| StateError::with(self.rows.value().key(), Status::Invalid, text);
        if first.checked_add(count).is_none_or(|end| end > self.count) {
            let end = self.count;
            return Err(wrong(format!("expected rows below {end}; found {count} from {first}")));
        }
        let starts = self.rows.read(first, count + 1)?;
        let (from, to) = match (starts.first(), starts.last()) {
            (Some(from), Some(to)) if starts.is_sorted() => (*from as usize, *to as usize),
            _ => return Err(wrong("expected starts of rows in order".to_owned())),
        };
        let columns = self.columns.map_read(from, to - from)?;
        let values = self.values.map_read(from, to - from)?;
        Ok(Rows { starts, columns, values })
    }
}

impl<T: Element> Rows<T> {
    /// How many rows are mapped.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns and values of a row, counted from the first that is mapped.
    ///
    /// # Panics
    /// When `row` is not below [`Rows::len`].
    pub fn row(&self, row: usize) -> impl Iterator<Item = (u32, T)> + '_ {
        let base = self.starts[0];
        let range = (self.starts[row] - base) as usize..(self.starts[row + 1] - base) as usize;
        range.map(|at| (self.columns.get(at), self.values.get(at)))
    }
}

fn write<E: Element>(key: &str, elements: &[E]) -> Result<(), StateError> {
    let vector = Options::<E>::new(key).max_len((elements.len() as u64).max(1)).open()?;
    vector.write(0, elements)?;
    vector.push().map(drop)
}
