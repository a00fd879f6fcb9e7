//! A policy set as a network plugin reads it.
//!
//! Sources are in `analyzer/CNI.md`. What a plugin reads as the API's text says stays as it is.

use super::kind::PolicyKind;
use super::model::{Entity, Peer, PolicySet};
use super::profile::Profile;

/// The set as this plugin reads it.
#[must_use]
pub fn read_by(profile: Profile, set: PolicySet) -> PolicySet {
    if profile.blocks_match_the_cluster() {
        return set;
    }
    set.with_peers(PolicyKind::NetworkPolicy, |peer| match peer {
        Peer::Block { cidr, except } => Peer::Entity(Entity::Outside {
            cidr: *cidr,
            except: except.clone(),
        }),
        other @ (Peer::Pods { .. } | Peer::Entity(_)) => other.clone(),
    })
}
