//! SQL over tables in memory. The engine is a library behind the feature `query`; without it, every question is refused.

#[cfg(not(feature = "query"))]
mod absent;
#[cfg(feature = "query")]
mod engine;
#[cfg(feature = "query")]
mod order;

#[cfg(not(feature = "query"))]
pub use absent::{answer, tables_of};
#[cfg(feature = "query")]
pub use engine::{answer, tables_of};

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The feature was left out of this build.
    #[error("the feature `query` is not in this build")]
    NotBuilt,
    /// It is no SQL, or names what is not there, or cannot be computed.
    #[error("{0}")]
    Sql(String),
    /// The engine gave up without an error.
    #[error("the SQL engine cannot do this")]
    Engine,
}
