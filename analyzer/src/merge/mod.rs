//! Policies of a recording merged into manifests that are there.
//!
//! Place in the data flow: the texts of existing files and the policies of a recording in, new texts and what changed out.
//! Only policies that carry our label are edited, and only lines that must change: everything else stays as it was
//! written, to the byte. What was edited is read again and must mean what was planned, or nothing comes of it
//! ([`MergeError`]).

pub mod change;
pub mod cover;
mod lines;
mod plan;
mod section;
pub mod uncovered;

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::time::Time;
use thiserror::Error;

use crate::parse::kubernetes::parse;
use crate::parse::marked::{self, Node};
use crate::parse::report::Problems;
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Policy, PolicySet, PolicySetError};
use crate::render::kubernetes::{self, RenderError};
use change::{Change, Kind};
use lines::Lines;

/// The label of policies that we wrote, and its value.
const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "flowtape");

/// What is added to the name of a policy whose name a hand-written one has.
const SUFFIX: &str = "-flowtape";

/// What is merged into the files.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The policies that are asked for.
    pub set: &'a PolicySet,
    /// The same, each peer and port in a rule of its own, whose notes are about it alone.
    pub apart: &'a PolicySet,
    /// What the whole recording needs: a rule that only this has was exercised, and left out by choice.
    pub recorded: &'a PolicySet,
}

/// How rules that the recording does not need are treated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The time that the recording covers; `None` if it is not complete, so that what it lacks says nothing.
    pub window: Option<(Time, Time)>,
    /// How long a rule may have been marked before it is removed; `None` keeps it for ever.
    pub prune_after: Option<i64>,
}

/// Why policies cannot be merged. Nothing is lost: there is no result.
#[derive(Debug, Error)]
pub enum MergeError {
    /// The files hold no valid policies.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// A policy of ours is written in a way that cannot be edited by lines.
    #[error(
        "`{file}:{line}`: {what}, so it cannot be edited in place; write it as `flowtape generate` does, or remove its \
         label `{}` to keep it by hand", MANAGED.0
    )]
    Form {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What is in the way.
        what: &'static str,
    },
    /// The edited text would not mean what was planned.
    #[error(
        "editing `{file}` would not give the policies that are meant; move its policies to a new file and try again"
    )]
    Meaning {
        /// The file.
        file: String,
    },
    /// A new file would replace one that is there.
    #[error("`{file}` is there already and does not hold policy `{policy}`, move or rename it")]
    Taken {
        /// The file.
        file: String,
        /// The policy.
        policy: String,
    },
    /// The policies make no set.
    #[error(transparent)]
    Set(#[from] PolicySetError),
    /// A policy cannot be written.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// What becomes of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// New and changed files, by name; those that stay as they are are not among them.
    pub files: BTreeMap<String, String>,
    /// What changed, by file and line.
    pub changes: Vec<Change>,
}

/// Merges `wanted` into `files`, given as names and texts; `present` are all names of files that are there. Policies in
/// namespaces other than `namespaces` are left alone, unless that is empty.
pub fn merge(
    files: &[(String, String)],
    present: &BTreeSet<String>,
    wanted: Wanted<'_>,
    namespaces: &BTreeSet<String>,
    settings: Settings,
) -> Result<Merged, MergeError> {
    let parsed = parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))?;
    let existing = parsed.set.of_kind(PolicyKind::NetworkPolicy);
    let ours = ours(files);
    let is_ours = |policy: &Policy| ours.contains_key(&(policy.namespace.clone(), policy.name.clone()));
    let by_hand: BTreeSet<(&str, &str)> = existing
        .iter()
        .filter(|policy| !is_ours(policy))
        .map(|policy| (policy.namespace.as_str(), policy.name.as_str()))
        .collect();
    let mut changes = Vec::new();
    let set = renamed(wanted.set, &by_hand, &mut changes)?;
    // The others have the names of the policies, so what is to be said of a name is said.
    let [apart, recorded] = [wanted.apart, wanted.recorded].map(|set| renamed(set, &by_hand, &mut Vec::new()));
    let wanted = Wanted {
        set: &set,
        apart: &apart?,
        recorded: &recorded?,
    };
    let mut expected: BTreeMap<(String, String), Policy> = BTreeMap::new();
    let mut texts: BTreeMap<&str, Lines> = BTreeMap::new();
    for (name, text) in files {
        texts.insert(name, Lines::new(text));
    }
    for policy in &existing {
        let key = (policy.namespace.clone(), policy.name.clone());
        let in_scope = namespaces.is_empty() || namespaces.contains(&policy.namespace);
        let Some(place) = ours.get(&key).filter(|_| in_scope) else {
            expected.insert(key, policy.clone());
            continue;
        };
        let Some(lines) = texts.get_mut(place.file) else {
            continue;
        };
        let planned = plan::plan(policy, &wanted, place, lines, settings)?;
        changes.extend(planned.changes);
        expected.insert(key, planned.policy);
    }
    let mut merged = Merged::default();
    for (name, lines) in &texts {
        if lines.is_changed() {
            merged.files.insert((*name).to_owned(), lines.text());
        }
    }
    for policy in &set {
        let key = (policy.namespace.clone(), policy.name.clone());
        if expected.contains_key(&key) {
            continue;
        }
        let file = format!("{}/{}.yaml", policy.namespace, policy.name);
        if present.contains(&file) {
            let policy = format!("{}/{}", policy.namespace, policy.name);
            return Err(MergeError::Taken { file, policy });
        }
        changes.push(Change::of_policy(
            Kind::Created,
            policy,
            &file,
            "a new policy".to_owned(),
        ));
        merged.files.insert(file, kubernetes::manifest(policy)?);
        expected.insert(key, policy.clone());
    }
    check(files, &merged.files, expected.into_values())?;
    changes.sort();
    merged.changes = changes;
    Ok(merged)
}

