//! What can be typed after `flowtape import`.

use std::path::PathBuf;

use flowtape_schemas::time::Time;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// Format of the files: `auto`, or one that `flowtape schema import` describes
    ///
    /// Of an archive, whatever is said here, the captures and lists of sockets in it are read.
    #[arg(value_name = "FORMAT")]
    pub import_format: String,
    /// Files, packed with gzip or zstd or not; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the cluster looked like: what `kubectl get ... -A -o json` or `-o yaml` printed, or a tape; PATH@TIME says when
    ///
    /// Several files are snapshots of several times. Without it, pods are what the files call them, and addresses that no
    /// file names are outside.
    #[arg(long, value_name = "PATH")]
    pub metadata: Vec<String>,
    /// Node of records that name none
    #[arg(long, value_name = "NAME", default_value = "import")]
    pub node: String,
    /// When files that do not say it were taken: what `ss` and `conntrack -L` print
    #[arg(long, value_name = "TIME")]
    pub time: Option<Time>,
    /// Directory of the tape that is made
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Write into the directory although it is not empty
    #[arg(long)]
    pub force: bool,
}
