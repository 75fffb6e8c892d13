//! Columns read into checked types.

use gencharge_actors::kernel::PhoneNumber;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A phone number kept as E.164 digits.
///
/// # Errors
/// When the column is missing or holds no number of the home region.
pub fn phone(row: &PgRow, index: usize) -> Result<Option<PhoneNumber>, sqlx::Error> {
    let digits: Option<i64> = row.try_get(index)?;
    digits.map(PhoneNumber::from_e164).transpose().map_err(|error| undecodable(index, error))
}

/// A word of a vocabulary, or null.
///
/// # Errors
/// When the column is missing or holds another word.
pub fn optional_word<T>(row: &PgRow, index: usize) -> Result<Option<T>, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: Option<&str> = row.try_get(index)?;
    text.map(str::parse).transpose().map_err(|error| undecodable(index, error))
}

/// A word of a vocabulary.
///
/// # Errors
/// When the column is missing, null, or holds another word.
pub fn word<T>(row: &PgRow, index: usize) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    optional_word(row, index)?.ok_or_else(|| undecodable(index, sqlx::error::UnexpectedNullError))
}

fn undecodable(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: index.to_string(), source: Box::new(error) }
}
