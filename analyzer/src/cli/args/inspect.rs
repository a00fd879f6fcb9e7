//! What can be typed after `flowtape inspect`.

use super::Tapes;
use crate::flow::filter::PeerPattern;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape inspect my-tape\n  flowtape inspect my-tape my-metadata      a recording \
        and the metadata of its cluster are one tape\n  flowtape inspect my-tape --strict         exit with 1 unless \
        the recording is complete\n  flowtape inspect my-tape -w shop/web      what `web` was asked and asked, by which processes"
)]
pub struct InspectArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// Summarize these workloads, such as `shop` or `shop/web`, in place of the whole; may be given several times
    ///
    /// Of each: who asked it and whom it asked, on which port, how often, first and last, the ports it waits on, and the
    /// processes that used sockets, as far as samples tell them.
    #[arg(short, long = "workload", value_name = "PEER")]
    pub workloads: Vec<PeerPattern>,
}
