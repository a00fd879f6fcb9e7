//! What network plugins read differently: of the one that was chosen a warning, of others a remark.

use crate::enforcer::{Difference, differences};
use crate::findings::{Code, Findings};
use crate::flow::Flows;
use crate::identity::cluster::Cluster;
use crate::policy::model::PolicySet;
use crate::policy::profile::Profile;
use crate::semantics::world::World;

/// Rules that are named in a finding; the document has all.
const NAMED: usize = 3;

/// What network plugins read differently of a set made of these edges; each is reported.
pub(super) fn report(
    chosen: Profile,
    set: &PolicySet,
    flows: &Flows,
    (cluster, world): (&Cluster, &World),
    findings: &mut Findings,
) -> Vec<Difference> {
    let found = differences(set, &flows.edges, cluster, world);
    for Difference { profile, aspect, rules } in &found {
        let code = if *profile == chosen {
            Code::NotEnforced
        } else {
            Code::ReadDifferently
        };
        let mut named = rules.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if rules.len() > NAMED {
            named.push_str(", ...");
        }
        let (plugin, meaning, remedy) = (profile.word(), aspect.meaning(), aspect.remedy(*profile));
        let message = format!("{plugin} reads {named} differently: {meaning}; {remedy}");
        findings.report_many(code, message, rules.len() as u64);
    }
    found
}
