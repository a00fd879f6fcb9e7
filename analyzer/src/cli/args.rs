//! What can be typed. No logic: what an argument means stands with the verb that takes it.

pub mod connectivity;
pub mod diff;
pub mod eval;
pub mod explain;
pub mod flows;
pub mod generate;
pub mod import;
pub mod inspect;
pub mod port;
pub mod query;
pub mod reading;
pub mod schema;
pub mod verify;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use flowtape_schemas::time::Time;

use self::connectivity::ConnectivityArgs;
use self::diff::DiffArgs;
use self::eval::EvalArgs;
use self::explain::ExplainArgs;
use self::flows::FlowsArgs;
use self::generate::GenerateArgs;
use self::import::ImportArgs;
use self::inspect::InspectArgs;
use self::query::QueryArgs;
use self::schema::SchemaArgs;
use self::verify::VerifyArgs;
use super::exit;

/// What `--help` says besides, before the exit codes.
const EXAMPLES: &str = "\
Examples:
  flowtape inspect my-tape                    is the recording complete, and what is in it?
  flowtape flows my-tape -n shop              who talks to whom, on which port
  flowtape generate my-tape -n shop -o out    policies that allow what was recorded and nothing else
  flowtape verify my-tape --policies out      would these policies deny what was recorded?
  flowtape diff old-tape new-tape             what changed between two recordings
  flowtape query my-tape 'SELECT ...'         anything else, in SQL
  flowtape explain FT1003                     what a finding means and what to do
  flowtape explain my-tape --rule shop/web    what the rules of a policy are for";

/// Turns recordings of what the sockets of a Kubernetes cluster did into network policies, proofs and diffs.
#[derive(Debug, Parser)]
#[command(
    name = "flowtape",
    version,
    max_term_width = 100,
    after_help = exit::HELP,
    long_about = "Turns recordings of what the sockets of a Kubernetes cluster did into network policies, proofs and \
        diffs.\n\nA recording is a directory, the tape; `flowtape-recorder` makes one. All verbs work offline on files: \
        they need no cluster, no privileges and no network. The same tape and the same settings always give the same \
        bytes.\n\nData goes to stdout, everything else to stderr. The text of a verb is for people and may change; \
        `--format json` is stable, and each document names its schema.",
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP)
)]
pub struct Args {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of every verb")]
pub struct Global {
    /// How to print the result
    ///
    /// `text` is for people and may change with any release. `json` is one document with a `schema` field, the health
    /// of the recording and every finding; fields are added, never renamed. `csv` and `parquet` are for `flows` and
    /// `query` only, `csv` also for `connectivity`, and hold the rows and nothing else. `markdown`, `sarif` and `junit` are for `verify` and `diff` only:
    /// a comment on a pull request, results for a code scanner, and a test report.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Threads to use [default: one for each processor]
    ///
    /// The number never changes the output.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Exit with 1 if the recording is incomplete or anything is worth a warning
    ///
    /// The result is printed all the same. Findings of severity `info` do not count.
    #[arg(long, global = true)]
    pub strict: bool,
}

/// How to print a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
    /// For data frames.
    Parquet,
    /// For comments on pull requests.
    Markdown,
    /// For code scanners.
    Sarif,
    /// For test reports.
    Junit,
}