/// A policy of ours and where it stands.
struct Place<'a> {
    file: &'a str,
    root: Node,
}

/// The objects that carry our label, each a document of its own. Those in lists were not written by us.
fn ours(files: &[(String, String)]) -> BTreeMap<(String, String), Place<'_>> {
    let mut ours = BTreeMap::new();
    for (file, text) in files {
        for root in marked::documents(text).0 {
            let field = |name: &str| root.get("metadata").and_then(|metadata| metadata.get(name));
            let name = field("name").and_then(Node::text).unwrap_or_default().to_owned();
            let namespace = field("namespace").and_then(Node::text).unwrap_or("default").to_owned();
            let label = field("labels")
                .and_then(|labels| labels.get(MANAGED.0))
                .and_then(Node::text);
            let is = |field: &str, text: &str| root.get(field).and_then(Node::text) == Some(text);
            let policy = is("apiVersion", "networking.k8s.io/v1") && is("kind", PolicyKind::NetworkPolicy.name());
            if policy && label == Some(MANAGED.1) {
                ours.insert((namespace, name), Place { file, root });
            }
        }
    }
    ours
}

/// The policies of a set that are not ours.
#[must_use]
pub fn by_hand(files: &[(String, String)], set: &PolicySet) -> Vec<Policy> {
    let ours = ours(files);
    let by_hand = |policy: &&Policy| !ours.contains_key(&(policy.namespace.clone(), policy.name.clone()));
    set.iter().filter(by_hand).cloned().collect()
}

/// The policies under names that no hand-written policy has.
fn renamed(
    wanted: &PolicySet,
    by_hand: &BTreeSet<(&str, &str)>,
    changes: &mut Vec<Change>,
) -> Result<PolicySet, PolicySetError> {
    let mut policies = wanted.clone().into_policies();
    for policy in &mut policies {
        if by_hand.contains(&(policy.namespace.as_str(), policy.name.as_str())) {
            let old = policy.name.clone();
            while by_hand.contains(&(policy.namespace.as_str(), policy.name.as_str())) {
                policy.name.push_str(SUFFIX);
            }
            let message = format!("a policy that is not ours has the name `{old}`, and stays as it is");
            changes.push(Change::of_policy(Kind::Renamed, policy, "", message));
        }
    }
    PolicySet::new(policies)
}

/// The new texts hold exactly the policies that are meant: those that are not ours unchanged.
fn check(
    files: &[(String, String)],
    changed: &BTreeMap<String, String>,
    expected: impl IntoIterator<Item = Policy>,
) -> Result<(), MergeError> {
    let mut texts: BTreeMap<&str, &str> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    texts.extend(changed.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let wrong = |file: Option<String>| MergeError::Meaning {
        file: file.unwrap_or_default(),
    };
    let parsed =
        parse(texts).map_err(|problems| wrong(problems.0.first().map(|problem| problem.place.file.to_string())))?;
    // Policies of the cluster are never ours, and no line of theirs is edited.
    let set = parsed.set.of_kind(PolicyKind::NetworkPolicy);
    let meant = PolicySet::new(expected)?.with_cluster(set.of_cluster().to_vec())?;
    let (found, meant) = (set.bare(), meant.bare());
    if found == meant {
        return Ok(());
    }
    let differs = |policy: &&Policy| meant.namesake(policy) != Some(policy);
    let culprit = found.iter().find(differs);
    let source = culprit.and_then(|policy| set.namesake(policy)?.source.clone());
    let file = source.map(|source| source.file.to_string());
    Err(wrong(file.or_else(|| changed.keys().next().cloned())))
}
