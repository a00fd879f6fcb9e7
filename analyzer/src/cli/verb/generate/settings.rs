//! What was asked for, as the stages take it.

use flowtape_schemas::manifest::NodeRecording;

use crate::cli::args::generate::{self as args, GenerateArgs};
use crate::render::kind::Kind;
use crate::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use crate::tape::Tape;

/// How the policies of this tape are to be derived.
pub(super) fn settings(args: &GenerateArgs, tape: &Tape) -> Settings {
    Settings {
        default_deny: match args.default_deny {
            args::DefaultDeny::None => DefaultDeny::None,
            args::DefaultDeny::Workload => DefaultDeny::Workload,
            args::DefaultDeny::Namespace => DefaultDeny::Namespace,
        },
        published: match args.published {
            args::Published::Declared => Published::Declared,
            args::Published::Seen => Published::Seen,
            args::Published::Off => Published::Off,
        },
        dns: match args.dns {
            args::Dns::Auto => Dns::Auto,
            args::Dns::Seen => Dns::Seen,
            args::Dns::Off => Dns::Off,
        },
        namespaces: args.namespaces.iter().cloned().collect(),
        redacted: tape
            .nodes
            .iter()
            .flat_map(|node| &node.recordings)
            .any(NodeRecording::is_redacted),
    }
}

/// What the policies are to be written as.
pub(super) const fn kind(kind: args::Kind) -> Kind {
    match kind {
        args::Kind::NetworkPolicy => Kind::NetworkPolicy,
        args::Kind::Cilium => Kind::Cilium,
        args::Kind::Calico => Kind::Calico,
        args::Kind::Staged => Kind::Staged,
        args::Kind::Cluster => Kind::Cluster,
    }
}
