//! Collects what is wrong with one object, and what in it has no place in the model.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

use crate::parse::marked::Node;
use crate::parse::network_policy::reader::Reader as Plain;
use crate::parse::report::{Path, ProblemKind, Refusal, RefusalKind};
use crate::parse::shape::{Shape, Sink, typed};
use crate::policy::cidr::Cidr;
use crate::policy::model::{Direction, Policy, Rule, Source};

use super::Outcome;

pub(super) struct Reader<'a> {
    pub(super) plain: Plain<'a>,
    refusals: Vec<Refusal>,
}

impl Sink for Reader<'_> {
    /// A field that is not among those of the shape may well exist; what it says is not known here.
    fn problem(&mut self, line: usize, path: &Path, what: ProblemKind) {
        if let ProblemKind::UnknownField { field, known: _ } = &what {
            self.refused(line, &path.field(field), RefusalKind::Field);
        } else {
            self.plain.problem(line, path, what);
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Arc<str>, root: &'a Node, kind: &str) -> Self {
        Self {
            plain: Plain::new(file, root, kind),
            refusals: Vec::new(),
        }
    }

    /// The object held against the fields that are read.
    pub(super) fn fields<T: DeserializeOwned>(&mut self, shape: &Shape) -> Option<T> {
        let root = self.plain.root;
        let value = typed(shape, root, &Path::default(), self)?;
        match serde_yaml::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                let message = error.to_string();
                self.plain.invalid(&Path::default(), ProblemKind::Typed { message });
                None
            }
        }
    }

    pub(super) fn names(&mut self, metadata: Option<ObjectMeta>) -> (String, String) {
        self.plain.names(metadata.unwrap_or_default())
    }

    /// A prefix, or an address that stands for itself.
    pub(super) fn cidr_or_host(&mut self, text: &str, path: &Path) -> Option<Cidr> {
        match text.parse::<IpAddr>() {
            Ok(address) => Some(Cidr::host(address)),
            Err(_) => self.plain.cidr(text, path),
        }
    }

    /// Notes what is not evaluated; there is no value then.
    pub(super) fn refuse<T>(&mut self, path: &Path, what: RefusalKind) -> Option<T> {
        let line = self.plain.line(path);
        self.refused(line, path, what);
        None
    }

    /// Notes that a field is not evaluated if it says something.
    pub(super) fn refuse_if(&mut self, says_something: bool, path: &Path) {
        if says_something {
            self.refuse::<()>(path, RefusalKind::Field);
        }
    }

    /// Whether something was refused already.
    pub(super) fn has_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    fn refused(&mut self, line: usize, path: &Path, what: RefusalKind) {
        let place = Source {
            line,
            ..self.plain.source(&Path::default())
        };
        self.refusals.push(Refusal {
            place,
            object: self.plain.object.clone(),
            path: path.clone(),
            what,
        });
    }

    /// Rules of one direction, each with its place; all of them are read, whatever is wrong with one.
    pub(super) fn section<R>(
        &mut self,
        direction: Direction,
        rules: Vec<R>,
        read: impl Fn(&mut Self, R, &Path) -> Option<Rule>,
    ) -> Option<Vec<Rule>> {
        let path = Path::default().field("spec").field(direction.name());
        let read: Vec<Option<Rule>> = rules
            .into_iter()
            .enumerate()
            .map(|(at, rule)| {
                let path = path.index(at);
                let source = Some(self.plain.source(&path));
                read(self, rule, &path).map(|rule| Rule { source, ..rule })
            })
            .collect();
        read.into_iter().collect()
    }

    /// What became of the object; `policy` is kept only if nothing is wrong and nothing was refused.
    pub(super) fn outcome(self, policy: Option<Policy>) -> Outcome {
        let Self { plain, mut refusals } = self;
        // What is missing may be so only because something else is said in its place.
        let rank = |refusal: &Refusal| (refusal.what == RefusalKind::Missing, refusal.place.clone());
        refusals.sort_by_key(rank);
        Outcome {
            policy: policy.filter(|_| refusals.is_empty() && plain.problems.is_empty()),
            refusals,
            problems: plain.problems,
            warnings: plain.warnings,
        }
    }
}
