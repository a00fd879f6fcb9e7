//! What can be typed after `flowtape explain`.

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  flowtape explain FT1003\n  flowtape explain            lists every code")]
pub struct ExplainArgs {
    /// Code of the finding, such as `FT1003`; without one, all are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}
