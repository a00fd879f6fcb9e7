//! Arguments of the verbs that a container of the cluster runs: `agent`, and what is executed beside it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse_duration;

/// Examples of `agent`.
pub(super) const AGENT_EXAMPLES: &str = "\
Examples:
  flowtape-recorder agent -o /tape -- record --duration 30m --node worker-1
  flowtape-recorder status /tape            # exit code 0 once the recording has begun
  flowtape-recorder stop /tape              # ends it, waits, and prints its last line
  flowtape-recorder send /tape              # the other end is `kubectl flowtape record`

Each run of the verb is a tape of its own below DIR: recording-000001 and so on. One that dies is followed by the next.";

/// Arguments of `agent`.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// Directory of the recordings; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// How long to wait for somebody who collects, when told to go before anybody has
    #[arg(long, value_name = "TIME", default_value = "45s", value_parser = parse_duration)]
    pub linger: Duration,
    /// The verb that records and its arguments, less `--output`
    #[arg(last = true, required = true, value_name = "VERB ARGUMENTS")]
    pub verb: Vec<String>,
}

/// Arguments of `stop`.
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// Directory of the agent
    pub directory: PathBuf,
    /// How long to wait for the recording to end
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Arguments of `status` and `send`.
#[derive(Clone, Debug, Args)]
pub struct DirectoryArgs {
    /// Directory of the agent, or a tape
    pub directory: PathBuf,
}
