//! Everything that can be wrong with a file of policies, and where.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::policy::cidr::CidrError;
use crate::policy::model::{Direction, PolicySetError, Source};

/// A place inside an object. Displays as `spec.ingress[0].from`; the object itself as the empty string.
///
/// It shares what is before its last step with the place that it was made of: reading takes a step for each value of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Option<Arc<Last>>);

/// The last step of a path.
#[derive(Debug, PartialEq, Eq)]
struct Last {
    before: Path,
    step: Step,
}

/// One step of a [`Path`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    Index(usize),
}

impl Path {
    /// The path of a field of the object at this path.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    /// The path of a member of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let before = self.clone();
        Self(Some(Arc::new(Last { before, step })))
    }

    /// The steps from the object on.
    pub(super) fn steps(&self) -> Vec<&Step> {
        let back = std::iter::successors(self.0.as_deref(), |last| last.before.0.as_deref());
        let mut steps: Vec<&Step> = back.map(|last| &last.step).collect();
        steps.reverse();
        steps
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps().into_iter().enumerate() {
            match step {
                Step::Field(name) if at == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Something to say about a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<What> {
    /// The file and line.
    pub place: Source,
    /// The object, as `kind namespace/name`; empty outside objects and where it has no name.
    pub object: String,
    /// The field.
    pub path: Path,
    /// What is the matter, and what to do.
    pub what: What,
}

impl<What: fmt::Display> fmt::Display for Report<What> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            object,
            path,
            what,
        } = self;
        write!(f, "{place}: ")?;
        if !object.is_empty() {
            write!(f, "{object}: ")?;
        }
        let path = path.to_string();
        if !path.is_empty() {
            write!(f, "`{path}`: ")?;
        }
        write!(f, "{what}")
    }
}

/// Something that makes a file unusable.
pub type Problem = Report<ProblemKind>;

/// Something that is legal and probably not meant.
pub type Warning = Report<WarningKind>;

/// Something that has no place in the model, for which the whole object is left out.
pub type Refusal = Report<RefusalKind>;

/// What of an object of a network plugin is not evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RefusalKind {
    /// A field.
    #[error("not evaluated")]
    Field,
    /// A value of a field that has others which are.
    #[error("`{value}` is not evaluated")]
    Value {
        /// The value.
        value: String,
    },
    /// A field that is needed to know what the object says.
    #[error("not evaluated without it")]
    Missing,
    /// Anything else.
    #[error("{0}")]
    Reason(&'static str),
}

