//! What can be typed after `flowtape schema`.

use clap::ValueEnum;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// Which: the tables of a tape, those that a query can name, or the formats that can be imported
    #[arg(value_enum, default_value_t = Tables::Tape)]
    pub tables: Tables,
}

/// What a reference is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tables {
    /// Those of a tape
    Tape,
    /// Those that a query can name
    Query,
    /// The formats that can be imported, and what becomes of each field
    Import,
}
