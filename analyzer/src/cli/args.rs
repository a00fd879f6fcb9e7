//! What can be typed. No logic: what an argument means stands with the verb that takes it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;
use flowtape_schemas::value::Words as _;

use super::exit;
use crate::flow::filter::{PeerPattern, PortPattern};

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
    after_long_help = concat!(
        "Examples:\n  \
        flowtape inspect my-tape                    is the recording complete, and what is in it?\n  \
        flowtape flows my-tape -n shop              who talks to whom, on which port\n  \
        flowtape generate my-tape -n shop -o out    policies that allow what was recorded and nothing else\n  \
        flowtape diff old-tape new-tape             what changed between two recordings\n  \
        flowtape query my-tape 'SELECT ...'         anything else, in SQL\n  \
        flowtape explain FT1003                     what a finding means and what to do\n\n",
        "Exit codes:\n  \
        0    done\n  \
        1    done, and something the caller gated on was found (`diff`, `--strict`, a failed proof)\n  \
        2    bad usage or unreadable input; nothing was written\n  \
        101  a bug of flowtape\n  \
        130  interrupted"
    )
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
    /// `query` only, and hold the rows and nothing else.
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
    /// Compare two recordings, or a recording with policies
    #[command(
        long_about = "Compares two recordings, or a recording with policies.\n\nTwo recordings: which connections came, \
            went, or use other ports. A recording and policies: which recorded connections the policies would deny. What \
            cannot be decided is said, and counts as a difference.\n\nA directory with `manifest.json`, `node=*/` or \
            `cluster/` is a tape, any other path is policies; the prefixes `tape:` and `policy:` force it."
    )]
    Diff(DiffArgs),
    /// Ask a recording in SQL
    #[command(
        long_about = "Asks a recording in SQL.\n\nThe tables are the edges with who they are between, the samples of single \
            operations with whose sockets they were, the findings, and every table of the tape; `flowtape schema query` has \
            their columns. Only the tables that a query names are read. The statement reads nothing else and changes \
            nothing.\n\nThe same recording and the same query give the same rows in the same order, also where no ORDER BY \
            stands.\n\nThis verb is in builds with the feature `query`: `cargo install --path analyzer --features query`."
    )]
    Query(QueryArgs),
    /// Explain a finding by its code
    Explain(ExplainArgs),
    /// Print the reference of the tables of a tape, or of those that a query can name
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

/// The recordings a verb reads.
#[derive(Clone, Debug, clap::Args)]
pub struct Tapes {
    /// Directories that are tapes, or hold metadata of the cluster; several are united
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
}

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

/// Arguments of `flows`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape flows my-tape\n  flowtape flows my-tape -n shop                        edges \
        that begin or end in namespace `shop`\n  flowtape flows my-tape --from shop/web --port 443     what `web` asks \
        others for on port 443\n  flowtape flows my-tape --to type:external             what leaves the cluster\n  \
        flowtape flows my-tape --outcome refused,timeout      attempts that came to nothing\n  flowtape flows my-tape \
        --format csv > edges.csv\n  flowtape flows my-tape --format parquet -o edges.parquet"
)]
pub struct FlowsArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// Only edges that begin or end in this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Only edges of this client; may be given several times
    #[arg(long, value_name = "PEER")]
    pub from: Vec<PeerPattern>,
    /// Only edges to this server; may be given several times
    #[arg(long, value_name = "PEER")]
    pub to: Vec<PeerPattern>,
    /// Only edges to this port of the server, such as 443, 8000-8010 or 53/UDP; several are separated by commas
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',')]
    pub ports: Vec<PortPattern>,
    /// Only attempts that ended this way; several are separated by commas
    #[arg(long = "outcome", value_name = "OUTCOME", value_delimiter = ',', value_parser = outcomes())]
    pub outcomes: Vec<Outcome>,
    /// Only edges seen at this time or later, such as 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Time>,
    /// Only edges seen before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Time>,
    /// Where the result goes.
    #[command(flatten)]
    pub destined: Destined,
}

/// The words of outcomes, and what they mean.
fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    let words = Outcome::ALL.iter().map(|outcome| outcome.word());
    PossibleValuesParser::new(words).try_map(|word| Outcome::from_word(&word).ok_or("no outcome"))
}

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape generate my-tape -n shop                     print the policies of \
        namespace `shop`\n  flowtape generate my-tape -n shop -o policies         write one file for each policy\n  \
        flowtape generate my-tape --default-deny namespace    deny what nobody recorded, too"
)]
pub struct GenerateArgs {
    /// What to read.
    #[command(flatten)]
    pub input: Tapes,
    /// Only policies of this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Write one file for each policy into this directory, instead of printing them
    ///
    /// The directory is made if it is not there, and refused if anything is in it. Nothing is written unless all of it
    /// can be.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write into a directory that is not empty, replacing files of the same name
    #[arg(long, requires = "output")]
    pub force: bool,
    /// What to deny besides what the rules leave out
    #[arg(long, value_enum, default_value_t = DefaultDeny::Workload)]
    pub default_deny: DefaultDeny,
    /// Who may use ports that the cluster itself publishes outside (LoadBalancer, NodePort, hostPort, externalIPs)
    #[arg(long, value_enum, default_value_t = Published::Declared)]
    pub published: Published,
    /// How to allow name resolution
    #[arg(long, value_enum, default_value_t = Dns::Auto)]
    pub dns: Dns,
}

/// What to deny besides what the rules leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DefaultDeny {
    /// Isolate only directions that have rules
    None,
    /// Isolate both directions of every workload that was recorded
    Workload,
    /// The same, and deny everything else in each namespace
    Namespace,
}

/// Who may use published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Published {
    /// Everybody outside the cluster, on exactly the ports that are published
    Declared,
    /// Only addresses that were recorded
    Seen,
    /// Nobody
    Off,
}

/// How to allow name resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dns {
    /// UDP and TCP to the DNS servers that a workload was recorded to use
    Auto,
    /// Only the protocols that were recorded
    Seen,
    /// No rule for DNS
    Off,
}

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  flowtape diff old-tape new-tape\n  flowtape diff my-tape policies/                  \
        would the policies deny what was recorded?\n  flowtape diff old-tape new-tape --fail-on added  exit with 1 only \
        if something is new\n  flowtape diff old,old-metadata new,new-metadata  recordings with their metadata beside them"
)]
pub struct DiffArgs {
    /// What to compare: a tape, or a file or directory of policies
    ///
    /// A recording and its metadata in two directories are one tape: write both with a comma between them.
    #[arg(value_name = "A")]
    pub before: String,
    /// What to compare it with
    #[arg(value_name = "B")]
    pub after: String,
    /// Only connections that begin or end in this namespace; may be given several times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Which differences end with exit code 1; several are separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "any", value_name = "CLASS")]
    pub fail_on: Vec<FailOn>,
    /// Take an incomplete recording for a complete one
    ///
    /// Without it, a side that is incomplete or has unknown peers never gives exit code 0.
    #[arg(long)]
    pub allow_incomplete: bool,
}

/// Which differences end with exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Peers that did not talk before
    Added,
    /// Peers that no longer talk
    Removed,
    /// More ports between peers that talked before
    Widened,
    /// Fewer ports between peers that still talk
    Narrowed,
    /// Any difference, and what cannot be decided
    Any,
    /// Nothing
    None,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  flowtape explain FT1003\n  flowtape explain            lists every code")]
pub struct ExplainArgs {
    /// Code of the finding, such as `FT1003`; without one, all are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

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