/// What makes a file unusable, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProblemKind {
    /// Neither YAML nor JSON.
    #[error("not valid YAML: {message}")]
    Syntax {
        /// What the YAML reader says.
        message: String,
    },
    /// Brackets in brackets in brackets.
    #[error("nested deeper than {limit} levels, no Kubernetes object is")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Aliases of aliases of aliases.
    #[error("aliases expand to more than {limit} values, write the values out")]
    AliasBudget {
        /// The limit.
        limit: usize,
    },
    /// An alias inside the value it names.
    #[error("an alias refers to a value that is not complete before it, write the value out")]
    UnfinishedAlias,
    /// A merge key with something that is no mapping.
    #[error("`<<` merges mappings only")]
    Merge,
    /// One key twice in a mapping.
    #[error("key `{key}` is already set in line {first_line}, remove one of them")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The line of the first one.
        first_line: usize,
    },
    /// A key that is read as something else than text.
    #[error("key is {found}, put it in quotes if text is meant")]
    KeyNotText {
        /// What it is.
        found: String,
    },
    /// A YAML tag other than those of JSON's types.
    #[error("tag `{tag}` is not used in Kubernetes objects, remove it")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A document that is no object with `apiVersion` and `kind`.
    #[error("no Kubernetes object: {missing} missing")]
    NotAnObject {
        /// What is missing.
        missing: &'static str,
    },
    /// A `NetworkPolicy` of an API version that does not exist or is gone.
    #[error("`NetworkPolicy` has no version `{found}`, write `networking.k8s.io/v1`")]
    Version {
        /// The `apiVersion`.
        found: String,
    },
    /// A field that the API does not have here. A lenient API server drops it.
    #[error("unknown field `{field}`, known here: {known}")]
    UnknownField {
        /// The field.
        field: String,
        /// The known ones.
        known: String,
    },
    /// A value of another type than the field has.
    #[error("expected {expected}, found {found}{}", if *quote { ", put it in quotes if text is meant" } else { "" })]
    Type {
        /// What the API wants.
        expected: &'static str,
        /// What is there.
        found: String,
        /// Whether quotes would make it text.
        quote: bool,
    },
    /// Text that the typed reader does not take although its form is right.
    #[error("not readable as a NetworkPolicy: {message}")]
    Typed {
        /// What the typed reader says.
        message: String,
    },
    /// A field that must be there.
    #[error("required, and missing or empty")]
    Required,
    /// A name that the API refuses.
    #[error("`{value}` is not valid: {rule}")]
    Invalid {
        /// The value.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A prefix that is none.
    #[error(transparent)]
    Cidr(#[from] CidrError),
    /// An exception that is not strictly inside the prefix.
    #[error("`{except}` is not strictly inside `{cidr}`, so it excepts nothing or everything")]
    Except {
        /// The exception.
        except: String,
        /// The prefix.
        cidr: String,
    },
    /// A number that is no port.
    #[error("`{value}` is not a port, ports are 1 to 65535")]
    Port {
        /// The number.
        value: i32,
    },
    /// `endPort` below `port`.
    #[error("`endPort` {end} is below `port` {port}, swap them")]
    EndPortBelow {
        /// `port`.
        port: i32,
        /// `endPort`.
        end: i32,
    },
    /// `endPort` without a number to start at.
    #[error("`endPort` needs a numeric `port` beside it")]
    EndPortAlone,
    /// A value outside an enumeration.
    #[error("`{value}` is not one of {allowed}")]
    Choice {
        /// The value.
        value: String,
        /// The enumeration.
        allowed: &'static str,
    },
    /// More policy types than there are.
    #[error("at most two policy types exist, `Ingress` and `Egress`")]
    PolicyTypes,
    /// `In` or `NotIn` without values.
    #[error("operator `{operator}` needs at least one value")]
    ValuesMissing {
        /// The operator.
        operator: &'static str,
    },
    /// `Exists` or `DoesNotExist` with values.
    #[error("operator `{operator}` takes no values")]
    ValuesForbidden {
        /// The operator.
        operator: &'static str,
    },
    /// A peer that names nobody.
    #[error("a peer needs `podSelector`, `namespaceSelector` or `ipBlock`; leave the list out to allow everybody")]
    PeerEmpty,
    /// A peer that is both addresses and pods.
    #[error("`ipBlock` cannot stand beside a selector, write two peers")]
    PeerMixed,
    /// None or several of fields that exclude each other.
    #[error("exactly one is needed of {fields}")]
    ExactlyOne {
        /// The fields.
        fields: &'static str,
    },
    /// A list with too few or too many entries.
    #[error("{found} entries, and the API takes {least} to {most}")]
    Count {
        /// How many there are.
        found: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A text with too many characters.
    #[error("{length} characters, and the API takes {most}")]
    TooLong {
        /// How many there are.
        length: usize,
        /// The most.
        most: usize,
    },
    /// A value twice in a list that is a set.
    #[error("`{value}` is in the list twice, remove one of them")]
    Twice {
        /// The value.
        value: String,
    },
    /// A number that is no priority.
    #[error("`{value}` is not a priority, priorities are 0 to {last}")]
    Priority {
        /// The number.
        value: i32,
        /// The last priority.
        last: i32,
    },
    /// A range of ports that does not end behind its start.
    #[error("`end` {end} is not above `start` {start}, swap them or give one port")]
    RangeBackwards {
        /// `start`.
        start: u16,
        /// `end`.
        end: u16,
    },
    /// A port by name beside peers that have no names for ports.
    #[error("ports by name cannot stand beside `networks`, `nodes` or `domainNames`, write two rules")]
    NamedPortElsewhere,
    /// DNS names in a rule that does not allow.
    #[error("`domainNames` can only be allowed, deny or pass on what they leave by another rule")]
    DomainsNotAllowed,
    /// Two policies of one name.
    #[error(transparent)]
    Set(#[from] PolicySetError),
}

/// What is legal and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WarningKind {
    /// No namespace in the manifest.
    #[error("no namespace given, `default` assumed")]
    NoNamespace,
    /// A namespace for an object of the cluster.
    #[error("a policy of the cluster is in no namespace, this one is dropped")]
    NamespaceOfCluster,
    /// Rules for a direction that `policyTypes` leaves out.
    #[error("these rules have no effect: `policyTypes` does not list this direction")]
    UnusedRules {
        /// The direction.
        direction: Direction,
    },
    /// A prefix with bits beyond its length.
    #[error("`{written}` has bits beyond its length and is read as `{meant}`")]
    HostBits {
        /// As written.
        written: String,
        /// As read.
        meant: String,
    },
    /// A list entry without content that allows something.
    #[error("an empty list entry allows everything here, write `{{}}` if that is meant")]
    NullEntry,
}

/// Everything that is wrong with the input; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

/// An object in the input that is no policy and was left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
    /// The file and line.
    pub place: Source,
}
