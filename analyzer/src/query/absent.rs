//! What stands in the place of the engine in a build without it.

use super::QueryError;
use crate::frame::Frame;

/// The tables that a query names.
pub fn tables_of(_sql: &str) -> Result<Vec<String>, QueryError> {
    Err(QueryError::NotBuilt)
}

/// The answer to a query over these tables.
pub fn answer(_sql: &str, _tables: Vec<(&str, Frame)>) -> Result<Frame, QueryError> {
    Err(QueryError::NotBuilt)
}
