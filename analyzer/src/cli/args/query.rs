//! What can be typed after `flowtape query`.

use super::{Destined, Tapes};

/// Arguments of `query`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape query my-tape 'SHOW TABLES'\n  flowtape query my-tape \"SELECT to_name, port, \
        SUM(count) AS n FROM edges GROUP BY to_name, port ORDER BY n DESC LIMIT 10\"\n  flowtape query my-tape \"SELECT \
        DISTINCT process FROM events WHERE local_name = 'web'\"\n  flowtape query my-tape 'SELECT * FROM pods' --format \
        parquet -o pods.parquet\n  flowtape schema query                                 every table and column"
)]
pub struct QueryArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// The question, one SELECT
    #[arg(value_name = "SQL")]
    pub sql: String,
    /// Where the result goes.
    #[command(flatten)]
    pub destined: Destined,
}
