//! What can be typed after `flowtape schema`.

use clap::ValueEnum;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// Which tables: those of a tape, or those that a query can name
    #[arg(value_enum, default_value_t = Tables::Tape)]
    pub tables: Tables,
}

/// Which tables a reference is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tables {
    /// Those of a tape
    Tape,
    /// Those that a query can name
    Query,
}
