//! What was asked for, as the stages take it.

use flowtape_schemas::manifest::NodeRecording;

use crate::cli::args::generate::{self as args, Options};
use crate::policy::profile::Profile;
use crate::render::kind::Kind;
use crate::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use crate::tape::Tape;

/// How the policies of this tape are to be derived.
pub(in crate::cli::verb) fn settings(options: &Options, tape: &Tape) -> Settings {
    let Options {
        namespaces,
        default_deny,
        published,
        dns,
        include_failed,
        min_count,
        exclude,
        widen,
        split_directions,
        kind,
        evidence: _,
        layout: _,
        cni,
    } = options;
    let otherwise = Settings::default();
    Settings {
        default_deny: default_deny.map_or(otherwise.default_deny, isolated),
        published: published.map_or(otherwise.published, from_outside),
        dns: dns.map_or(otherwise.dns, resolution),
        include_failed: include_failed.unwrap_or(otherwise.include_failed),
        min_count: min_count.unwrap_or(otherwise.min_count),
        exclude: exclude.clone(),
        widenings: widen.clone(),
        split_directions: split_directions.unwrap_or(otherwise.split_directions),
        grouping: otherwise.grouping,
        // What NetworkPolicy cannot say to a plugin, a kind of its own can.
        cni: match self::kind(*kind) {
            Kind::NetworkPolicy | Kind::Staged | Kind::Cluster => profile(*cni),
            Kind::Cilium | Kind::Calico => Profile::Generic,
        },
        namespaces: namespaces.iter().cloned().collect(),
        redacted: tape
            .nodes
            .iter()
            .flat_map(|node| &node.recordings)
            .any(NodeRecording::is_redacted),
    }
}

/// The network plugin that the policies are for.
pub(super) fn profile(asked: Option<args::Cni>) -> Profile {
    asked.map_or(Profile::Generic, args::Cni::profile)
}

/// What the policies are to be written as.
pub(super) const fn kind(asked: Option<args::Kind>) -> Kind {
    let Some(kind) = asked else {
        return Kind::NetworkPolicy;
    };
    match kind {
        args::Kind::NetworkPolicy => Kind::NetworkPolicy,
        args::Kind::Cilium => Kind::Cilium,
        args::Kind::Calico => Kind::Calico,
        args::Kind::Staged => Kind::Staged,
        args::Kind::Cluster => Kind::Cluster,
    }
}

const fn isolated(asked: args::DefaultDeny) -> DefaultDeny {
    match asked {
        args::DefaultDeny::None => DefaultDeny::None,
        args::DefaultDeny::Workload => DefaultDeny::Workload,
        args::DefaultDeny::Namespace => DefaultDeny::Namespace,
    }
}

const fn from_outside(asked: args::Published) -> Published {
    match asked {
        args::Published::Declared => Published::Declared,
        args::Published::Seen => Published::Seen,
        args::Published::Off => Published::Off,
    }
}

const fn resolution(asked: args::Dns) -> Dns {
    match asked {
        args::Dns::Auto => Dns::Auto,
        args::Dns::Seen => Dns::Seen,
        args::Dns::Off => Dns::Off,
    }
}
