//! Numbers in rows.

use faaslet_abi::Status;

use super::{Element, Mapped, Options, Rule, StateError, Vector};

/// A matrix, row after row. Its shape is the author's: the value knows its length alone.
#[derive(Debug)]
pub struct Matrix<T> {
    elements: Vector<T>,
    rows: usize,
    columns: usize,
}

impl<T: Element> Matrix<T> {
    /// Opens the matrix under `key`, and makes one of zeros if there is none.
    ///
    /// # Errors
    /// [`Status::Changed`] when the value has another length; see [`StateError`].
    pub fn open(key: &str, rows: usize, columns: usize, rule: Rule) -> Result<Self, StateError> {
        let len = rows.checked_mul(columns);
        let len =
            len.ok_or_else(|| StateError::with(key, Status::TooLarge, "its shape overflows"))?;
        let options = Options::new(key).rule(rule).max_len(len as u64).len(len);
        let elements = options.open()?;
        let found = elements.len()?;
        if found != len {
            let text = format!("expected {rows} rows of {columns}; found {found} elements");
            return Err(StateError::with(key, Status::Changed, text));
        }
        Ok(Self { elements, rows, columns })
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// One row.
    ///
    /// # Errors
    /// [`Status::Invalid`] when there is no such row; see [`StateError`].
    pub fn row(&self, row: usize) -> Result<Vec<T>, StateError> {
        self.elements.read(self.start(row)?, self.columns)
    }

    /// Stores one row.
    ///
    /// # Errors
    /// [`Status::Invalid`] when there is no such row, or it has another length.
    pub fn set_row(&self, row: usize, elements: &[T]) -> Result<(), StateError> {
        if elements.len() != self.columns {
            let (expected, found) = (self.columns, elements.len());
            let text = format!("expected a row of {expected} elements; found {found}");
            return Err(StateError::with(self.elements.value().key(), Status::Invalid, text));
        }
        self.elements.write(self.start(row)?, elements)
    }

    /// Maps rows, to load and store.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn map_rows(&self, first: usize, count: usize) -> Result<Mapped<T>, StateError> {
        let end = first.checked_add(count).filter(|end| *end <= self.rows);
        end.ok_or_else(|| self.no_row(first))?;
        self.elements.map_range(first * self.columns, count * self.columns)
    }

    /// The elements, row after row: push, pull, lock and the rest.
    pub fn elements(&self) -> &Vector<T> {
        &self.elements
    }

    fn start(&self, row: usize) -> Result<usize, StateError> {
        if row < self.rows { Ok(row * self.columns) } else { Err(self.no_row(row)) }
    }

    fn no_row(&self, row: usize) -> StateError {
        let text = format!("expected a row below {}; found {row}", self.rows);
        StateError::with(self.elements.value().key(), Status::Invalid, text)
    }
}
