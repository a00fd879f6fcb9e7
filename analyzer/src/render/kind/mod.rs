//! A policy set as objects of other kinds than NetworkPolicy, and what each kind cannot say.
//!
//! The model means what NetworkPolicy means. Each kind here says as much of it as it can, never more in silence: what it
//! leaves out or widens is a [`Shortfall`]. The objects are strict types of our own, one file for each kind, whose fields
//! name their source; what is written reads back as the same object ([`Manifest::reads_back`]).

pub mod calico;
pub mod cilium;
pub mod cluster;
mod cut;

pub mod object;
mod staged;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::kubernetes;
use super::yaml::{self, Tree, TreeError};
use crate::policy::landmark::Landmarks;
use crate::policy::model::{Direction, Policy, Rule};
use object::Object;

/// What policies are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `networking.k8s.io/v1 NetworkPolicy`.
    NetworkPolicy,
    /// `cilium.io/v2 CiliumNetworkPolicy`.
    Cilium,
    /// `projectcalico.org/v3 NetworkPolicy`.
    Calico,
    /// `projectcalico.org/v3 StagedKubernetesNetworkPolicy`: reports what it would deny, and denies nothing.
    Staged,
    /// `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`.
    Cluster,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::NetworkPolicy,
        Self::Cilium,
        Self::Calico,
        Self::Staged,
        Self::Cluster,
    ];

    /// The name of the kind as the command line and messages have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Cilium => "CiliumNetworkPolicy",
            Self::Calico => "CalicoNetworkPolicy",
            Self::Staged => "StagedKubernetesNetworkPolicy",
            Self::Cluster => "ClusterNetworkPolicy",
        }
    }
}

/// What a kind cannot say of a policy, and what it says instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shortfall {
    /// Namespace of the policy.
    pub namespace: String,
    /// Its name.
    pub policy: String,
    /// The rule in the policy set, such as `ingress/0`; `None` where it is about the policy as a whole.
    pub rule: Option<String>,
    /// Which way it differs.
    pub effect: Effect,
    /// What cannot be said, and what is written instead.
    pub what: String,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            policy,
            rule,
            effect: _,
            what,
        } = self;
        write!(formatter, "{namespace}/{policy}")?;
        if let Some(rule) = rule {
            write!(formatter, " {rule}")?;
        }
        write!(formatter, ": {what}")
    }
}

/// Which way a kind differs from the policy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It denies something that the set allows.
    Narrower,
    /// It allows something that the set denies.
    Wider,
}

/// One object, ready to be written.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Namespace of the policy it came from.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    notes: Vec<String>,
    tree: Tree,
    read_back: fn(&str) -> Option<serde_json::Value>,
}

impl Manifest {
    /// The object as a YAML document, with its notes as comments.
    #[must_use]
    pub fn text(&self) -> String {
        yaml::document(&self.notes, &self.tree)
    }

    /// Gives the object annotations.
    pub fn annotate(&mut self, annotations: &BTreeMap<String, String>) {
        let Tree::Map(fields) = &mut self.tree else { return };
        if let Some((_, Tree::Map(metadata))) = fields.iter_mut().find(|(field, _)| field == "metadata") {
            let values = annotations
                .iter()
                .map(|(key, value)| (key.clone(), Tree::Text(value.clone())));
            metadata.push(("annotations".to_owned(), Tree::Map(values.collect())));
        }
    }

    /// The object as the API has it.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        yaml::json_of(&self.tree)
    }

    /// Whether the text, read by strict types of the kind, is this object.
    #[must_use]
    pub fn reads_back(&self) -> bool {
        let meant = self.json().ok();
        meant.is_some() && (self.read_back)(&self.text()) == meant
    }
}

/// The objects of one policy, and what they cannot say of it.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// In the order in which they are written.
    pub manifests: Vec<Manifest>,
    /// What differs from the policy.
    pub shortfalls: Vec<Shortfall>,
}

/// Why a policy cannot be written.
#[derive(Debug, Error)]
pub enum KindError {
    /// It cannot be written as NetworkPolicy either.
    #[error(transparent)]
    Render(#[from] kubernetes::RenderError),
    /// An object has no form in YAML.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// One policy as objects of this kind.
pub fn render(kind: Kind, policy: &Policy, landmarks: &Landmarks) -> Result<Rendered, KindError> {
    match kind {
        Kind::NetworkPolicy => network_policy(policy),
        Kind::Cilium => cilium::render(policy, landmarks),
        Kind::Calico => calico::render(policy),
        Kind::Staged => staged::render(policy),
        Kind::Cluster => cluster::render(policy, landmarks),
    }
}

fn network_policy(policy: &Policy) -> Result<Rendered, KindError> {
    let manifest = Manifest {
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        notes: policy.notes.clone(),
        tree: kubernetes::tree(policy)?,
        read_back: yaml::json,
    };
    Ok(Rendered {
        manifests: vec![manifest],
        shortfalls: Vec::new(),
    })
}

/// The rules of both directions that the policy isolates, each with its place.
fn sections(policy: &Policy) -> impl Iterator<Item = (Direction, &[Rule])> {
    [Direction::Ingress, Direction::Egress]
        .into_iter()
        .filter_map(|direction| Some((direction, policy.rules(direction)?)))
}

/// Collects what a kind cannot say of one policy.
struct Shortfalls<'a> {
    policy: &'a Policy,
    list: Vec<Shortfall>,
}

impl<'a> Shortfalls<'a> {
    const fn of(policy: &'a Policy) -> Self {
        Self {
            policy,
            list: Vec::new(),
        }
    }

    fn add(&mut self, place: Option<(Direction, usize)>, effect: Effect, what: impl Into<String>) {
        let shortfall = Shortfall {
            namespace: self.policy.namespace.clone(),
            policy: self.policy.name.clone(),
            rule: place.map(|(direction, index)| format!("{direction}/{index}")),
            effect,
            what: what.into(),
        };
        if !self.list.contains(&shortfall) {
            self.list.push(shortfall);
        }
    }
}

/// An object as a manifest. `notes` are those of its rules, one list for each rule of each section of its spec.
fn manifest<S: Serialize + DeserializeOwned>(
    policy: &Policy,
    object: &Object<S>,
    notes: [(&str, Vec<Vec<String>>); 2],
) -> Result<Manifest, KindError> {
    let mut tree = yaml::tree(object)?;
    for (section, notes) in notes {
        yaml::annotate(&mut tree, &["spec", section], notes);
    }
    Ok(Manifest {
        namespace: policy.namespace.clone(),
        name: object.metadata.name.clone(),
        notes: policy.notes.clone(),
        tree,
        read_back: |text| serde_json::to_value(yaml::object::<Object<S>>(text)?).ok(),
    })
}

/// The same notes for the first of `count` rules that one rule became, and none for the others.
fn notes_of(rule: &Rule, count: usize) -> Vec<Vec<String>> {
    let mut notes = vec![Vec::new(); count];
    if let Some(first) = notes.first_mut() {
        first.clone_from(&rule.notes);
    }
    notes
}
