//! How many threads work; never what they find.

use std::num::NonZeroUsize;

use super::TapeError;

/// Runs `work` on so many threads, or on one for each processor.
pub fn with_threads<R: Send>(threads: Option<NonZeroUsize>, work: impl FnOnce() -> R + Send) -> Result<R, TapeError> {
    let Some(threads) = threads else { return Ok(work()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build();
    let pool = pool.map_err(|source| TapeError::Threads {
        threads: threads.get(),
        source,
    })?;
    Ok(pool.install(work))
}