/// The verbs. What `--help` says at length stands here, because the line above a verb would take its place elsewhere.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show whether a recording is complete, and what is in it
    #[command(
        long_about = "Shows whether a recording is complete, and what is in it.\n\nHealth comes first: what was lost, what \
            was not seen, which nodes nobody recorded. A policy made from an incomplete recording denies what is missing \
            from it."
    )]
    Inspect(InspectArgs),
    /// List who talked to whom, on which port, and what supports it
    #[command(
        long_about = "Lists who talked to whom, on which port, and what supports it.\n\nEach line is an edge: the client, \
            the server, the server's own port (for a Service, the port of its pods), how the attempts ended, how many there \
            were, and which side was recorded.\n\nFilters narrow the list, and nothing else: an edge that is listed has all \
            its counts, and the findings are those of the whole recording. Of a filter that is given several times one is \
            enough; different filters must all be met.\n\nPEER is\n  NAMESPACE, NAMESPACE/NAME (a workload, Service or \
            pod), NAMESPACE/KIND/NAME,\n  node:NAME, an address or prefix,\n  type:workload|service|node|external|unknown, \
            or role:ROLE with a role that the list shows, such as role:dns"
    )]
    Flows(FlowsArgs),
    /// Write policies that allow what was recorded and nothing else
    #[command(
        long_about = "Writes NetworkPolicies that allow what was recorded and nothing else.\n\nEvery established \
            connection of the recording is allowed by the policies, or named in a finding; every rule is needed by some \
            recorded connection, or is an addition that is named. Both are checked on every run. The same recording and \
            settings give the same bytes."
    )]
    Generate(GenerateArgs),
    /// Play a recording against policies: what would they deny, and which rules does nothing need
    #[command(
        long_about = "Plays a recording against policies: what would they deny, and which rules does nothing need.\n\nEvery \
            pair of pods of every recorded connection is judged as the NetworkPolicy API says. What would be denied is told \
            with the end that denies it, how often it was recorded and when last, and the processes behind it where samples \
            tell them; then rules and parts of rules that nothing recorded needs, and for how long. Exit code 1: something \
            would be denied that the baseline does not accept. What a recording does not show, no policy is asked about: see \
            `flowtape inspect` for whether it is complete.\n\nPEER in a baseline is what `flowtape flows --from` takes."
    )]
    Verify(VerifyArgs),
    /// Compare two recordings, two sets of policies, or a recording with policies
    #[command(
        long_about = "Compares two recordings, two sets of policies, or a recording with policies.\n\nTwo recordings: which \
            connections came, went, or use other ports. A recording and policies: which recorded connections the policies would \
            deny. Two sets of policies: which connections only one of them allows, for the pods there are and for pods that may \
            come; rewriting a policy without changing what it means is no difference. What cannot be decided is said, and counts \
            as a difference.\n\nA directory with `manifest.json`, `node=*/` or \
            `cluster/` is a tape, any other path is policies; the prefixes `tape:` and `policy:` force it."
    )]
    Diff(DiffArgs),
    /// Make a tape of another tool's recording
    #[command(
        long_about = "Makes a tape of another tool's recording, which all verbs then read like any other.\n\nPods are who \
            the files say they are, or who the metadata says held their address. What a source cannot know is said in \
            findings. Lines and packets that cannot be used are set aside, counted in table `quarantine`, and never stop the \
            rest; the exit code is 2 only if nothing was usable.\n\n`flowtape schema import` has a page for each format: \
            which field becomes what, and what is missing."
    )]
    Import(ImportArgs),
    /// Say whether policies allow one connection, and which rules decide that
    #[command(
        long_about = "Says whether policies allow one connection, and which rules decide that.\n\nPolicies and the cluster \
            they are for are read from files, and judged as the NetworkPolicy API says: an `ipBlock` matches pods, too, by \
            their own addresses, as the Kubernetes conformance suite demands. Exit code 0 whatever the answer, and 1 where \
            --expect is not met.\n\nPEER is\n  NAMESPACE/POD, NAMESPACE/KIND/NAME (a workload, all of whose pods must be \
            judged alike),\n  node:NAME, or an address, which is a pod's if a pod has it"
    )]
    Eval(EvalArgs),
    /// List everything that policies allow
    #[command(
        long_about = "Lists everything that policies allow: between workloads, to and from addresses, and with pods that do not \
            exist yet.\n\nEach line is a client, a server, and the ports that both ends allow; a workload whose pods policies tell \
            apart has what any of them has. Addresses are cut along the prefixes that rules name, and are those that no pod has. \
            `NAMESPACE/[app=web]` are pods to come with that label, for which a selector has been written, and `NAMESPACE/*` \
            those that nothing selects by label; a namespace in brackets is one to come.\n\nNot listed is what no policy \
            decides: a pod with itself, from a pod's own node, and between ends that policies do not select, as addresses and \
            pods on the network of their node are."
    )]
    Connectivity(ConnectivityArgs),
    /// Ask a recording in SQL
    #[command(
        long_about = "Asks a recording in SQL.\n\nThe tables are the edges with who they are between, the samples of single \
            operations with whose sockets they were, the findings, and every table of the tape; `flowtape schema query` has \
            their columns. Only the tables that a query names are read. The statement reads nothing else and changes \
            nothing.\n\nThe same recording and the same query give the same rows in the same order, also where no ORDER BY \
            stands.\n\nThis verb is in builds with the feature `query`: `cargo install --path analyzer --features query`."
    )]
    Query(QueryArgs),
    /// Explain a finding, a rule, an edge, or why something is denied
    #[command(
        long_about = "Explains a finding by its code; or, of a recording, what is behind a rule, which rules allow an edge, or \
            what policies say to a connection that may never have been recorded.\n\nThe policies asked are those that \
            `generate` makes of the recording without options, or those of `--policies`. Where a connection is denied, the \
            rules that nearly match are named, and what a rule would have to say."
    )]
    Explain(ExplainArgs),
    /// Print the reference of the tables of a tape, of those that a query can name, or of the formats of `import`
    Schema(SchemaArgs),
}

/// Where a table goes.
#[derive(Clone, Debug, clap::Args)]
pub struct Destined {
    /// Write the result into this file, instead of printing it; one that is there is not replaced
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// What a gate takes besides what it compares.
#[derive(Clone, Debug, clap::Args)]
pub struct Gated {
    /// File of what is accepted, each with its reason
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// The time at which entries of the baseline may have run out [default: when the recording ended]
    #[arg(long, value_name = "TIME", requires = "baseline")]
    pub as_of: Option<Time>,
    /// Write the result into a file as well, in another format; may be given several times
    ///
    /// FORMAT is `json`, `markdown`, `sarif` or `junit`. A file that is there is replaced.
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    pub reports: Vec<ReportFile>,
}

/// A file that a report goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    /// The format.
    pub format: Format,
    /// The file.
    pub path: PathBuf,
}

impl FromStr for ReportFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write FORMAT=FILE with format `json`, `markdown`, `sarif` or `junit`";
        let (word, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or(wrong)?;
        let formats = [Format::Json, Format::Markdown, Format::Sarif, Format::Junit];
        let named = |format: &Format| format.to_possible_value().is_some_and(|value| value.get_name() == word);
        Ok(Self {
            format: formats.into_iter().find(named).ok_or(wrong)?,
            path: path.into(),
        })
    }
}

/// The recordings a verb reads.
#[derive(Clone, Debug, clap::Args)]
pub struct Tapes {
    /// Directories that are tapes, or hold metadata of the cluster; several are united
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
}
