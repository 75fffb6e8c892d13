//! Bodies checked field by field, so that every wrong field is named at once.

use super::problem::{FieldError, Problem};

/// What is wrong with a body so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// The value, or a note about its field.
    pub fn keep<T, E: std::fmt::Display>(&mut self, field: &str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(FieldError { field: field.to_owned(), message: error.to_string() });
                None
            }
        }
    }

    /// True while nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Passes when nothing is wrong.
    ///
    /// # Errors
    /// `invalid_input`, naming every wrong field.
    pub fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(self.problem()) }
    }

    /// The problem that names every wrong field.
    #[must_use]
    pub fn problem(self) -> Problem {
        Problem::fields(self.0)
    }
}
